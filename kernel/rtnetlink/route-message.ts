import type { Address } from "../../net/address.ts";
import {
  type Attrs,
  attrs,
  bytes,
  type Codec,
  ip,
  named,
  s32,
  struct,
  u8,
  u16,
  u32,
  type Value,
} from "../netlink/attrs.ts";
import { Reader, type Writer } from "../netlink/bytes.ts";
import { decodeEncap, encodeEncap, type IpEncap } from "./encap.ts";

/** RT_SCOPE_*, <linux/rtnetlink.h>. Numbers without a name stay numbers. */
export const scope = named(u8, { universe: 0, site: 200, link: 253, host: 254, nowhere: 255 });
export type Scope = Value<typeof scope>;

/** RTN_*, <linux/rtnetlink.h>. */
export const routeType = named(u8, {
  unspec: 0,
  unicast: 1,
  local: 2,
  broadcast: 3,
  anycast: 4,
  multicast: 5,
  blackhole: 6,
  unreachable: 7,
  prohibit: 8,
  throw: 9,
  nat: 10,
});
export type RouteType = Value<typeof routeType>;

/** struct rtmsg, <linux/rtnetlink.h>. */
export const routeHeader = struct({
  family: u8,
  dstLength: u8,
  srcLength: u8,
  tos: u8,
  table: u8,
  protocol: u8,
  scope,
  type: routeType,
  flags: u32,
});
export type RouteHeader = Value<typeof routeHeader>;

/** RTNH_F_* and RTM_F_*, <linux/rtnetlink.h>. */
export const RouteFlag = { onlink: 0x4, cloned: 0x200 } as const;

/** RTAX_* */
const metrics = attrs({ mtu: [2, u32], advmss: [8, u32] });

/** RTA_VIA: a next hop of the other family, behind its AF_* number. */
const via: Codec<Address> = {
  write(to, address) {
    to.integer(2, address.includes(":") ? 10 : 2);
    ip.write(to, address);
  },
  read(from) {
    from.integer(2);
    return ip.read(from);
  },
};

/** One path of several. */
export interface NextHop {
  readonly dev?: number | undefined;
  readonly via?: Address | undefined;
  /** 1..256, 1 when absent. */
  readonly weight?: number | undefined;
  readonly onlink?: boolean | undefined;
  readonly encap?: IpEncap | undefined;
}

const hopAttrs = attrs({ gateway: [5, ip], via: [18, via], encapType: [21, u16], encap: [22, bytes] });

/** RTA_MULTIPATH: struct rtnexthop, each with attributes of its own. */
const multipath: Codec<readonly NextHop[]> = {
  write(to, hops) {
    for (const hop of hops) writeHop(to, hop);
  },
  read(from) {
    const hops: NextHop[] = [];
    while (from.remaining >= 8) {
      const length = from.integer(2);
      hops.push(readHop(new Reader(from.bytes(length - 2))));
      from.skipPadding(length);
    }
    return hops;
  },
};

function writeHop(to: Writer, hop: NextHop): void {
  const start = to.length;
  to.integer(2, 0);
  to.integer(1, hop.onlink ? RouteFlag.onlink : 0);
  to.integer(1, (hop.weight ?? 1) - 1);
  s32.write(to, hop.dev ?? 0);
  hopAttrs.write(to, { gateway: hop.via, ...encodeEncap(hop.encap) });
  to.patch(start, 2, to.length - start);
}

function readHop(from: Reader): NextHop {
  const flags = from.integer(1);
  const weight = from.integer(1) + 1;
  const dev = s32.read(from);
  const { gateway, via, ...tunnel } = hopAttrs.read(from);
  const next = gateway ?? via;
  const encap = decodeEncap(tunnel);
  return {
    ...(dev === 0 ? {} : { dev }),
    ...(next === undefined ? {} : { via: next }),
    weight,
    ...(flags & RouteFlag.onlink ? { onlink: true } : {}),
    ...(encap === undefined ? {} : { encap }),
  };
}

/** RTA_*, <linux/rtnetlink.h>. */
const fields = {
  dst: [1, ip],
  oif: [4, u32],
  gateway: [5, ip],
  priority: [6, u32],
  prefSrc: [7, ip],
  metrics: [8, metrics],
  multipath: [9, multipath],
  table: [15, u32],
  via: [18, via],
  encapType: [21, u16],
  encap: [22, bytes],
} as const;
export type RouteAttrs = Attrs<typeof fields>;
export const routeAttrs: Codec<RouteAttrs> = attrs(fields);
