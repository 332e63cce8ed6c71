import { type Mac, macFromBytes, macToBytes } from "../../net/mac.ts";
import { Reader, type Writer } from "../netlink/bytes.ts";
import { isNetlinkError } from "../netlink/error.ts";
import { Flag, type Message } from "../netlink/message.ts";
import type { Request } from "../netlink/socket.ts";
import type { Netns } from "../netns.ts";
import type { Ipv4Conf, Ipv6Conf } from "./link-conf.ts";
import type { Bridge } from "./link-kinds/bridge.ts";
import type { BridgePort } from "./link-kinds/bridge-port.ts";
import type { Gre } from "./link-kinds/gre.ts";
import type { Ipip } from "./link-kinds/ipip.ts";
import type { Ipvlan } from "./link-kinds/ipvlan.ts";
import type { Macvlan } from "./link-kinds/macvlan.ts";
import type { VethData } from "./link-kinds/veth.ts";
import type { Vlan } from "./link-kinds/vlan.ts";
import type { Vrf } from "./link-kinds/vrf.ts";
import type { Vxlan } from "./link-kinds/vxlan.ts";
import { type LinkAttrs, type LinkInfo, linkMessage } from "./link-message.ts";
import { Rtm } from "./message-types.ts";
import { openRoute, type RouteSocket } from "./socket.ts";

/** IFF_*, <linux/if.h>. */
export const LinkFlag = {
  up: 0x1,
  loopback: 0x8,
  noArp: 0x80,
  promisc: 0x100,
  allMulticast: 0x200,
  lowerUp: 0x10000,
} as const;

/** RTEXT_FILTER_SKIP_STATS, <linux/rtnetlink.h>: counters are two thirds of a link's dump. */
const SKIP_STATS = 1 << 3;

/** IF_OPER_*, <linux/if.h>. */
const OPER_STATES = ["unknown", "notpresent", "down", "lowerlayerdown", "testing", "dormant", "up"] as const;
export type OperState = (typeof OPER_STATES)[number];

/** A link that the kernel holds. */
export interface Link {
  readonly index: number;
  readonly name: string;
  /** IFLA_INFO_KIND: "veth", "bridge", "vxlan"; absent for hardware and loopback. */
  readonly kind?: string;
  /** Absent where the link has no Ethernet address (GPE tunnels). */
  readonly mac?: Mac;
  readonly mtu: number;
  /** IFF_UP: somebody switched it on. */
  readonly up: boolean;
  /** IFF_LOWER_UP: it has carrier. */
  readonly lowerUp: boolean;
  readonly operState: OperState;
  /** IFLA_MASTER: index of its bridge. */
  readonly master?: number;
  /** IFLA_LINK: a veth's other end, in whatever namespace that is; the lower device of a macvlan, ipvlan or vlan. */
  readonly peerIndex?: number;
  readonly alias?: string;
  readonly group: number;
  readonly txQueueLength: number;
  /** IFF_PROMISC as somebody set it; a bridge's own use of its ports does not show. */
  readonly promisc: boolean;
  /** All of IFF_*, <linux/if.h>. */
  readonly flags: number;
  readonly vxlan?: Vxlan;
  /** Of "gre" and "ip6gre". */
  readonly gre?: Gre;
  readonly ipip?: Ipip;
  readonly vrf?: Vrf;
  readonly macvlan?: Macvlan;
  readonly ipvlan?: Ipvlan;
  readonly vlan?: Vlan;
  readonly bridge?: Bridge;
  /** What its bridge holds of it (IFLA_BRPORT_*); present when it is a bridge port. */
  readonly port?: BridgePort;
  /** net/ipv4/conf/NAME; absent without IPv4. */
  readonly ipv4?: Ipv4Conf;
  /** net/ipv6/conf/NAME; absent without IPv6. */
  readonly ipv6?: Ipv6Conf;
}

/** What any link can be told, new or old. */
export interface LinkSettings {
  readonly mac?: Mac | undefined;
  readonly mtu?: number | undefined;
  /** Index of the bridge; 0 takes it out of one. */
  readonly master?: number | undefined;
  /** At most 255 bytes; "" removes it. */
  readonly alias?: string | undefined;
  readonly group?: number | undefined;
  readonly up?: boolean | undefined;
  readonly txQueueLength?: number | undefined;
  readonly promisc?: boolean | undefined;
  /** IFF_ALLMULTI: it takes every multicast frame. */
  readonly allMulticast?: boolean | undefined;
  /** net/ipv4/conf/NAME. */
  readonly ipv4?: Ipv4Conf | undefined;
}

