import type { Family } from "../net/address.ts";
import { familyOf } from "../net/address.ts";
import type { DesiredState } from "./state.ts";

/** net/ipv4/neigh/default/gc_thresh3 and its IPv6 sibling: entries beyond which the kernel refuses new ones. */
export type NeighbourLimits = Readonly<Record<Family, number>>;

/** Where to read {@link NeighbourLimits}. */
export const NEIGHBOUR_LIMIT_SYSCTLS = {
  4: "net/ipv4/neigh/default/gc_thresh3",
  6: "net/ipv6/neigh/default/gc_thresh3",
} as const;

/**
 * Sentences for when the tunnels' neighbours take more than half of the kernel's table (arp(7), gc_thresh3). Permanent
 * entries are exempt from the limit since Linux 5.0, but older kernels count them and then drop packets to pods and
 * peers alike. Flow mode needs none.
 */
export function neighbourTableWarnings(state: DesiredState, limits: NeighbourLimits): string[] {
  return ([4, 6] as const).flatMap((family) => {
    const needed = state.neighbours.filter(({ address }) => familyOf(address) === family).length;
    if (needed <= limits[family] / 2) return [];
    const key = NEIGHBOUR_LIMIT_SYSCTLS[family];
    return [
      `the tunnels need ${needed} neighbours and ${key} is ${limits[family]}: set it to ${needed * 4} or use flow mode`,
    ];
  });
}
