import {
  overlaps,
  type Prefix,
  parseNetwork,
  parsePrefix,
  prefixAddress,
  prefixFamily,
  prefixLength,
} from "../net/prefix.ts";
import { backendsOf, type NetworkSpec, type OverlayBackend, type OvsBackend, type Underlay } from "./network.ts";
import { type Span, spanOf, spansOverlap } from "./span.ts";

/** A backend as the controller, a file or a user says it. */
export interface UncheckedBackend {
  /** "vxlan" when empty. */
  readonly type: string;
  /** "flow" when empty. */
  readonly mode?: string;
  /** Of ovs; "vxlan" when empty. */
  readonly tunnel?: string;
  /** Of vxlan and ovs, and the key of gre in static mode: 1 when 0 or absent. */
  readonly vni?: number;
  /** UDP; when 0 or absent 4790 (vxlan, flow), 8472 (vxlan, static), 51820 (wireguard), 4789 (vxlan of ovs) or 6081 (geneve). */
  readonly port?: number;
  readonly directRouting?: boolean;
  /** Computed when 0 or absent. */
  readonly mtu?: number;
}

/** A network as the controller, a file or a user says it. */
export interface UncheckedNetwork {
  readonly name: string;
  readonly cidrs: readonly string[];
  /** 0 or absent: 24 and 64. */
  readonly subnetLengths?: { readonly 4?: number; readonly 6?: number };
  readonly backend: UncheckedBackend;
  /** While the backend is being changed. */
  readonly change?: { readonly previous: UncheckedBackend; readonly generation: number; readonly required: number };
  readonly masquerade: boolean;
}

/** What passed the checks, and a sentence for each that did not. */
export interface Parsed<T> {
  readonly accepted: readonly T[];
  readonly refusals: readonly string[];
}

/** IANA: 4790 VXLAN-GPE. Linux, and so flannel: 8472. What WireGuard's own tools and everybody take: 51820. */
export const DEFAULT_PORT = { flow: 4790, static: 8472, wireguard: 51820 } as const;
/** IANA. GRE has none. */
export const DEFAULT_OVS_PORT = { vxlan: 4789, geneve: 6081 } as const;

/** So that the mark with the name fits into a link's alias of 255 bytes. */
const MAX_NAME_LENGTH = 200;
const MAX_VNI = 0xff_ffff;
/** A subnet's lowest address is the node's tunnel end and the next its gateway: two host bits at least. */
const MAX_SUBNET_LENGTH = { 4: 30, 6: 126 } as const;
/** Wider "networks" are mistakes or attacks: half of the Internet would go through a tunnel. */
const MIN_CIDR_LENGTH = 8;
const RESERVED = [
  "0.0.0.0/8",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "224.0.0.0/4",
  "255.255.255.255/32",
  "::/8",
  "fe80::/10",
  "ff00::/8",
].map((text) => spanOf(parseNetwork(text)));

/**
 * Checks networks against hostile or mistaken values. One that conflicts with an earlier one in the list (a CIDR, a
 * VNI, a port) is refused, so give them oldest first.
 */
export function parseNetworks(networks: readonly UncheckedNetwork[]): Parsed<NetworkSpec> {
  const accepted: NetworkSpec[] = [];
  const refusals: string[] = [];
  for (const unchecked of networks) {
    try {
      const network = parseNetworkSpec(unchecked);
      for (const other of accepted) refuseConflict(network, other);
      accepted.push(network);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      refusals.push(oneLine(`network ${quote(unchecked.name)} is refused: ${error.message}`));
    }
  }
  return { accepted, refusals };
}

/** Whether it is a name that may stand in a path, a mark or a message: one path component, never "." or "..". */
export function isNetworkName(name: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(name) && name.length <= MAX_NAME_LENGTH;
}

/** Checks one network. @throws RangeError saying the key, the value and what would be right. */
export function parseNetworkSpec(unchecked: UncheckedNetwork): NetworkSpec {
  const { name, masquerade } = unchecked;
  if (!isNetworkName(name)) {
    throw new RangeError(`its name is not one to ${MAX_NAME_LENGTH} of letters, digits, "_", "." and "-"`);
  }
  const subnetLengths = { 4: unchecked.subnetLengths?.[4] || 24, 6: unchecked.subnetLengths?.[6] || 64 };
  const cidrs = unchecked.cidrs.map(parseNetwork);
  if (cidrs.length === 0) throw new RangeError("it has no CIDR");
  if (new Set(cidrs.map(prefixFamily)).size < cidrs.length) {
    throw new RangeError(`it has more than one CIDR of a family: ${cidrs.join(", ")}`);
  }
  for (const cidr of cidrs) checkCidr(cidr, subnetLengths[prefixFamily(cidr)]);
  const backend = parseBackend(unchecked.backend, cidrs);
  const change = unchecked.change && {
    previous: parseBackend(unchecked.change.previous, cidrs),
    generation: generation(unchecked.change.generation, "generation"),
    required: generation(unchecked.change.required, "required"),
  };
  if (change !== undefined) refuseClash(backend, change.previous);
  return { name, cidrs, subnetLengths, backend, ...(change && { change }), masquerade };
}

