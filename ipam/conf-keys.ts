import { address, type Decoder, integer, object, optional } from "../cni/decode.ts";
import { CniError, Code } from "../cni/error.ts";
import type { Route } from "../cni/result.ts";
import { allowsSeveralAddresses, type Version } from "../cni/version.ts";
import type { Address } from "../net/address.ts";
import { type Prefix, prefixFamily } from "../net/prefix.ts";

/** An address, or nothing: Go's decoder takes an empty string for an absent address. */
export const optionalAddress: Decoder<Address | undefined> = (value, path) =>
  value === "" ? undefined : optional(address)(value, path);

const u32 = integer(0, 0xffffffff);

/**
 * A route as the specification's result has it.
 * @param dst what destinations are allowed: with host bits set or without
 */
export function routeOf(dst: Decoder<Prefix>): Decoder<Route> {
  return object({
    dst,
    gw: optionalAddress,
    mtu: optional(u32),
    advmss: optional(u32),
    priority: optional(u32),
    table: optional(u32),
    scope: optional(integer(0, 255)),
  });
}

/** What an attachment would get an address from, and where that was written. */
export interface PlacedPrefix {
  readonly prefix: Prefix;
  readonly path: string;
}

/**
 * Refuses a second address of a family where the version has no words for it: results before 0.3.0.
 * @throws CniError 7 that names the second
 */
export function checkFamilies(version: Version, placed: readonly PlacedPrefix[]): void {
  if (allowsSeveralAddresses(version)) return;
  const seen = new Set<number>();
  for (const { prefix, path } of placed) {
    const family = prefixFamily(prefix);
    if (seen.has(family)) {
      throw new CniError(
        Code.invalidConfig,
        `${path}: "${prefix}" would be a second IPv${family} address, which cniVersion "${version}" ` +
          'cannot say; use "0.3.0" or newer, or one a family',
      );
    }
    seen.add(family);
  }
}
