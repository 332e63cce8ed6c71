import { type Address, type Family, familyOf } from "../../net/address.ts";
import { type Mac, macFromBytes, macToBytes } from "../../net/mac.ts";
import { Reader, type Writer } from "../netlink/bytes.ts";
import { isNetlinkError, type NetlinkError } from "../netlink/error.ts";
import { Flag, type Message } from "../netlink/message.ts";
import type { Request } from "../netlink/socket.ts";
import { Af, familyNumber, Rtm } from "./message-types.ts";
import {
  NeighbourFlag,
  type NeighbourState,
  NUD_PERMANENT,
  neighbourAttrs,
  neighbourHeader,
} from "./neighbour-message.ts";
import type { RouteSocket } from "./socket.ts";

/** An entry of the ARP or ND table: `ip neighbour`. */
export interface Neighbour {
  readonly index: number;
  readonly address: Address;
  /** Absent while unresolved and for proxy entries. */
  readonly mac?: Mac | undefined;
  /** permanent when absent. */
  readonly state?: NeighbourState | undefined;
  /** NDA_PROTOCOL: who put it there; ours is ROUTE_PROTOCOL of kernel/mark.ts. */
  readonly protocol?: number | undefined;
}

/** An entry of a bridge's or VXLAN device's forwarding table: `bridge fdb`. */
export interface FdbEntry {
  /** The VXLAN device, or the bridge port. */
  readonly index: number;
  /** 00:00:00:00:00:00 is a VXLAN device's default destination. */
  readonly mac: Mac;
  /** The remote VTEP. */
  readonly dst?: Address | undefined;
  readonly vni?: number | undefined;
  /** NDA_SRC_VNI of collect-metadata devices. */
  readonly sourceVni?: number | undefined;
  /** UDP port of the remote VTEP. */
  readonly port?: number | undefined;
  readonly vlan?: number | undefined;
  /** NTF_SELF: the device's own table. When neither is set: self with dst, else master. */
  readonly self?: boolean | undefined;
  /** NTF_MASTER: the table of the bridge the port belongs to. */
  readonly master?: boolean | undefined;
  /** permanent when absent; in a bridge's table that is the host's own address, and "noarp" is a fixed one behind the port. */
  readonly state?: NeighbourState | undefined;
}

/** ARP and ND entries; those of the whole namespace without an index: `ip neighbour show nud all`. */
export function listNeighbours(
  rt: RouteSocket,
  filter: { index?: number | undefined; family?: Family | undefined; protocol?: number | undefined } = {},
): Neighbour[] {
  const { index, protocol } = filter;
  const families: readonly Family[] = filter.family === undefined ? [4, 6] : [filter.family];
  const neighbours = families.flatMap((family) => {
    const body = (to: Writer) => {
      writeHeader(to, { family: familyNumber(family) });
      neighbourAttrs.write(to, { ifIndex: index });
    };
    return rt.dump({ type: Rtm.getNeighbour, body, label: "RTM_GETNEIGH" }, decodeNeighbour);
  });
  return neighbours.filter(
    (neighbour) =>
      (index === undefined || neighbour.index === index) && (protocol === undefined || neighbour.protocol === protocol),
  );
}

/** `ip neighbour get`; undefined when there is no entry, or no such link. */
export function getNeighbour(
  rt: RouteSocket,
  { index, address }: Pick<Neighbour, "index" | "address">,
): Neighbour | undefined {
  const body = (to: Writer) => {
    writeHeader(to, { family: familyNumber(familyOf(address)), index });
    neighbourAttrs.write(to, { dst: address });
  };
  try {
    return decodeNeighbour(rt.ask({ type: Rtm.getNeighbour, body, label: `RTM_GETNEIGH ${address} dev ${index}` }));
  } catch (error) {
    if (isNetlinkError(error, "ENOENT", "ENODEV")) return undefined;
    throw error;
  }
}

/** `ip neighbour replace`. */
export function replaceNeighbour(rt: RouteSocket, neighbour: Neighbour): void {
  rt.execute(replaceNeighbourRequest(neighbour));
}

/**
 * {@link replaceNeighbour} for many with few system calls. One that is refused does not stop the others.
 * @returns for each undefined, or why the kernel refused it
 */
export function replaceNeighbours(rt: RouteSocket, neighbours: readonly Neighbour[]): (NetlinkError | undefined)[] {
  return rt.executeAll(neighbours.map(replaceNeighbourRequest));
}

function replaceNeighbourRequest({ index, address, mac, state = "permanent", protocol }: Neighbour): Request {
  const body = (to: Writer) => {
    writeHeader(to, { family: familyNumber(familyOf(address)), index, state });
    neighbourAttrs.write(to, { dst: address, mac: mac === undefined ? undefined : macToBytes(mac), protocol });
  };
  const label = `RTM_NEWNEIGH ${address} dev ${index}`;
  return { type: Rtm.newNeighbour, flags: Flag.create | Flag.replace, body, label };
}

/** `ip neighbour del`. @throws NetlinkError ENOENT (no such entry) or ENODEV (no such link) unless missingOk */
export function deleteNeighbour(
  rt: RouteSocket,
  { index, address }: Pick<Neighbour, "index" | "address">,
  options: { missingOk?: boolean } = {},
): void {
  const body = (to: Writer) => {
    writeHeader(to, { family: familyNumber(familyOf(address)), index });
    neighbourAttrs.write(to, { dst: address });
  };
  try {
    rt.execute({ type: Rtm.delNeighbour, body, label: `RTM_DELNEIGH ${address} dev ${index}` });
  } catch (error) {
    if (!(options.missingOk && isNetlinkError(error, "ENOENT", "ENODEV"))) throw error;
  }
}

