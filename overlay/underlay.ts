import { type Address, type Family, familyOf } from "../net/address.ts";
import { contains, prefixAddress, prefixFamily } from "../net/prefix.ts";
import type { Peer, Underlay } from "./network.ts";

/** The two ends of a tunnel's outer packets; both of one family. */
export interface UnderlayPath {
  readonly family: Family;
  readonly local: Address;
  readonly remote: Address;
}

/** The families in which this node has an underlay address. */
export function underlayFamilies(underlay: Underlay): ReadonlySet<Family> {
  return new Set(underlay.addresses.map(prefixFamily));
}

/** Our address of that family that peers know. */
export function ownAddress({ addresses }: Underlay, family: Family): Address | undefined {
  const first = addresses.find((address) => prefixFamily(address) === family);
  return first && prefixAddress(first);
}

/** How to reach the peer's node: over the preferred family when both nodes have it, else over the other, else not at all. */
export function underlayPath(peer: Peer, underlay: Underlay, preferred: Family): UnderlayPath | undefined {
  for (const family of preferred === 4 ? ([4, 6] as const) : ([6, 4] as const)) {
    const local = ownAddress(underlay, family);
    const remote = peer.addresses.find((address) => familyOf(address) === family);
    if (local !== undefined && remote !== undefined) return { family, local, remote };
  }
  return undefined;
}

/** The peer's address on our own segment that can be the next hop to its subnet: one of the subnet's family. */
export function neighbouringAddress(peer: Peer, underlay: Underlay): Address | undefined {
  const family = prefixFamily(peer.subnet);
  return peer.addresses.find(
    (address) => familyOf(address) === family && underlay.addresses.some((prefix) => contains(prefix, address)),
  );
}
