import { type Backend, factsOf, wireOf } from "../backends/backend.ts";
import type { Headers } from "../backends/facts.ts";
import type { Family } from "../net/address.ts";
import { prefixFamily } from "../net/prefix.ts";
import type { NetworkSpec, Peer, Underlay } from "./network.ts";
import { neighbouringAddress, underlayFamilies, underlayPath } from "./underlay.ts";

/** RFC 791 and RFC 8200, without options and extension headers. */
const OUTER = { 4: ["IP", 20], 6: ["IP", 40] } as const;

/** Whether it puts headers around packets at all. */
export function isTunnel(backend: Backend): boolean {
  return wireOf(backend) !== undefined;
}

/** All that the backend puts around a pod's packet over that underlay family. */
export function tunnelHeaders(backend: Backend, family: Family): Headers {
  const wire = wireOf(backend);
  return wire === undefined ? [] : [OUTER[family], ...wire.headers];
}

/** The length of all headers, in bytes. */
export function headerLength(headers: Headers): number {
  return headers.reduce((sum, [, bytes]) => sum + bytes, 0);
}

/** Largest packet that gets to a peer over that underlay family, in bytes. */
export function tunnelMtu(backend: Backend, family: Family, underlay: Pick<Underlay, "mtu">): number {
  return underlay.mtu - headerLength(tunnelHeaders(backend, family));
}

/**
 * The pods' MTU in the network as far as it depends on this node alone, in bytes: what fits through a tunnel over the
 * underlay family that it prefers, and no more than the network's own bound. A peer may lower it.
 */
export function podMtu(network: NetworkSpec, underlay: Underlay): number {
  const { backend } = network;
  const fits = tunnelMtu(backend, preferredFamily(network, underlay), underlay);
  return Math.min(fits, backend.mtu || fits);
}

/** The underlay family of which this node's tunnels in the network are, or the one with the longer header of two. */
export function preferredFamily({ backend, cidrs }: NetworkSpec, underlay: Underlay): Family {
  const families = underlayFamilies(underlay);
  if (!families.has(4)) return 6;
  // Tunnels go over IPv4 whenever they can, but for those that follow the family of the pods' subnet.
  const usesIpv6 = followsPods(backend) && cidrs.some((cidr) => prefixFamily(cidr) === 6);
  return usesIpv6 && families.has(6) ? 6 : 4;
}

/** How packets get to a peer's pods: over a tunnel of that underlay family, by a plain route, or not at all. */
export function wayTo({ backend }: NetworkSpec, peer: Peer, underlay: Underlay): Family | "direct" | undefined {
  const near = neighbouringAddress(peer, underlay) !== undefined;
  if (near && (backend.directRouting || !isTunnel(backend))) return "direct";
  const facts = factsOf(backend.type);
  if (!isTunnel(backend) || (facts?.nodeKeys === true && peer.publicKey === undefined)) return undefined;
  const path = underlayPath(peer, underlay, followsPods(backend) ? prefixFamily(peer.subnet) : 4);
  return path !== undefined && facts?.over.includes(path.family) === true ? path.family : undefined;
}

function followsPods(backend: Backend): boolean {
  return wireOf(backend)?.followsPods === true;
}