/** The other end of a veth, made in its final namespace: it is never moved. */
export interface VethPeer {
  readonly name: string;
  /** Where it is made; the socket's own namespace when absent. */
  readonly netns?: Netns | undefined;
  readonly mac?: Mac | undefined;
  readonly mtu?: number | undefined;
  /** Takes a socket in the peer's namespace and one more message: who has one at hand uses setLink instead. */
  readonly up?: boolean | undefined;
  readonly txQueueLength?: number | undefined;
  readonly group?: number | undefined;
  readonly queues?: number | undefined;
}

/** A link to make; `lower` is the index of the device on top of which, IFLA_LINK. */
export type LinkSpec = LinkSettings & {
  readonly name: string;
  readonly port?: BridgePort | undefined;
  /** Of each direction; when absent, as many as the kernel thinks right. */
  readonly queues?: number | undefined;
} & (
    | { readonly kind: "veth"; readonly peer: VethPeer }
    | { readonly kind: "bridge"; readonly bridge?: Bridge | undefined }
    | { readonly kind: "vxlan"; readonly vxlan: Vxlan }
    | { readonly kind: "gre" | "ip6gre"; readonly gre: Gre }
    | { readonly kind: "ipip"; readonly ipip: Ipip }
    | { readonly kind: "vrf"; readonly vrf: Vrf }
    | { readonly kind: "macvlan"; readonly lower: number; readonly macvlan: Macvlan }
    | { readonly kind: "ipvlan"; readonly lower: number; readonly ipvlan: Ipvlan }
    | { readonly kind: "vlan"; readonly lower: number; readonly vlan: Vlan }
    | { readonly kind: "dummy" | "ifb" | "wireguard" }
  );

/** Changes to a link that exists. */
export interface LinkChange extends LinkSettings {
  readonly name?: string | undefined;
  /** The link is then in another namespace, and no longer in the socket's. */
  readonly netns?: Netns | undefined;
  readonly port?: BridgePort | undefined;
  readonly bridge?: Bridge | undefined;
}

export interface LinkFilter {
  readonly kind?: string | undefined;
  /** Index of the bridge that the links are ports of. */
  readonly master?: number | undefined;
  readonly group?: number | undefined;
}

/** Every link of the socket's namespace that passes the filter: `ip -d link show`. */
export function listLinks(rt: RouteSocket, filter: LinkFilter = {}): Link[] {
  const { kind, master, group } = filter;
  const info = kind === undefined ? undefined : { kind };
  const body = writeLink({ extMask: SKIP_STATS, master, info });
  const links = rt.dump({ type: Rtm.getLink, body, label: "RTM_GETLINK" }, decodeLink);
  return links.filter(
    (link) =>
      (kind === undefined || link.kind === kind) &&
      (master === undefined || link.master === master) &&
      (group === undefined || link.group === group),
  );
}

/** The link of that name or index, undefined when there is none. */
export function getLink(rt: RouteSocket, nameOrIndex: string | number): Link | undefined {
  const { index, name } = identity(nameOrIndex);
  const body = writeLink({ extMask: SKIP_STATS, name }, { index });
  try {
    return decodeLink(rt.ask({ type: Rtm.getLink, body, label: `RTM_GETLINK ${nameOrIndex}` }));
  } catch (error) {
    if (isNetlinkError(error, "ENODEV")) return undefined;
    throw error;
  }
}

/**
 * Makes a link: `ip link add`. The kernel takes no alias for a link that does not exist yet, and no port settings, so a
 * spec with either takes a second message; the link is switched on by that one and is never up without its mark.
 * @throws NetlinkError EEXIST when the name (or the peer's) is taken; after any error nothing is left of the link
 */
export function addLink(rt: RouteSocket, spec: LinkSpec): Link {
  const { alias, port, up, promisc, allMulticast, ipv4, ...settings } = spec;
  const later = alias !== undefined || port !== undefined || ipv4 !== undefined;
  create(rt, later ? settings : { ...settings, up, promisc, allMulticast }, 0);
  try {
    if (later) setLink(rt, spec.name, { alias, port, up, promisc, allMulticast, ipv4 });
    if (spec.kind === "veth" && spec.peer.up) raisePeer(rt, spec.peer);
    const link = getLink(rt, spec.name);
    if (link !== undefined) return link;
  } catch (error) {
    deleteLink(rt, spec.name, { missingOk: true });
    throw error;
  }
  throw new Error(`link ${spec.name} was deleted by somebody else while it was being made`);
}

/**
 * The first half of {@link addLink}, for who wants to do something between it and {@link setLink}. One exchange of messages
 * where the kernel tells what it made (since 6.3).
 * @returns the link as it was made, a moment before it got its master
 * @throws NetlinkError EEXIST when the name (or the peer's) is taken
 */
