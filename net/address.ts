import { isIP } from "node:net";
import { collapseIPv6Number, IPv4, IPv6 } from "ip-num";

declare const addressBrand: unique symbol;

/**
 * An IPv4 or IPv6 address in its one canonical text form: dotted quad, or RFC 5952 (lower case, longest zero run
 * collapsed). Two equal addresses are the same string, so `===`, `Map` keys and JSON just work. An IPv4-mapped IPv6
 * address (`::ffff:192.0.2.1`) becomes the IPv4 address, as in Go's `net.ParseIP`.
 */
export type Address = string & { readonly [addressBrand]: "Address" };

/** The address family: 4 or 6. The family is data; no function of ours exists twice for it. */
export type Family = 4 | 6;

/** Bits in an address of the family: 32 or 128. */
export const ADDRESS_BITS = { 4: 32, 6: 128 } as const;

const MAPPED_HIGH_BITS = 0xffffn << 32n;

/**
 * Reads an address in text form.
 * @throws RangeError naming the text when it is not an address (zones and leading zeros are refused).
 */
export function parseAddress(text: string): Address {
  const family = isIP(text);
  if (family === 4) return text as Address;
  if (family === 6 && !text.includes("%")) return addressFromBigInt(6, ipv6Value(text));
  throw new RangeError(`"${text}" is not an IP address`);
}

/** Whether the text is an address that {@link parseAddress} accepts. */
export function isAddress(text: string): boolean {
  return isIP(text) !== 0 && !text.includes("%");
}

/** 4 or 6. */
export function familyOf(address: Address): Family {
  return address.includes(":") ? 6 : 4;
}

/** The address as an unsigned number of 32 or 128 bits. */
export function addressToBigInt(address: Address): bigint {
  return familyOf(address) === 4 ? IPv4.fromString(address).getValue() : ipv6Value(address);
}

/**
 * The address with that number.
 * @throws RangeError when the number does not fit the family.
 */
export function addressFromBigInt(family: Family, value: bigint): Address {
  if (value < 0n || value >> BigInt(ADDRESS_BITS[family]) !== 0n) {
    throw new RangeError(`${value} is not the number of an IPv${family} address`);
  }
  if (family === 4) return new IPv4(value).toString() as Address;
  if (value >> 32n === MAPPED_HIGH_BITS >> 32n) return addressFromBigInt(4, value & 0xffffffffn);
  return collapseIPv6Number(new IPv6(value).toString()) as Address;
}

/** The address in network byte order: 4 or 16 bytes. */
export function addressToBytes(address: Address): Uint8Array {
  if (familyOf(address) === 4) return Uint8Array.from(address.split("."), Number);
  let value = ipv6Value(address);
  const bytes = new Uint8Array(16);
  for (let i = 15; i >= 0; i--) {
    bytes[i] = Number(value & 0xffn);
    value >>= 8n;
  }
  return bytes;
}

/**
 * Reads an address from 4 or 16 bytes in network byte order.
 * @throws RangeError for any other number of bytes.
 */
export function addressFromBytes(bytes: Uint8Array): Address {
  if (bytes.length === 4) return bytes.join(".") as Address;
  if (bytes.length !== 16) throw new RangeError(`an IP address has 4 or 16 bytes, not ${bytes.length}`);
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return addressFromBigInt(6, value);
}

/**
 * The address `offset` places further on (or back, when negative).
 * @throws RangeError past either end of the family.
 */
export function addToAddress(address: Address, offset: number | bigint): Address {
  return addressFromBigInt(familyOf(address), addressToBigInt(address) + BigInt(offset));
}

/** Orders by family (4 first), then by number; for `sort`. */
export function compareAddresses(a: Address, b: Address): number {
  if (a === b) return 0;
  const family = familyOf(a) - familyOf(b);
  if (family !== 0) return family;
  return addressToBigInt(a) < addressToBigInt(b) ? -1 : 1;
}

/** 0.0.0.0 or ::. */
export function isUnspecified(address: Address): boolean {
  return address === "0.0.0.0" || address === "::";
}

/** 127.0.0.0/8 or ::1. */
export function isLoopback(address: Address): boolean {
  return address.startsWith("127.") || address === "::1";
}

/** 224.0.0.0/4 or ff00::/8. */
export function isMulticast(address: Address): boolean {
  const first = addressToBytes(address)[0] ?? 0;
  return familyOf(address) === 4 ? first >> 4 === 0xe : first === 0xff;
}

/** 169.254.0.0/16 or fe80::/10. */
export function isLinkLocal(address: Address): boolean {
  const [first = 0, second = 0] = addressToBytes(address);
  return familyOf(address) === 4 ? first === 169 && second === 254 : first === 0xfe && second >> 6 === 0b10;
}

function ipv6Value(text: string): bigint {
  const dottedTail = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  if (dottedTail === null) return IPv6.fromString(text).getValue();
  const [, head = "", tail = ""] = dottedTail;
  return IPv6.fromString(`${head}0:0`).getValue() + IPv4.fromString(tail).getValue();
}
