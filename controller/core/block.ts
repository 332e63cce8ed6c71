import { ADDRESS_BITS, type Address, addressToBigInt, type Family } from "../../net/address.ts";
import { firstAddress, type Prefix, prefixFamily, prefixLength } from "../../net/prefix.ts";
import { memoize } from "./memo.ts";

/** A prefix as numbers: what it takes to compare thousands of them. */
export interface Block {
  readonly family: Family;
  readonly first: bigint;
  readonly length: number;
  readonly hostBits: bigint;
}

/** The prefix as numbers; host bits are cleared. */
export const blockOf: (prefix: Prefix) => Block = memoize(65_536, (text) => {
  const prefix = text as Prefix;
  const family = prefixFamily(prefix);
  const length = prefixLength(prefix);
  return {
    family,
    length,
    first: addressToBigInt(firstAddress(prefix)),
    hostBits: BigInt(ADDRESS_BITS[family] - length),
  };
});

/** Whether the whole of the other prefix lies inside; as `contains` of net, for prefixes met often. */
export function isWithin(outer: Prefix, inner: Prefix): boolean {
  const [a, b] = [blockOf(outer), blockOf(inner)];
  return a.family === b.family && b.length >= a.length && b.first >> a.hostBits === a.first >> a.hostBits;
}

/** Whether the address lies inside. */
export function holdsAddress(prefix: Prefix, address: Address): boolean {
  return isWithin(prefix, `${address}/${address.includes(":") ? 128 : 32}` as Prefix);
}