export function createLink(
  rt: RouteSocket,
  spec: LinkSpec & { alias?: undefined; port?: undefined; ipv4?: undefined },
): Link {
  const made = create(rt, spec, Flag.echo);
  const link = made === undefined ? getLink(rt, spec.name) : decodeLink(made);
  if (link !== undefined) return link;
  throw new Error(`link ${spec.name} was deleted by somebody else while it was being made`);
}

/**
 * As {@link createLink}, but the link is made in the other namespace, where the caller looks for it. A lower device is the
 * socket's own. The kernel also refuses names that the socket's namespace has.
 */
export function createLinkIn(rt: RouteSocket, netns: Netns, spec: Parameters<typeof createLink>[1]): void {
  create(rt, spec, 0, netns);
}

function create(rt: RouteSocket, spec: LinkSpec, flags: number, netns?: Netns): Message | undefined {
  const { up, promisc, allMulticast, ...settings } = spec;
  const peer = spec.kind === "veth" ? ` (peer ${spec.peer.name})` : "";
  const link = "lower" in spec ? spec.lower : undefined;
  const attrs = { ...linkSettings({ ...settings, netns }), ...queueCounts(spec), link };
  return rt.execute({
    type: Rtm.newLink,
    flags: Flag.create | Flag.excl | flags,
    body: writeLink({ ...attrs, name: spec.name, info: newLinkInfo(spec) }, flagChange({ up, promisc, allMulticast })),
    label: `RTM_NEWLINK ${spec.name}${peer}`,
  });
}

/**
 * Changes a link: `ip link set`. Only what is given changes. Bridge and port settings are applied before the rest; port
 * settings of a link that gets its master in the same change, after.
 * @throws NetlinkError ENODEV
 */
export function setLink(rt: RouteSocket, nameOrIndex: string | number, change: LinkChange): void {
  const { port, bridge, ...rest } = change;
  const label = `RTM_NEWLINK ${nameOrIndex}`;
  if (port === undefined && bridge === undefined) {
    changeLink(rt, nameOrIndex, rest);
    return;
  }
  // By index only: RTM_NEWLINK with an unknown name and a group changes every link of the group.
  const index = typeof nameOrIndex === "number" ? nameOrIndex : linkIndex(rt, nameOrIndex);
  const info: LinkInfo = {
    ...(bridge === undefined ? {} : { kind: "bridge", bridge }),
    ...(port === undefined ? {} : { portKind: "bridge", port }),
  };
  if (rest.master !== undefined) {
    changeLink(rt, index, { master: rest.master });
  }
  const { master: _, ...others } = rest;
  const body = writeLink({ ...linkSettings(others), name: others.name, info }, { index, ...flagChange(others) });
  rt.execute({ type: Rtm.newLink, body, label });
}

function changeLink(rt: RouteSocket, nameOrIndex: string | number, change: LinkChange): void {
  const renames = change.name !== undefined && typeof nameOrIndex === "string";
  rt.execute(setLinkRequest(renames ? linkIndex(rt, nameOrIndex) : nameOrIndex, change));
}

/** What {@link setLink} sends, for a batch. */
export function setLinkRequest(nameOrIndex: string | number, change: Omit<LinkChange, "port" | "bridge">): Request {
  const { index, name } = identity(nameOrIndex);
  const attributes = { ...linkSettings(change), name: change.name ?? name };
  const body = writeLink(attributes, { index, ...flagChange(change) });
  return { type: Rtm.setLink, body, label: `RTM_SETLINK ${nameOrIndex}` };
}

function linkIndex(rt: RouteSocket, name: string): number {
  const link = decodeLink(rt.ask({ type: Rtm.getLink, body: writeLink({ name }), label: `RTM_GETLINK ${name}` }));
  return link.index;
}

/**
 * Deletes a link: `ip link del`. Returns when the last trace of it is gone, which takes a veth some 20 ms; it has
 * left every view, and RTM_DELLINK has been sent, after about 4.
 * @throws NetlinkError ENODEV unless missingOk
 */
export function deleteLink(rt: RouteSocket, nameOrIndex: string | number, options: { missingOk?: boolean } = {}): void {
  const { index, name } = identity(nameOrIndex);
  try {
    rt.execute({ type: Rtm.delLink, body: writeLink({ name }, { index }), label: `RTM_DELLINK ${nameOrIndex}` });
  } catch (error) {
    if (!(options.missingOk && isNetlinkError(error, "ENODEV"))) throw error;
  }
}

/**
 * Deletes every link of the group in one message, which costs far less a link than one by one. An empty group is no error.
 * @throws RangeError for group 0, the one that every link is in at first
 */
export function deleteLinkGroup(rt: RouteSocket, group: number): void {
  if (group === 0) throw new RangeError("group 0 is every link's own; it cannot be deleted");
  try {
    rt.execute({ type: Rtm.delLink, body: writeLink({ group }), label: `RTM_DELLINK group ${group}` });
  } catch (error) {
    if (!isNetlinkError(error, "ENODEV")) throw error;
  }
}

