import {
  type Attrs,
  attrs,
  bytes,
  type Codec,
  s32,
  string,
  struct,
  u8,
  u16,
  u32,
  type Value,
} from "../netlink/attrs.ts";
import { NLA_F_NESTED, type Reader, type Writer } from "../netlink/bytes.ts";
import { ipv4Conf, ipv6Conf } from "./link-conf.ts";
import { type Bridge, bridge } from "./link-kinds/bridge.ts";
import { type BridgePort, bridgePort } from "./link-kinds/bridge-port.ts";
import { type Gre, gre } from "./link-kinds/gre.ts";
import { type Ipip, ipip } from "./link-kinds/ipip.ts";
import { type Ipvlan, ipvlan } from "./link-kinds/ipvlan.ts";
import { type Macvlan, macvlan } from "./link-kinds/macvlan.ts";
import { type VethData, vethData } from "./link-kinds/veth.ts";
import { type Vlan, vlan } from "./link-kinds/vlan.ts";
import { type Vrf, vrf } from "./link-kinds/vrf.ts";
import { type Vxlan, vxlan } from "./link-kinds/vxlan.ts";

/** struct ifinfomsg, <linux/rtnetlink.h>. */
export const linkHeader = struct({ family: u8, padding: u8, type: u16, index: s32, flags: u32, change: u32 });
export type LinkHeader = Value<typeof linkHeader>;

/** IFLA_LINKINFO: the kind, and what is particular to it. */
export interface LinkInfo {
  readonly kind?: string | undefined;
  readonly veth?: VethData | undefined;
  readonly bridge?: Bridge | undefined;
  readonly vxlan?: Vxlan | undefined;
  /** Of the kinds "gre" and "ip6gre". */
  readonly gre?: Gre | undefined;
  readonly ipip?: Ipip | undefined;
  readonly vrf?: Vrf | undefined;
  readonly macvlan?: Macvlan | undefined;
  readonly ipvlan?: Ipvlan | undefined;
  readonly vlan?: Vlan | undefined;
  /** Kind of the link's master. */
  readonly portKind?: string | undefined;
  /** IFLA_INFO_SLAVE_DATA of a master that is a bridge. */
  readonly port?: BridgePort | undefined;
}

/** IFLA_INFO_* */
const Info = { kind: 1, data: 2, portKind: 4, portData: 5 } as const;

/** The schema of IFLA_INFO_DATA depends on IFLA_INFO_KIND, which the kernel sends first. */
const linkInfo: Codec<LinkInfo> = {
  nested: true,
  write(to, info) {
    if (info.kind !== undefined) to.attribute(Info.kind, () => string.write(to, info.kind ?? ""));
    writeNested(to, Info.data, vethData, info.veth);
    writeNested(to, Info.data, bridge, info.bridge);
    writeNested(to, Info.data, vxlan, info.vxlan);
    writeNested(to, Info.data, gre, info.gre);
    writeNested(to, Info.data, ipip, info.ipip);
    writeNested(to, Info.data, vrf, info.vrf);
    writeNested(to, Info.data, macvlan, info.macvlan);
    writeNested(to, Info.data, ipvlan, info.ipvlan);
    writeNested(to, Info.data, vlan, info.vlan);
    if (info.portKind !== undefined) to.attribute(Info.portKind, () => string.write(to, info.portKind ?? ""));
    writeNested(to, Info.portData, bridgePort, info.port);
  },
  read(from) {
    const info: Mutable<LinkInfo> = {};
    from.attributes(INFO_READERS, (read) => read(from, info));
    return info;
  },
};

function writeNested<T>(to: Writer, type: number, codec: Codec<T>, value: T | undefined): void {
  if (value !== undefined) to.attribute(type | NLA_F_NESTED, () => codec.write(to, value));
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** By IFLA_INFO_*. */
const INFO_READERS: ((from: Reader, info: Mutable<LinkInfo>) => void)[] = [];
INFO_READERS[Info.kind] = (from, info) => {
  info.kind = string.read(from);
};
INFO_READERS[Info.data] = (from, info) => {
  if (info.kind === "bridge") info.bridge = bridge.read(from);
  else if (info.kind === "vxlan") info.vxlan = vxlan.read(from);
  else if (info.kind === "gre" || info.kind === "ip6gre") info.gre = gre.read(from);
  else if (info.kind === "ipip") info.ipip = ipip.read(from);
  else if (info.kind === "vrf") info.vrf = vrf.read(from);
  else if (info.kind === "veth") info.veth = vethData.read(from);
  else if (info.kind === "macvlan") info.macvlan = macvlan.read(from);
  else if (info.kind === "ipvlan") info.ipvlan = ipvlan.read(from);
  else if (info.kind === "vlan") info.vlan = vlan.read(from);
};
INFO_READERS[Info.portKind] = (from, info) => {
  info.portKind = string.read(from);
};
INFO_READERS[Info.portData] = (from, info) => {
  if ((info.portKind ?? info.kind)?.startsWith("bridge")) info.port = bridgePort.read(from);
};

/** IFLA_AF_SPEC: what IPv4 and IPv6 hold of the link. */
const protocols = attrs({ ipv4: [2, attrs({ conf: [1, ipv4Conf] })], ipv6: [10, attrs({ conf: [2, ipv6Conf] })] });

/** IFLA_*, <linux/if_link.h>. */
const fields = {
  /** Ethernet: six bytes; other kinds have other lengths. */
  address: [1, bytes],
  name: [3, string],
  mtu: [4, u32],
  link: [5, u32],
  master: [10, u32],
  txQueueLength: [13, u32],
  operState: [16, u8],
  info: [18, linkInfo],
  alias: [20, string],
  protocols: [26, protocols],
  group: [27, u32],
  netnsFd: [28, u32],
  extMask: [29, u32],
  txQueues: [31, u32],
  rxQueues: [32, u32],
} as const;
export type LinkAttrs = Attrs<typeof fields>;
export const linkAttrs: Codec<LinkAttrs> = attrs(fields);

/** What a link message says. */
export interface LinkMessage {
  readonly header: LinkHeader;
  readonly attrs: LinkAttrs;
}

export const linkMessage: Codec<LinkMessage> = {
  write(to, message) {
    linkHeader.write(to, message.header);
    linkAttrs.write(to, message.attrs);
  },
  read: (from) => ({ header: linkHeader.read(from), attrs: linkAttrs.read(from) }),
};
