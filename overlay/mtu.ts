import type { Family } from "../net/address.ts";
import type { NetworkSpec, OverlayBackend, Underlay } from "./network.ts";
import { underlayFamilies } from "./underlay.ts";

/**
 * Bytes that a tunnel adds to a pod's packet, by underlay family: outer IP (20 or 40) and
 * - VXLAN: UDP (8), VXLAN (8) and, except in GPE, the inner Ethernet header (14);
 * - WireGuard: UDP (8), its data header (16) and the tag (16); it pads to 16 bytes, but never beyond the MTU;
 * - GRE: its header (4) and, in static mode, the key (4). No encapsulation limit option.
 */
export const OVERHEAD = {
  vxlan: { flow: { 4: 36, 6: 56 }, static: { 4: 50, 6: 70 } },
  gre: { flow: { 4: 24, 6: 44 }, static: { 4: 28, 6: 48 } },
  ipip: { flow: { 4: 20, 6: 40 }, static: { 4: 20, 6: 40 } },
  wireguard: { 4: 60, 6: 80 },
} as const;

type TunnelBackend = Extract<OverlayBackend, { readonly type: keyof typeof OVERHEAD }>;

/** Largest packet that a tunnel to a peer over that underlay family takes, in bytes. */
export function tunnelMtu(backend: TunnelBackend, family: Family, underlay: Underlay): number {
  const overhead = backend.type === "wireguard" ? OVERHEAD.wireguard : OVERHEAD[backend.type][backend.mode];
  return underlay.mtu - overhead[family];
}

/**
 * The pods' MTU in the network, in bytes: what fits through a tunnel over every underlay family that this node's
 * tunnels use by preference, and no more than the network's own bound.
 */
export function podMtu(network: NetworkSpec, underlay: Underlay): number {
  const bound = network.backend.mtu ?? Number.POSITIVE_INFINITY;
  return Math.min(bound, smallestTunnelMtu(network, underlay));
}

function smallestTunnelMtu({ backend, cidrs }: NetworkSpec, underlay: Underlay): number {
  if (backend.type === "host-gw") return underlay.mtu;
  const families = underlayFamilies(underlay);
  // Tunnels go over IPv4 whenever they can; static VXLAN, as flannel, over the family of the pods' subnet.
  const followsPods = backend.type === "vxlan" && backend.mode === "static";
  const usesIpv6 = followsPods ? cidrs.some((cidr) => cidr.includes(":")) : !families.has(4);
  return tunnelMtu(backend, (usesIpv6 && families.has(6)) || !families.has(4) ? 6 : 4, underlay);
}