/** What an RTM_NEWLINK or RTM_DELLINK says. */
export function decodeLink(message: Message): Link {
  const { header, attrs } = linkMessage.read(new Reader(message.body));
  const { flags } = header;
  const decoded: { -readonly [K in keyof Link]: Link[K] } = {
    index: header.index,
    name: attrs.name ?? "",
    mtu: attrs.mtu ?? 0,
    up: (flags & LinkFlag.up) !== 0,
    lowerUp: (flags & LinkFlag.lowerUp) !== 0,
    operState: OPER_STATES[attrs.operState ?? 0] ?? "unknown",
    group: attrs.group ?? 0,
    txQueueLength: attrs.txQueueLength ?? 0,
    promisc: (flags & LinkFlag.promisc) !== 0,
    flags,
  };
  const { info, address, master, link, alias, protocols } = attrs;
  if (address?.length === 6) decoded.mac = macFromBytes(address);
  if (master !== undefined) decoded.master = master;
  if (link !== undefined && link !== 0) decoded.peerIndex = link;
  if (alias !== undefined) decoded.alias = alias;
  if (info !== undefined) {
    const { veth: _sentOnly, portKind: _ofMaster, ...facts } = info; // which have the same names here
    Object.assign(decoded, facts);
  }
  if (protocols?.ipv4?.conf !== undefined) decoded.ipv4 = protocols.ipv4.conf;
  if (protocols?.ipv6?.conf !== undefined) decoded.ipv6 = protocols.ipv6.conf;
  return decoded;
}

/** An index as it is, a name as IFLA_IFNAME. @throws RangeError for index 0, which the kernel reads as "any" */
function identity(nameOrIndex: string | number): { index: number; name: string | undefined } {
  if (typeof nameOrIndex === "string") return { index: 0, name: nameOrIndex };
  if (nameOrIndex <= 0) throw new RangeError(`${nameOrIndex} is not a link's index`);
  return { index: nameOrIndex, name: undefined };
}

function linkSettings(settings: LinkChange): LinkAttrs {
  const { mac, mtu, master, alias, group, txQueueLength, netns, ipv4 } = settings;
  const address = mac === undefined ? undefined : macToBytes(mac);
  const protocols = ipv4 === undefined ? undefined : { ipv4: { conf: ipv4 } };
  return { address, mtu, master, alias, group, txQueueLength, netnsFd: netns?.fd, protocols };
}

function newLinkInfo(spec: LinkSpec): LinkInfo {
  const { kind } = spec;
  if (kind === "veth") return { kind, veth: vethPair(spec.peer) };
  if (kind === "bridge") return { kind, bridge: spec.bridge ?? {} };
  if (kind === "vxlan")
    return { kind, vxlan: { ...(spec.vxlan.collectMetadata ? { learning: false } : {}), ...spec.vxlan } };
  const { gre, ipip, vrf, macvlan, ipvlan, vlan }: LinkInfo = spec;
  return { kind, gre, ipip, vrf, macvlan, ipvlan, vlan };
}

function queueCounts({ queues }: Pick<VethPeer, "queues">): Pick<LinkAttrs, "txQueues" | "rxQueues"> {
  return { txQueues: queues, rxQueues: queues };
}

function vethPair({ name, netns, mac, mtu, txQueueLength, group, queues }: VethPeer): VethData {
  const address = mac === undefined ? undefined : macToBytes(mac);
  return { peer: { ...queueCounts({ queues }), address, name, mtu, txQueueLength, group, netnsFd: netns?.fd } };
}

function raisePeer(rt: RouteSocket, { name, netns }: VethPeer): void {
  if (netns === undefined) {
    setLink(rt, name, { up: true });
    return;
  }
  using there = openRoute(netns);
  setLink(there, name, { up: true });
}

/** ifi_flags and ifi_change: the bits to set, and which bits are meant. */
function flagChange({ up, promisc, allMulticast }: Pick<LinkSettings, "up" | "promisc" | "allMulticast">): {
  flags: number;
  change: number;
} {
  let flags = 0;
  let change = 0;
  for (const [bit, wanted] of [
    [LinkFlag.up, up],
    [LinkFlag.promisc, promisc],
    [LinkFlag.allMulticast, allMulticast],
  ] as const) {
    if (wanted === undefined) continue;
    change |= bit;
    if (wanted) flags |= bit;
  }
  return { flags, change };
}

function writeLink(
  attrs: LinkAttrs,
  header: { index?: number; flags?: number; change?: number } = {},
): (to: Writer) => void {
  const { index = 0, flags = 0, change = 0 } = header;
  return (to) => linkMessage.write(to, { header: { family: 0, padding: 0, type: 0, index, flags, change }, attrs });
}