/**
 * Checks what we know of our own interface to the peers.
 * @throws RangeError: without it nothing can be routed.
 */
export function parseUnderlay(device: string, mtu: number, addresses: readonly string[]): Underlay {
  // As the kernel's dev_valid_name().
  if (!/^[^\s/:]{1,15}$/.test(device) || device === "." || device === "..") {
    throw new RangeError(`underlay device ${quote(device)} is not an interface name`);
  }
  checkMtu(mtu, `the MTU of underlay device ${device}`);
  const prefixes = addresses.map(parsePrefix);
  if (prefixes.length === 0) throw new RangeError(`underlay device ${device} has no address`);
  for (const prefix of prefixes) checkUnderlayAddress(spanOf(prefixAddress(prefix)));
  return { device, mtu, addresses: prefixes };
}

/** @throws RangeError when no packet can be sent to such an address of a node. */
export function checkUnderlayAddress(address: Span): void {
  const range = RESERVED.find((reserved) => spansOverlap(reserved, address));
  if (range === undefined) return;
  throw new RangeError(`${prefixAddress(address.prefix)} is not an address of a node: ${range.prefix} is reserved`);
}

/** @throws RangeError for a subnet that no node can use. */
export function checkSubnet(subnet: Span): void {
  const longest = MAX_SUBNET_LENGTH[subnet.family];
  if (subnet.length > longest) throw new RangeError(`${subnet.prefix} is smaller than /${longest}`);
  const range = RESERVED.find((reserved) => spansOverlap(reserved, subnet));
  if (range !== undefined) throw new RangeError(`${subnet.prefix} is not for pods: ${range.prefix} is reserved`);
}

/** A hostile text in a message: quoted, control characters escaped, shortened. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}

/** A refusal as one line of a log, however hostile the values in it: no control characters, not endless. */
export function oneLine(sentence: string): string {
  return sentence.replace(/\p{Cc}/gu, "?").slice(0, 400);
}

function checkCidr(cidr: Prefix, subnetLength: number): void {
  if (prefixLength(cidr) < MIN_CIDR_LENGTH) throw new RangeError(`CIDR ${cidr} is wider than /${MIN_CIDR_LENGTH}`);
  checkSubnet(spanOf(cidr));
  const longest = MAX_SUBNET_LENGTH[prefixFamily(cidr)];
  if (!Number.isInteger(subnetLength) || subnetLength < prefixLength(cidr) || subnetLength > longest) {
    throw new RangeError(`subnet length ${subnetLength} is not in ${prefixLength(cidr)}..${longest}, as ${cidr} needs`);
  }
}

function parseBackend(unchecked: UncheckedBackend, cidrs: readonly Prefix[]): OverlayBackend {
  const backend = readBackend(unchecked);
  const ipv6 = cidrs.find((cidr) => prefixFamily(cidr) === 6);
  if (backend.type === "ipip" && ipv6 !== undefined) {
    throw new RangeError(`backend.type "ipip" carries IPv4 alone, and its CIDR ${ipv6} is IPv6; use "gre"`);
  }
  return backend;
}

function generation(value: number, key: string): number {
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new RangeError(`${key} ${value} is not a whole number`);
}

function readBackend(unchecked: UncheckedBackend): OverlayBackend {
  const { type, mode, vni, port, directRouting, mtu } = unchecked;
  if (mtu) checkMtu(mtu, "backend.mtu");
  const bound = mtu ? { mtu } : {};
  if (type === "host-gw") return { type, ...bound };
  if (type === "ovs") return parseOvs(unchecked, bound);
  if (type === "wireguard") {
    const udpPort = integer(port || DEFAULT_PORT.wireguard, 0xffff, "backend.port");
    return { type, port: udpPort, directRouting: directRouting ?? false, ...bound };
  }
  if (type !== "vxlan" && type !== "gre" && type !== "ipip" && type !== "") {
    throw new RangeError(`backend.type ${quote(type)} is not "vxlan", "gre", "ipip", "wireguard", "ovs" or "host-gw"`);
  }
  const chosen = mode || "flow";
  if (chosen !== "flow" && chosen !== "static") {
    throw new RangeError(`backend.mode ${quote(chosen)} is not "flow" or "static"`);
  }
  const tunnel = { mode: chosen as "flow" | "static", directRouting: directRouting ?? false, ...bound };
  if (type === "ipip") return { type, ...tunnel };
  const id = integer(vni || 1, MAX_VNI, "backend.vni");
  if (type === "gre") return { type, key: id, ...tunnel };
  return { type: "vxlan", vni: id, port: integer(port || DEFAULT_PORT[chosen], 0xffff, "backend.port"), ...tunnel };
}

