import type { Family } from "../net/address.ts";
import { prefixFamily } from "../net/prefix.ts";
import type { NetworkSpec, OverlayBackend, Peer, Underlay } from "./network.ts";
import { neighbouringAddress, underlayFamilies, underlayPath } from "./underlay.ts";

/** Headers with their lengths in bytes, the outermost first. */
export type Headers = readonly (readonly [name: string, bytes: number])[];

/** RFC 791 and RFC 8200, without options and extension headers. */
const OUTER = { 4: ["IP", 20], 6: ["IP", 40] } as const;

const UDP = ["UDP", 8] as const;
const VXLAN = ["VXLAN", 8] as const;
const ETHERNET = ["Ethernet", 14] as const;
const GRE = ["GRE", 4] as const;

/** A backend that puts headers around packets. */
export type TunnelBackend = Exclude<OverlayBackend, { readonly type: "host-gw" }>;
type TunnelOf<T extends TunnelBackend["type"]> = Extract<TunnelBackend, { readonly type: T }>;

/** Always with a key or VNI and the inner Ethernet header; Geneve without options. */
const OVS_INNER = {
  gre: [GRE, ["key", 4], ETHERNET],
  vxlan: [UDP, VXLAN, ETHERNET],
  geneve: [UDP, ["Geneve", 8], ETHERNET],
} as const;

/**
 * What each tunnel puts between the outer IP header and a pod's packet. VXLAN-GPE has no inner Ethernet header; GRE has a
 * key in static mode alone, and no encapsulation limit option over IPv6; WireGuard has a tag behind the packet too, which
 * it pads to 16 bytes, but never beyond the MTU.
 */
const INNER: { readonly [T in TunnelBackend["type"]]: (backend: TunnelOf<T>) => Headers } = {
  vxlan: ({ mode }) => (mode === "flow" ? [UDP, VXLAN] : [UDP, VXLAN, ETHERNET]),
  gre: ({ mode }) => (mode === "flow" ? [GRE] : [GRE, ["key", 4]]),
  ipip: () => [],
  ovs: ({ tunnel }) => OVS_INNER[tunnel],
  wireguard: () => [UDP, ["WireGuard", 16], ["tag", 16]],
};

/** All that the backend puts around a pod's packet over that underlay family. */
export function tunnelHeaders<T extends TunnelBackend["type"]>(
  backend: TunnelOf<T> & { readonly type: T },
  family: Family,
): Headers {
  return [OUTER[family], ...INNER[backend.type](backend)];
}

/** The length of all headers, in bytes. */
export function headerLength(headers: Headers): number {
  return headers.reduce((sum, [, bytes]) => sum + bytes, 0);
}

/** Largest packet that a tunnel to a peer over that underlay family takes, in bytes. */
export function tunnelMtu(backend: TunnelBackend, family: Family, underlay: Pick<Underlay, "mtu">): number {
  return underlay.mtu - headerLength(tunnelHeaders(backend, family));
}

/**
 * The pods' MTU in the network as far as it depends on this node alone, in bytes: what fits through a tunnel over the
 * underlay family that it prefers, and no more than the network's own bound. A peer may lower it.
 */
export function podMtu(network: NetworkSpec, underlay: Underlay): number {
  const bound = network.backend.mtu ?? Number.POSITIVE_INFINITY;
  return Math.min(bound, smallestTunnelMtu(network, underlay));
}

function smallestTunnelMtu(network: NetworkSpec, underlay: Underlay): number {
  const { backend } = network;
  if (backend.type === "host-gw") return underlay.mtu;
  return tunnelMtu(backend, preferredFamily(network, underlay), underlay);
}

/** The underlay family of which this node's tunnels in the network are, or the one with the longer header of two. */
export function preferredFamily({ backend, cidrs }: NetworkSpec, underlay: Underlay): Family {
  const families = underlayFamilies(underlay);
  if (!families.has(4)) return 6;
  // Tunnels go over IPv4 whenever they can; static VXLAN, as flannel, over the family of the pods' subnet.
  const usesIpv6 = followsPods(backend) && cidrs.some((cidr) => prefixFamily(cidr) === 6);
  return usesIpv6 && families.has(6) ? 6 : 4;
}

/** How packets get to a peer's pods: over a tunnel of that underlay family, by a plain route, or not at all. */
export function wayTo({ backend }: NetworkSpec, peer: Peer, underlay: Underlay): Family | "direct" | undefined {
  const near = neighbouringAddress(peer, underlay) !== undefined;
  if (backend.type === "host-gw") return near ? "direct" : undefined;
  if (backend.directRouting && near) return "direct";
  if (backend.type === "wireguard" && peer.publicKey === undefined) return undefined;
  const path = underlayPath(peer, underlay, followsPods(backend) ? prefixFamily(peer.subnet) : 4);
  return path === undefined || (backend.type === "ipip" && path.family === 6) ? undefined : path.family;
}

function followsPods(backend: OverlayBackend): boolean {
  return backend.type === "vxlan" && backend.mode === "static";
}