/** What an RTM_NEWNEIGH or RTM_DELNEIGH says of ARP or ND; undefined for entries of other tables. */
export function decodeNeighbour(message: Message): Neighbour | undefined {
  const from = new Reader(message.body);
  const { family, index, state, flags } = neighbourHeader.read(from);
  if ((family !== Af.inet && family !== Af.inet6) || flags & NeighbourFlag.proxy) return undefined;
  const { dst, mac, protocol } = neighbourAttrs.read(from);
  if (dst === undefined) return undefined;
  return {
    index,
    address: dst,
    ...(mac?.length === 6 ? { mac: macFromBytes(mac) } : {}),
    state,
    ...(protocol === undefined ? {} : { protocol }),
  };
}

/** Forwarding entries: of a link (index: VXLAN device or port), of a bridge and its ports, or of the namespace: `bridge fdb show`. */
export function listFdb(
  rt: RouteSocket,
  filter: { index?: number | undefined; bridge?: number | undefined } = {},
): FdbEntry[] {
  const { index, bridge } = filter;
  const body = (to: Writer) => {
    writeHeader(to, { family: Af.bridge });
    neighbourAttrs.write(to, { ifIndex: index, master: bridge });
  };
  const entries = rt.dump({ type: Rtm.getNeighbour, body, label: "RTM_GETNEIGH bridge" }, decodeFdb);
  return index === undefined ? entries : entries.filter((entry) => entry.index === index);
}

/** `bridge fdb replace`: the MAC has this destination alone afterwards. A VXLAN device's zero MAC cannot be replaced, only appended to. */
export function replaceFdb(rt: RouteSocket, entry: FdbEntry): void {
  rt.execute(fdbRequest(Rtm.newNeighbour, Flag.create | Flag.replace, entry));
}

/** {@link replaceFdb} for many; otherwise as {@link replaceNeighbours}. */
export function replaceFdbs(rt: RouteSocket, entries: readonly FdbEntry[]): (NetlinkError | undefined)[] {
  return rt.executeAll(entries.map((entry) => fdbRequest(Rtm.newNeighbour, Flag.create | Flag.replace, entry)));
}

/** `bridge fdb append`: one more destination of the MAC; no error when it is one already. */
export function appendFdb(rt: RouteSocket, entry: FdbEntry): void {
  rt.execute(fdbRequest(Rtm.newNeighbour, Flag.create | Flag.append, entry));
}

/** `bridge fdb del`. @throws NetlinkError ENOENT (no such entry) or ENODEV (no such link) unless missingOk */
export function deleteFdb(rt: RouteSocket, entry: FdbEntry, options: { missingOk?: boolean } = {}): void {
  try {
    rt.execute(fdbRequest(Rtm.delNeighbour, 0, entry));
  } catch (error) {
    if (!(options.missingOk && isNetlinkError(error, "ENOENT", "ENODEV"))) throw error;
  }
}

function fdbRequest(type: number, flags: number, entry: FdbEntry): Request {
  const verb = type === Rtm.newNeighbour ? "RTM_NEWNEIGH" : "RTM_DELNEIGH";
  const target = entry.dst === undefined ? "" : ` dst ${entry.dst}`;
  const label = `${verb} ${entry.mac} dev ${entry.index}${target}`;
  return { type, flags, body: (to) => writeFdb(to, entry), label };
}

function writeFdb(to: Writer, entry: FdbEntry): void {
  const { index, mac, dst, vni, sourceVni, port, vlan, state = "permanent" } = entry;
  const self = entry.self ?? (entry.master === undefined && dst !== undefined);
  const master = entry.master ?? (entry.self === undefined && dst === undefined);
  const flags = (self ? NeighbourFlag.self : 0) | (master ? NeighbourFlag.master : 0);
  writeHeader(to, { family: Af.bridge, index, state, flags });
  neighbourAttrs.write(to, { dst, mac: macToBytes(mac), vlan, port, vni, sourceVni });
}

/** What an RTM_NEWNEIGH or RTM_DELNEIGH says of a forwarding table; undefined for ARP and ND. */
export function decodeFdb(message: Message): FdbEntry | undefined {
  const from = new Reader(message.body);
  const { family, index, state, flags } = neighbourHeader.read(from);
  if (family !== Af.bridge) return undefined;
  const { mac, dst, vni, sourceVni, port, vlan, master } = neighbourAttrs.read(from);
  if (mac?.length !== 6) return undefined;
  return {
    index,
    mac: macFromBytes(mac),
    ...(dst === undefined ? {} : { dst }),
    ...(vni === undefined ? {} : { vni }),
    ...(sourceVni === undefined ? {} : { sourceVni }),
    ...(port === undefined ? {} : { port }),
    ...(vlan === undefined ? {} : { vlan }),
    self: (flags & NeighbourFlag.self) !== 0,
    master: (flags & NeighbourFlag.master) !== 0 || master !== undefined,
    state: fdbState(state),
  };
}

/** bridge(8) says NUD_NOARP together with NUD_PERMANENT, others do not: it means the same here. */
function fdbState(state: NeighbourState): NeighbourState {
  return typeof state === "number" && state & NUD_PERMANENT ? "permanent" : state;
}

interface Header {
  readonly family: number;
  readonly index?: number;
  readonly state?: NeighbourState;
  readonly flags?: number;
}

function writeHeader(to: Writer, { family, index = 0, state = 0, flags = 0 }: Header): void {
  neighbourHeader.write(to, { family, padding1: 0, padding2: 0, index, state, flags, type: 0 });
}
