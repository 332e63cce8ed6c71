import { Reader, type Writer } from "../netlink/bytes.ts";
import { isNetlinkError } from "../netlink/error.ts";
import { Flag, type Message } from "../netlink/message.ts";
import { messageTypeName, Rtm } from "./message-types.ts";
import type { RouteSocket } from "./socket.ts";
import {
  type Htb,
  type HtbClass,
  readHtb,
  readHtbClass,
  readTbf,
  readU32,
  type Tbf,
  type TcHeader,
  tcAttrs,
  tcHeader,
  type U32,
  type U32Key,
  writeHtb,
  writeHtbClass,
  writeTbf,
  writeU32,
} from "./tc-message.ts";

export type { Htb, HtbClass, Tbf, U32, U32Key };

/** TC_H_*, <linux/pkt_sched.h>: places of a link where a qdisc can hang, and where filters for what comes in do. */
export const Parent = { root: 0xffffffff, ingress: 0xfffffff1, ingressFilters: 0xfffffff2 } as const;
/** The handle of every ingress qdisc. */
const INGRESS_HANDLE = 0xffff0000;

/** ETH_P_*, <linux/if_ether.h>: of which packets a filter is. */
export const Protocol = { all: 0x0003, ip: 0x0800, ipv6: 0x86dd } as const;

/** `7077:1` for (0x7077, 1). */
export function tcHandle(major: number, minor = 0): number {
  return major * 0x10000 + minor;
}

/** A queueing discipline to hang onto a link. */
export type QdiscSpec = { readonly index: number; readonly handle: number } & (
  | { readonly kind: "tbf"; readonly tbf: Tbf }
  | { readonly kind: "htb"; readonly htb: Htb }
);

/** One that the kernel holds; of kinds that are not ours, no more than the kind. */
export interface Qdisc {
  readonly index: number;
  readonly handle: number;
  readonly parent: number;
  readonly kind: string;
  readonly tbf?: Tbf | undefined;
  readonly htb?: Htb | undefined;
}

/** A class of an htb qdisc. */
export interface TcClass {
  readonly index: number;
  readonly handle: number;
  readonly parent: number;
  readonly htb: HtbClass;
}

/** A filter of a qdisc. */
export interface TcFilter {
  readonly index: number;
  readonly parent: number;
  /** Lower ones are asked first; filters of one priority are for one protocol. */
  readonly priority: number;
  /** Of {@link Protocol}. */
  readonly protocol: number;
  readonly u32: U32;
}

/** `tc qdisc add dev LINK root …`. @throws NetlinkError EEXIST when the link has one that is not the kernel's default */
export function addRootQdisc(rt: RouteSocket, spec: QdiscSpec): void {
  const options = spec.kind === "tbf" ? writeTbf(spec.tbf) : writeHtb(spec.htb);
  create(rt, Rtm.newQdisc, { index: spec.index, handle: spec.handle, parent: Parent.root }, spec.kind, options);
}

/**
 * `tc qdisc del dev LINK root handle HANDLE`: the kernel's default takes its place. Another one's stays.
 * @returns whether it was there
 */
export function deleteRootQdisc(rt: RouteSocket, { index, handle }: Pick<Qdisc, "index" | "handle">): boolean {
  return remove(rt, Rtm.delQdisc, { index, handle, parent: Parent.root });
}

/** `tc qdisc add dev LINK ingress`, unless there is one (of kind clsact, too). @returns whether it was made */
export function ensureIngressQdisc(rt: RouteSocket, index: number): boolean {
  try {
    create(rt, Rtm.newQdisc, { index, handle: INGRESS_HANDLE, parent: Parent.ingress }, "ingress");
    return true;
  } catch (error) {
    if (isNetlinkError(error, "EEXIST")) return false;
    throw error;
  }
}

/** `tc qdisc del dev LINK ingress`, with all its filters. @returns whether it was there */
export function deleteIngressQdisc(rt: RouteSocket, index: number): boolean {
  return remove(rt, Rtm.delQdisc, { index, handle: INGRESS_HANDLE, parent: Parent.ingress });
}

/** The qdisc that hangs there, undefined when it is none that can be told. Others' are not listed, however many there are. */
export function getQdisc(rt: RouteSocket, index: number, parent: number): Qdisc | undefined {
  try {
    // Without "echo" the kernel tells everybody who listens, and not who asks.
    const request = { type: Rtm.getQdisc, flags: Flag.echo, label: `RTM_GETQDISC ${index}` };
    return decodeQdisc(rt.ask({ ...request, body: (to) => tcHeader.write(to, header({ index, parent })) }));
  } catch (error) {
    if (isNetlinkError(error, "ENOENT", "EINVAL", "ENODEV")) return undefined;
    throw error;
  }
}

