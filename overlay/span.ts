import { ADDRESS_BITS, type Address, addressToBigInt, type Family } from "../net/address.ts";
import { hostPrefix, type Prefix, prefixAddress, prefixFamily, prefixLength } from "../net/prefix.ts";

/** A prefix as the numbers of its ends, worked out once for many comparisons. */
export interface Span {
  readonly family: Family;
  readonly length: number;
  readonly low: bigint;
  readonly high: bigint;
  readonly prefix: Prefix;
}

/** The span of a prefix (host bits are cleared) or of one address. */
export function spanOf(value: Prefix | Address): Span {
  const prefix = value.includes("/") ? (value as Prefix) : hostPrefix(value as Address);
  const family = prefixFamily(prefix);
  const length = prefixLength(prefix);
  const bits = BigInt(ADDRESS_BITS[family] - length);
  const low = (addressToBigInt(prefixAddress(prefix)) >> bits) << bits;
  return { family, length, low, high: low + (1n << bits) - 1n, prefix };
}

/** Whether the inner one lies wholly inside. */
export function spanContains(outer: Span, inner: Span): boolean {
  return outer.family === inner.family && outer.low <= inner.low && inner.high <= outer.high;
}

/** Whether the two share any address. */
export function spansOverlap(a: Span, b: Span): boolean {
  return a.family === b.family && a.low <= b.high && b.low <= a.high;
}
