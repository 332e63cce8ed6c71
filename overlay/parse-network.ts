import type { Backend } from "../backends/backend.ts";
import { checkBackend, RANGES, type UncheckedBackend } from "../backends/check.ts";
import { clashOf, numbersApart } from "../backends/clash.ts";
import {
  overlaps,
  type Prefix,
  parseNetwork,
  parsePrefix,
  prefixAddress,
  prefixFamily,
  prefixLength,
} from "../net/prefix.ts";
import { backendsOf, type NetworkSpec, type Underlay } from "./network.ts";
import { type Span, spanOf, spansOverlap } from "./span.ts";

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

/** So that the mark with the name fits into a link's alias of 255 bytes. */
const MAX_NAME_LENGTH = 200;
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
  const backend = checkBackend(unchecked.backend, cidrs);
  const change = unchecked.change && {
    previous: checkBackend(unchecked.change.previous, cidrs),
    generation: generation(unchecked.change.generation, "generation"),
    required: generation(unchecked.change.required, "required"),
  };
  if (change !== undefined) refuseClash(backend, change.previous, "its backend before");
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

function generation(value: number, key: string): number {
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new RangeError(`${key} ${value} is not a whole number`);
}

function checkMtu(mtu: number, what: string): void {
  const [low, high] = RANGES.mtu;
  if (!Number.isInteger(mtu) || mtu < low || mtu > high)
    throw new RangeError(`${what} is ${mtu}, not in ${low}..${high}`);
}

function refuseConflict(network: NetworkSpec, other: NetworkSpec): void {
  if (network.name === other.name) throw new RangeError("another one has the same name");
  for (const cidr of network.cidrs) {
    const clash = other.cidrs.find((theirs) => overlaps(cidr, theirs));
    if (clash !== undefined) throw new RangeError(`CIDR ${cidr} overlaps ${clash} of network "${other.name}"`);
  }
  for (const mine of backendsOf(network)) {
    for (const theirs of backendsOf(other)) {
      const holder = `network "${other.name}"`;
      refuseClash(mine, theirs, holder);
      if (mine.vni !== theirs.vni || numbersApart(mine, theirs) !== "device") continue;
      throw new RangeError(`backend.vni: ${mine.vni} is used by ${holder}; choose another`);
    }
  }
}

/** @throws RangeError when one node cannot have both */
function refuseClash(a: Backend, b: Backend, holder: string): void {
  const clash = clashOf(a, b, holder);
  if (clash !== undefined) throw new RangeError(clash);
}
