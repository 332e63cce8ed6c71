import type { Family } from "../net/address.ts";
import type { NetworkSpec, Underlay } from "./network.ts";
import { underlayFamilies } from "./underlay.ts";

/**
 * Bytes that a tunnel adds to a pod's packet, by underlay family: outer IP (20 or 40) + UDP (8) + VXLAN (8) and, except
 * in GPE, the inner Ethernet header (14).
 */
export const OVERHEAD = {
  flow: { 4: 36, 6: 56 },
  static: { 4: 50, 6: 70 },
} as const;

/** Largest packet that a tunnel to a peer over that underlay family takes, in bytes. */
export function tunnelMtu(mode: keyof typeof OVERHEAD, family: Family, underlay: Underlay): number {
  return underlay.mtu - OVERHEAD[mode][family];
}

/**
 * The pods' MTU in the network, in bytes: what fits through a tunnel over every underlay family that this node's
 * tunnels use by preference, and no more than the network's own bound.
 */
export function podMtu(network: NetworkSpec, underlay: Underlay): number {
  const bound = network.backend.mtu ?? Number.POSITIVE_INFINITY;
  return Math.min(bound, underlay.mtu - largestOverhead(network, underlay));
}

function largestOverhead({ backend, cidrs }: NetworkSpec, underlay: Underlay): number {
  if (backend.type === "host-gw") return 0;
  const families = underlayFamilies(underlay);
  // Flow mode takes IPv4 whenever it can; static mode, as flannel, the family of the pods' subnet.
  const usesIpv6 = backend.mode === "flow" ? !families.has(4) : cidrs.some((cidr) => cidr.includes(":"));
  return OVERHEAD[backend.mode][(usesIpv6 && families.has(6)) || !families.has(4) ? 6 : 4];
}