/** `tc class add dev LINK parent PARENT classid HANDLE htb …`. @throws NetlinkError EEXIST */
export function addClass(rt: RouteSocket, { index, handle, parent, htb }: TcClass): void {
  create(rt, Rtm.newClass, { index, handle, parent }, "htb", writeHtbClass(htb));
}

/** `tc class show dev LINK`, of htb. */
export function listClasses(rt: RouteSocket, index: number): TcClass[] {
  const body = (to: Writer) => tcHeader.write(to, header({ index }));
  return rt.dump({ type: Rtm.getClass, body, label: `RTM_GETTCLASS ${index}` }, decodeClass);
}

/** `tc filter add dev LINK parent PARENT protocol PROTOCOL pref PRIORITY u32 …`. */
export function addFilter(rt: RouteSocket, { index, parent, priority, protocol, u32 }: TcFilter): void {
  const info = filterInfo(priority, protocol);
  create(rt, Rtm.newFilter, { index, parent, info }, "u32", writeU32(u32));
}

/** `tc filter show dev LINK parent PARENT`, of u32. */
export function listFilters(rt: RouteSocket, { index, parent }: Pick<TcFilter, "index" | "parent">): TcFilter[] {
  const body = (to: Writer) => tcHeader.write(to, header({ index, parent }));
  return rt.dump({ type: Rtm.getFilter, body, label: `RTM_GETTFILTER ${index}` }, decodeFilter);
}

/** `tc filter del dev LINK parent PARENT protocol PROTOCOL pref PRIORITY`: all of that priority. @returns whether there were any */
export function deleteFilters(rt: RouteSocket, { index, parent, priority, protocol }: Omit<TcFilter, "u32">): boolean {
  return remove(rt, Rtm.delFilter, { index, parent, info: filterInfo(priority, protocol) });
}

function create(rt: RouteSocket, type: number, place: Partial<TcHeader>, kind: string, options?: Uint8Array): void {
  rt.execute({
    type,
    flags: Flag.create | Flag.excl,
    body: (to) => {
      tcHeader.write(to, header(place));
      tcAttrs.write(to, { kind, options });
    },
    label: `${messageTypeName(type)} ${kind} dev ${place.index}`,
  });
}

function remove(rt: RouteSocket, type: number, place: Partial<TcHeader>): boolean {
  const label = `${messageTypeName(type)} dev ${place.index}`;
  try {
    rt.execute({ type, body: (to) => tcHeader.write(to, header(place)), label });
    return true;
  } catch (error) {
    // EINVAL: another one hangs there, or what it would hang on is not there.
    if (isNetlinkError(error, "ENOENT", "EINVAL", "ENODEV")) return false;
    throw error;
  }
}

function header(given: Partial<TcHeader>): TcHeader {
  return { family: 0, pad1: 0, pad2: 0, index: 0, handle: 0, parent: 0, info: 0, ...given };
}

/** The priority above the protocol, which is in network byte order. */
function filterInfo(priority: number, protocol: number): number {
  return priority * 0x10000 + networkOrder(protocol);
}

function networkOrder(value: number): number {
  const bytes = Uint8Array.of(value >> 8, value & 0xff);
  return new Uint16Array(bytes.buffer)[0] ?? 0;
}

/** What an RTM_NEWQDISC or RTM_DELQDISC says. */
export function decodeQdisc(message: Message): Qdisc {
  const { index, handle, parent, kind, options } = read(message);
  const qdisc = { index, handle, parent, kind };
  if (kind === "tbf") return { ...qdisc, tbf: readTbf(options) };
  if (kind === "htb") return { ...qdisc, htb: readHtb(options) };
  return qdisc;
}

/** What an RTM_NEWTCLASS says; undefined for classes of other kinds. */
export function decodeClass(message: Message): TcClass | undefined {
  const { index, handle, parent, kind, options } = read(message);
  const htb = kind === "htb" ? readHtbClass(options) : undefined;
  return htb === undefined ? undefined : { index, handle, parent, htb };
}

/** What an RTM_NEWTFILTER says; undefined for filters of other kinds, and for hash tables of filters. */
export function decodeFilter(message: Message): TcFilter | undefined {
  const { index, parent, info, kind, options } = read(message);
  const u32 = kind === "u32" ? readU32(options) : undefined;
  if (u32 === undefined) return undefined;
  return { index, parent, priority: Math.floor(info / 0x10000), protocol: networkOrder(info & 0xffff), u32 };
}

function read(message: Message): TcHeader & { readonly kind: string; readonly options: Uint8Array } {
  const from = new Reader(message.body);
  const head = tcHeader.read(from);
  const { kind = "", options = new Uint8Array() } = tcAttrs.read(from);
  return { ...head, kind, options };
}
