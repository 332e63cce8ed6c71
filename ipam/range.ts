import { CniError, Code } from "../cni/error.ts";
import { type Address, addressToBigInt, addToAddress, familyOf } from "../net/address.ts";
import {
  addressCount,
  contains,
  firstAddress,
  lastAddress,
  networkOf,
  type Prefix,
  prefixFamily,
  prefixLength,
} from "../net/prefix.ts";

/** A run of addresses of one subnet. */
export interface Range {
  readonly subnet: Prefix;
  /** The first and the last address that may be handed out, both included. */
  readonly start: Address;
  readonly end: Address;
  /** Never handed out. May lie outside the subnet, as a link-local one does. */
  readonly gateway: Address;
  /** `start` and `end` as numbers. */
  readonly span: readonly [bigint, bigint];
}

/** Ranges of one family, disjoint: an attachment gets one address of each set. */
export type RangeSet = readonly Range[];

/** A range as a configuration writes it; `path` is its place there, for errors. */
export interface RangeSpec {
  readonly subnet: Prefix;
  readonly rangeStart?: Address | undefined;
  readonly rangeEnd?: Address | undefined;
  readonly gateway?: Address | undefined;
  readonly path: string;
}

/**
 * Fills in what the specification of a range leaves out, as the reference plugin does: the gateway is the subnet's first
 * host address, the range begins there too, and ends before the broadcast address (IPv4) or with the last (IPv6).
 * @throws CniError 7 naming the key, the value and the remedy.
 */
export function makeRange(spec: RangeSpec): Range {
  const { subnet, path } = spec;
  const network = networkOf(subnet);
  if (network !== subnet) {
    throw refused(`${path}.subnet: "${subnet}" has host bits set; write ${network}`);
  }
  if (addressCount(subnet) < 4n) {
    throw refused(`${path}.subnet: "${subnet}" is too small to hand out addresses; take a shorter prefix length`);
  }
  const lowest = addToAddress(firstAddress(subnet), 1);
  const highest = prefixFamily(subnet) === 4 ? addToAddress(lastAddress(subnet), -1) : lastAddress(subnet);
  const [start, end] = [spec.rangeStart ?? lowest, spec.rangeEnd ?? highest];
  const span = [addressToBigInt(start), addressToBigInt(end)] as const;
  const range = { subnet, start, end, gateway: spec.gateway ?? lowest, span };
  for (const [key, address] of [
    ["rangeStart", range.start],
    ["rangeEnd", range.end],
  ] as const) {
    if (!contains(subnet, address)) {
      throw refused(`${path}.${key}: "${address}" is not in subnet ${subnet}; take an address of the subnet`);
    }
  }
  if (familyOf(range.gateway) !== prefixFamily(subnet)) {
    throw refused(`${path}.gateway: "${range.gateway}" is of another address family than ${subnet}`);
  }
  if (span[0] > span[1]) {
    throw refused(
      `${path}.rangeEnd: "${range.end}" is before rangeStart ${range.start}; exchange them or give a later rangeEnd`,
    );
  }
  return range;
}

/** Whether the address may be handed out from the range or is its gateway. */
export function inRange({ start, end, span }: Range, address: Address): boolean {
  if (familyOf(address) !== familyOf(start)) return false;
  if (address === start || address === end) return true;
  const value = addressToBigInt(address);
  return span[0] <= value && value <= span[1];
}

/** The range of the set that holds the address. */
export function rangeOf(set: RangeSet, address: Address): Range | undefined {
  return set.find((range) => inRange(range, address));
}

/** How many addresses can be handed out: the gateway is not one of them. */
export function rangeSize(range: Range): bigint {
  const size = range.span[1] - range.span[0] + 1n;
  return inRange(range, range.gateway) ? size - 1n : size;
}

/** As `10.22.0.1-10.22.255.254`, for messages. */
export function formatRangeSet(set: RangeSet): string {
  return set.map((range) => `${range.start}-${range.end}`).join(", ");
}

/**
 * Checks that a set is not empty, of one family, and free of overlaps.
 * @throws CniError 7
 */
export function checkRangeSet(set: RangeSet, path: string): void {
  const [first] = set;
  if (first === undefined) throw refused(`${path}: [] holds no range; give it one with a subnet, or leave the set out`);
  for (const [index, range] of set.entries()) {
    if (familyOf(range.start) !== familyOf(first.start)) {
      throw refused(
        `${path}[${index}].subnet: "${range.subnet}" is of another address family than ${first.subnet}; ` +
          "an attachment gets one address of each set, so give each family a set of its own",
      );
    }
    const other = set.slice(0, index).find((earlier) => overlap(earlier, range));
    if (other !== undefined) throw overlapping(`${path}[${index}]`, range, other);
  }
}

/**
 * Checks that no two sets share an address.
 * @throws CniError 7
 */
export function checkDisjoint(sets: readonly { readonly set: RangeSet; readonly path: string }[]): void {
  for (const [index, { set, path }] of sets.entries()) {
    for (const earlier of sets.slice(0, index)) {
      for (const [position, range] of set.entries()) {
        const other = earlier.set.find((candidate) => overlap(candidate, range));
        if (other !== undefined) throw overlapping(`${path}[${position}]`, range, other);
      }
    }
  }
}

/** The prefix length that an address of the range is configured with. */
export function rangeLength(range: Range): number {
  return prefixLength(range.subnet);
}

function overlap(a: Range, b: Range): boolean {
  return inRange(a, b.start) || inRange(b, a.start);
}

function overlapping(path: string, range: Range, other: Range): CniError {
  return refused(
    `${path}: "${formatRangeSet([range])}" overlaps with ${formatRangeSet([other])}; ` +
      "make the ranges disjoint with rangeStart and rangeEnd or other subnets",
  );
}

function refused(message: string): CniError {
  return new CniError(Code.invalidConfig, message);
}
