import type { Link } from "../../kernel/rtnetlink/link.ts";
import type { RouteSocket } from "../../kernel/rtnetlink/socket.ts";
import {
  addClass,
  addFilter,
  addRootQdisc,
  deleteFilters,
  deleteIngressQdisc,
  deleteRootQdisc,
  ensureIngressQdisc,
  getQdisc,
  type HtbClass,
  listFilters,
  Parent,
  Protocol,
  type Tbf,
  type TcClass,
  type TcFilter,
  tcHandle,
  type U32Key,
} from "../../kernel/rtnetlink/tc.ts";
import { addressToBytes } from "../../net/address.ts";
import { type Prefix, prefixAddress, prefixFamily, prefixLength } from "../../net/prefix.ts";
import type { Rate, ShapedSubnets } from "./conf.ts";

/** The handle of our qdiscs ("pw") and the priority of our filters: what carries another is not ours. */
const MARK = 0x7077;
export const QDISC_HANDLE = tcHandle(MARK);
/** Minor numbers of the classes, as the reference plugin's. */
const CLASS = { shaped: 0x30, unshaped: 1 } as const;
/** Bytes a second of what is not shaped; and of one turn, since a share of that rate is more than the kernel takes. */
const UNSHAPED: HtbClass = { rate: 100_000_000_000, burst: 0, quantum: 200_000 };
/** How long a frame may wait, as with the reference plugin. */
const LATENCY_SECONDS = 0.025;
/** Ethernet header and VLAN tag. */
const FRAME_OVERHEAD = 18;
const U32_MAX = 0xffffffff;

/** What goes out by a link, and at which end of it the subnets are. */
export interface Shape {
  readonly rate: Rate;
  readonly subnets: ShapedSubnets | undefined;
  readonly remote: "source" | "destination";
}

/** What a link has for its shape: one bucket, or classes where some is shaped and some is not. */
export type Shaping =
  | { readonly kind: "tbf"; readonly tbf: Tbf }
  | {
      readonly kind: "htb";
      readonly defaultClass: number;
      readonly classes: readonly TcClass[];
      readonly filters: readonly TcFilter[];
    };

/** The bucket holds one frame at least, or nothing would ever leave. */
export function shapingOf(
  { index, mtu }: Pick<Link, "index" | "mtu">,
  { rate: asked, subnets, remote }: Shape,
): Shaping {
  const rate = asked.rate;
  const burst = Math.max(asked.burst, mtu + FRAME_OVERHEAD);
  if (subnets === undefined) {
    const limit = Math.min(Math.floor(rate * LATENCY_SECONDS) + burst, U32_MAX);
    return { kind: "tbf", tbf: { rate, burst, limit } };
  }
  const classOf = (minor: number, htb: HtbClass) => ({
    index,
    handle: tcHandle(MARK, minor),
    parent: QDISC_HANDLE,
    htb,
  });
  const matched = subnets.shaped ? CLASS.shaped : CLASS.unshaped;
  return {
    kind: "htb",
    defaultClass: subnets.shaped ? CLASS.unshaped : CLASS.shaped,
    classes: [classOf(CLASS.unshaped, UNSHAPED), classOf(CLASS.shaped, { rate, burst, quantum: quantumOf(rate, mtu) })],
    filters: subnets.prefixes.map((prefix) => subnetFilter(index, prefix, remote, tcHandle(MARK, matched))),
  };
}

/** A tenth of a second's bytes, within what the kernel takes without a word. */
function quantumOf(rate: number, mtu: number): number {
  return Math.max(Math.min(Math.floor(rate / 10), 200_000), mtu + FRAME_OVERHEAD);
}

/** The filters of one priority are for one protocol. */
const FILTERS = { 4: { protocol: Protocol.ip, priority: 16 }, 6: { protocol: Protocol.ipv6, priority: 15 } } as const;
/** Where the addresses begin in the headers of RFC 791 and RFC 8200. */
const OFFSETS = { 4: { source: 12, destination: 16 }, 6: { source: 8, destination: 24 } } as const;

function subnetFilter(index: number, prefix: Prefix, remote: Shape["remote"], classId: number): TcFilter {
  const family = prefixFamily(prefix);
  const keys = prefixKeys(prefix, OFFSETS[family][remote]);
  return { index, parent: QDISC_HANDLE, ...FILTERS[family], u32: { keys, classId } };
}

function prefixKeys(prefix: Prefix, offset: number): readonly U32Key[] {
  const bytes = Buffer.from(addressToBytes(prefixAddress(prefix)));
  const keys: U32Key[] = [];
  for (let at = 0; at * 8 < prefixLength(prefix); at += 4) {
    const bits = Math.min(32, prefixLength(prefix) - at * 8);
    keys.push({ value: bytes.readUInt32BE(at), mask: U32_MAX - (2 ** (32 - bits) - 1), offset: offset + at });
  }
  return keys;
}

/** Shapes what goes out by the link. @throws NetlinkError EEXIST when somebody else's qdisc hangs there */
export function shape(rt: RouteSocket, link: Pick<Link, "index" | "mtu">, wanted: Shape): void {
  const { index } = link;
  const shaping = shapingOf(link, wanted);
  deleteRootQdisc(rt, { index, handle: QDISC_HANDLE }); // of an ADD that was not followed by a DEL
  if (shaping.kind === "tbf") {
    addRootQdisc(rt, { index, handle: QDISC_HANDLE, kind: "tbf", tbf: shaping.tbf });
    return;
  }
  const { defaultClass, classes, filters } = shaping;
  addRootQdisc(rt, { index, handle: QDISC_HANDLE, kind: "htb", htb: { defaultClass } });
  for (const each of classes) addClass(rt, each);
  for (const each of filters) addFilter(rt, each);
}

export function unshape(rt: RouteSocket, index: number): void {
  deleteRootQdisc(rt, { index, handle: QDISC_HANDLE });
}

/** Makes what comes in by the link go out by another one first, where it can be shaped. */
export function redirect(rt: RouteSocket, index: number, target: number): void {
  if (!ensureIngressQdisc(rt, index)) deleteFilters(rt, redirection(index));
  addFilter(rt, { ...redirection(index), u32: { keys: [], classId: tcHandle(1, 1), redirect: target } });
}

/** Undoes {@link redirect}. The qdisc goes when nobody has a filter there. */
export function undoRedirect(rt: RouteSocket, index: number): void {
  if (!deleteFilters(rt, redirection(index))) return;
  const kind = getQdisc(rt, index, Parent.ingress)?.kind;
  if (kind === "ingress" && listFilters(rt, { index, parent: Parent.ingressFilters }).length === 0) {
    deleteIngressQdisc(rt, index);
  }
}

/** Index of the link where what comes in goes to; undefined when it is not redirected. */
export function redirectTarget(rt: RouteSocket, index: number): number | undefined {
  const filters = listFilters(rt, { index, parent: Parent.ingressFilters });
  return filters.find(({ priority }) => priority === MARK)?.u32.redirect;
}

function redirection(index: number): Omit<TcFilter, "u32"> {
  return { index, parent: Parent.ingressFilters, priority: MARK, protocol: Protocol.all };
}
