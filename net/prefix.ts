import {
  ADDRESS_BITS,
  type Address,
  addressFromBigInt,
  addressToBigInt,
  compareAddresses,
  type Family,
  familyOf,
  parseAddress,
} from "./address.ts";

declare const prefixBrand: unique symbol;

/**
 * An address with a prefix length in canonical text form, such as `10.22.0.2/16` or `fd00::/64`. Host bits may be set,
 * as in an interface's address; {@link networkOf} clears them and {@link parseNetwork} refuses them.
 */
export type Prefix = string & { readonly [prefixBrand]: "Prefix" };

/**
 * Reads "address/length".
 * @throws RangeError naming the text when it is not that.
 */
export function parsePrefix(text: string): Prefix {
  const [, address, length] = /^([^/]+)\/(\d{1,3})$/.exec(text) ?? [];
  if (address === undefined || length === undefined) {
    throw new RangeError(`"${text}" is not an address with a prefix length such as 10.22.0.0/16`);
  }
  return makePrefix(parseAddress(address), Number(length));
}

/**
 * Reads "network/length", where no host bit may be set.
 * @throws RangeError naming the text and, for set host bits, the network that was probably meant.
 */
export function parseNetwork(text: string): Prefix {
  const prefix = parsePrefix(text);
  const network = networkOf(prefix);
  if (network !== prefix) throw new RangeError(`"${text}" has host bits set; the network is ${network}`);
  return prefix;
}

/**
 * Puts an address and a length together.
 * @throws RangeError when the length is not one of the family's.
 */
export function makePrefix(address: Address, length: number): Prefix {
  if (!Number.isInteger(length) || length < 0 || length > ADDRESS_BITS[familyOf(address)]) {
    throw new RangeError(`"${address}/${length}" has a prefix length outside 0..${ADDRESS_BITS[familyOf(address)]}`);
  }
  return `${address}/${length}` as Prefix;
}

/** The address alone as a /32 or /128. */
export function hostPrefix(address: Address): Prefix {
  return makePrefix(address, ADDRESS_BITS[familyOf(address)]);
}

/** The address part, host bits kept. */
export function prefixAddress(prefix: Prefix): Address {
  return prefix.slice(0, prefix.indexOf("/")) as Address;
}

/** The length part: 0..32 or 0..128. */
export function prefixLength(prefix: Prefix): number {
  return Number(prefix.slice(prefix.indexOf("/") + 1));
}

/** 4 or 6. */
export function prefixFamily(prefix: Prefix): Family {
  return prefix.includes(":") ? 6 : 4;
}

/** The prefix with its host bits cleared. */
export function networkOf(prefix: Prefix): Prefix {
  return makePrefix(firstAddress(prefix), prefixLength(prefix));
}

/** The network's lowest address (in IPv4 the network address itself). */
export function firstAddress(prefix: Prefix): Address {
  const bits = hostBits(prefix);
  return addressFromBigInt(prefixFamily(prefix), (addressToBigInt(prefixAddress(prefix)) >> bits) << bits);
}

/** The network's highest address (in IPv4 the broadcast address). */
export function lastAddress(prefix: Prefix): Address {
  return addressFromBigInt(prefixFamily(prefix), addressToBigInt(firstAddress(prefix)) + addressCount(prefix) - 1n);
}

/** How many addresses the prefix spans: 2^(host bits). */
export function addressCount(prefix: Prefix): bigint {
  return 1n << hostBits(prefix);
}

/** Whether the address, or the whole of the other prefix, lies inside. Never true across families. */
export function contains(prefix: Prefix, inner: Address | Prefix): boolean {
  const innerPrefix = inner.includes("/") ? (inner as Prefix) : hostPrefix(inner as Address);
  if (prefixFamily(prefix) !== prefixFamily(innerPrefix)) return false;
  if (prefixLength(innerPrefix) < prefixLength(prefix)) return false;
  const bits = hostBits(prefix);
  return addressToBigInt(prefixAddress(prefix)) >> bits === addressToBigInt(prefixAddress(innerPrefix)) >> bits;
}

/** Whether the two share any address. */
export function overlaps(a: Prefix, b: Prefix): boolean {
  return contains(a, b) || contains(b, a);
}

/** How many subnets of that length the network holds. @throws RangeError when the length is shorter than the network's. */
export function subnetCount(network: Prefix, length: number): bigint {
  if (length < prefixLength(network)) throw new RangeError(`${network} holds no subnet of length ${length}`);
  return 1n << BigInt(length - prefixLength(network));
}

/**
 * The subnet with that index, counted from 0 at the network's low end.
 * @throws RangeError when the index is not one of {@link subnetCount}.
 */
export function subnetAt(network: Prefix, length: number, index: bigint): Prefix {
  if (index < 0n || index >= subnetCount(network, length)) {
    throw new RangeError(`${network} holds no subnet /${length} with index ${index}`);
  }
  const size = 1n << BigInt(ADDRESS_BITS[prefixFamily(network)] - length);
  const first = addressToBigInt(firstAddress(network)) + index * size;
  return makePrefix(addressFromBigInt(prefixFamily(network), first), length);
}

/** The index that {@link subnetAt} would need for this subnet. @throws RangeError when it lies outside the network. */
export function subnetIndex(network: Prefix, subnet: Prefix): bigint {
  if (!contains(network, subnet)) throw new RangeError(`${subnet} is not inside ${network}`);
  return (addressToBigInt(firstAddress(subnet)) - addressToBigInt(firstAddress(network))) >> hostBits(subnet);
}

/**
 * The longest prefix that holds all of the given ones, which are of one family.
 * @throws RangeError when there is none, or they are of two families
 */
export function coveringPrefix(prefixes: readonly Prefix[]): Prefix {
  const [first, ...others] = prefixes;
  if (first === undefined) throw new RangeError("no prefix covers nothing");
  let cover = networkOf(first);
  for (const other of others) {
    if (prefixFamily(other) !== prefixFamily(cover)) throw new RangeError(`no prefix holds ${cover} and ${other}`);
    while (!contains(cover, other)) cover = networkOf(makePrefix(prefixAddress(cover), prefixLength(cover) - 1));
  }
  return cover;
}

/** Orders by address, then the wider prefix first; for `sort`. */
export function comparePrefixes(a: Prefix, b: Prefix): number {
  return compareAddresses(prefixAddress(a), prefixAddress(b)) || prefixLength(a) - prefixLength(b);
}

function hostBits(prefix: Prefix): bigint {
  return BigInt(ADDRESS_BITS[prefixFamily(prefix)] - prefixLength(prefix));
}
