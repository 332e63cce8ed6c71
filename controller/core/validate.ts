import {
  type Address,
  type Family,
  familyOf,
  isLinkLocal,
  isLoopback,
  isMulticast,
  isUnspecified,
  parseAddress,
} from "../../net/address.ts";
import { isGroupMac, type Mac, parseMac } from "../../net/mac.ts";
import { overlaps, type Prefix, parseNetwork, prefixFamily, prefixLength } from "../../net/prefix.ts";
import { parseWireguardPublicKey, type WireguardPublicKey } from "../../net/wireguard-key.ts";
import { invalid } from "./error.ts";

/** CNI specification, network configuration "name". */
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

/** Longest subnet of each family: two usable addresses beside network, gateway and broadcast. */
const LONGEST_SUBNET = { 4: 30, 6: 126 } as const;

/** No pod network may touch these (RFC 6890). */
const SPECIAL_NETWORKS = [
  ["0.0.0.0/8", "this network"],
  ["127.0.0.0/8", "loopback"],
  ["169.254.0.0/16", "link-local"],
  ["224.0.0.0/4", "multicast"],
  ["240.0.0.0/4", "reserved"],
  ["::/127", "unspecified and loopback"],
  ["fe80::/10", "link-local"],
  ["ff00::/8", "multicast"],
] as const;

/** A name by the CNI pattern, at most `limit` characters. @throws RequestError */
export function checkName(key: string, value: unknown, limit = 63): string {
  if (typeof value !== "string" || !NAME.test(value) || value.length > limit) {
    return invalid(
      key,
      value,
      `is not a name: use 1 to ${limit} letters, digits, "_", "." and "-", beginning with a letter or digit`,
    );
  }
  return value;
}

/** Text for people only: no control characters, at most `limit` characters. @throws RequestError */
export function checkText(key: string, value: unknown, limit: number): string {
  if (typeof value !== "string" || value.length > limit || hasControlCharacter(value)) {
    return invalid(key, value, `is not plain text of at most ${limit} characters`);
  }
  return value;
}

/** A whole number in the range. @throws RequestError */
export function checkInteger(key: string, value: unknown, low: number, high: number): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < low || value > high) {
    return invalid(key, value, `is not a whole number in ${low}..${high}`);
  }
  return value;
}

/** At most `limit` items, each checked. @throws RequestError */
export function checkList<T>(
  key: string,
  value: unknown,
  limit: number,
  check: (key: string, item: unknown) => T,
): T[] {
  if (!Array.isArray(value)) return invalid(key, value, "is not a list");
  if (value.length > limit) return invalid(key, `${value.length} items`, `are too many; at most ${limit}`);
  return value.map((item, index) => check(`${key}[${index}]`, item));
}

/** Underlay addresses of a node: unicast, at most one per family, IPv4 first. @throws RequestError */
export function checkNodeAddresses(key: string, value: unknown): Address[] {
  const addresses = checkList(key, value, 2, checkUnicast).sort((a, b) => familyOf(a) - familyOf(b));
  refuseSecondOfFamily(key, addresses.map(familyOf));
  return addresses;
}

function checkUnicast(key: string, value: unknown): Address {
  const { address, special } = attempt(key, value, classify);
  if (special !== undefined) invalid(key, value, `is ${special}; give an address that other nodes can send to`);
  return address;
}

/** An address, and why nobody can send to it, if so. */
interface Classified {
  readonly address: Address;
  readonly special: string | undefined;
}

/** More than a cluster's nodes have; when full, it starts afresh. */
const MOST_CLASSIFIED = 16_384;
const classified = new Map<string, Classified>();

/**
 * Remembers, because a node's addresses are read again in its record and in each of its subnets, at every event of each:
 * without it, 5,000 nodes that join at once cost a third more processor time.
 */
function classify(text: string): Classified {
  const before = classified.get(text);
  if (before !== undefined) return before;
  const address = parseAddress(text);
  const answer = { address, special: SPECIAL_ADDRESSES.find(([isSpecial]) => isSpecial(address))?.[1] };
  if (classified.size >= MOST_CLASSIFIED) classified.clear();
  classified.set(text, answer);
  return answer;
}

/** What no node can be reached at. */
const SPECIAL_ADDRESSES = [
  [isUnspecified, "unspecified"],
  [isLoopback, "a loopback address"],
  [isMulticast, "a group address"],
  [(address: Address) => address === "255.255.255.255", "the broadcast address"],
  [isLinkLocal, "link-local"],
] as const;

/** Any address. @throws RequestError */
export function checkAddress(key: string, value: unknown): Address {
  return attempt(key, value, parseAddress);
}

/** A network in canonical form, no host bits set. @throws RequestError */
export function checkPrefix(key: string, value: unknown): Prefix {
  return attempt(key, value, parseNetwork);
}

/** The CIDRs of a network: one or two, one per family, none special. @throws RequestError */
export function checkCidrs(key: string, value: unknown): Prefix[] {
  const cidrs = checkList(key, value, 2, checkPrefix).sort((a, b) => prefixFamily(a) - prefixFamily(b));
  if (cidrs.length === 0) invalid(key, "", "is empty; give one network per family, such as 10.244.0.0/16");
  refuseSecondOfFamily(key, cidrs.map(prefixFamily));
  for (const cidr of cidrs) {
    const special = SPECIAL_NETWORKS.find(([network]) => overlaps(parseNetwork(network), cidr));
    if (special !== undefined)
      invalid(key, cidr, `overlaps ${special[0]} (${special[1]}); choose a private or own network`);
  }
  return cidrs;
}

/** The length of one node's subnet inside the CIDR. @throws RequestError */
export function checkSubnetLength(key: string, value: unknown, cidr: Prefix): number {
  return checkInteger(key, value, prefixLength(cidr), LONGEST_SUBNET[prefixFamily(cidr)]);
}

/** A unicast MAC address. @throws RequestError */
export function checkMac(key: string, value: unknown): Mac {
  const mac = attempt(key, value, parseMac);
  if (isGroupMac(mac)) invalid(key, value, "is a group address, which no interface may carry");
  return mac;
}

/** A WireGuard key; absent or "": none. @throws RequestError */
export function checkPublicKey(key: string, value: unknown): WireguardPublicKey | "" {
  if (value === undefined || value === "") return "";
  return attempt(key, value, parseWireguardPublicKey);
}

function refuseSecondOfFamily(key: string, families: readonly Family[]): void {
  if (new Set(families).size < families.length)
    invalid(key, `${families.length} of IPv${families[0]}`, "given; at most one per family");
}

function attempt<T>(key: string, value: unknown, parse: (text: string) => T): T {
  if (typeof value !== "string" || value.length > 64) return invalid(key, value, "is not an address in text form");
  try {
    return parse(value);
  } catch (error) {
    if (error instanceof RangeError) return invalid(key, value, `is refused: ${error.message}`);
    throw error;
  }
}

function hasControlCharacter(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x20 || code === 0x7f) return true;
  }
  return false;
}