function parseOvs(
  { mode: givenMode, tunnel: givenTunnel, vni, port, directRouting }: UncheckedBackend,
  bound: { readonly mtu?: number },
): OvsBackend {
  const mode = givenMode || "flow";
  if (mode !== "flow" && mode !== "static" && mode !== "both") {
    throw new RangeError(`backend.mode ${quote(mode)} is not "flow", "static" or "both"`);
  }
  const tunnel = givenTunnel || "vxlan";
  if (tunnel !== "gre" && tunnel !== "vxlan" && tunnel !== "geneve") {
    throw new RangeError(`backend.tunnel ${quote(tunnel)} is not "gre", "vxlan" or "geneve"`);
  }
  return {
    type: "ovs",
    tunnel,
    mode,
    vni: integer(vni || 1, MAX_VNI, "backend.vni"),
    port: tunnel === "gre" ? 0 : integer(port || DEFAULT_OVS_PORT[tunnel], 0xffff, "backend.port"),
    directRouting: directRouting ?? false,
    ...bound,
  };
}

function integer(value: number, largest: number, key: string): number {
  if (!Number.isInteger(value) || value < 1 || value > largest) {
    throw new RangeError(`${key} ${value} is not in 1..${largest}`);
  }
  return value;
}

function checkMtu(mtu: number, what: string): void {
  if (!Number.isInteger(mtu) || mtu < 576 || mtu > 65535) throw new RangeError(`${what} is ${mtu}, not in 576..65535`);
}

function refuseConflict(network: NetworkSpec, other: NetworkSpec): void {
  if (network.name === other.name) throw new RangeError("another one has the same name");
  for (const cidr of network.cidrs) {
    const clash = other.cidrs.find((theirs) => overlaps(cidr, theirs));
    if (clash !== undefined) throw new RangeError(`CIDR ${cidr} overlaps ${clash} of network "${other.name}"`);
  }
  for (const mine of backendsOf(network)) {
    for (const theirs of backendsOf(other)) refuseClash(mine, theirs, other.name);
  }
}

/**
 * Two backends that one node cannot have at once.
 * @param other the network of the second; none: both are this one's, which is being changed, and may share a device
 */
function refuseClash(a: OverlayBackend, b: OverlayBackend, other?: string): void {
  const whose = other === undefined ? "that of its backend before" : `that of network "${other}"`;
  if (a.type === "ipip" && b.type === "ipip" && a.mode !== b.mode) {
    throw new RangeError(`its mode is "${a.mode}" and ${whose} is "${b.mode}"; ipip has one mode a node`);
  }
  if (a.type === "vxlan" && b.type === "vxlan" && a.port === b.port && a.mode !== b.mode) {
    throw new RangeError(`UDP port ${a.port} is ${whose}, whose mode is "${b.mode}"`);
  }
  const [mine, theirs] = [udpUse(a), udpUse(b)];
  if (mine !== undefined && mine.port === theirs?.port && mine.kind !== theirs.kind) {
    throw new RangeError(`UDP port ${mine.port} is ${whose}, whose type is "${theirs.kind}"`);
  }
  if (other === undefined) return;
  if (a.type === "ovs" && b.type === "ovs" && a.tunnel === b.tunnel && a.vni === b.vni) {
    throw new RangeError(`VNI ${a.vni} is ${whose}; set another one`);
  }
  if (a.type === "gre" && b.type === "gre" && a.mode === "static" && b.mode === "static" && a.key === b.key) {
    throw new RangeError(`backend.vni ${a.key} is ${whose}; set another one`);
  }
  if (a.type === "vxlan" && b.type === "vxlan" && a.mode === "static" && b.mode === "static" && a.vni === b.vni) {
    throw new RangeError(`VNI ${a.vni} is ${whose}; set another one`);
  }
}

/** Two kinds of tunnels can't both have a UDP port. */
function udpUse(backend: OverlayBackend): { readonly port: number; readonly kind: string } | undefined {
  if (!("port" in backend) || backend.port === 0) return undefined;
  return { port: backend.port, kind: backend.type === "ovs" ? `ovs ${backend.tunnel}` : backend.type };
}
