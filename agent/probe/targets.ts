import { wireOf } from "../../backends/backend.ts";
import { type Address, type Family, familyOf } from "../../net/address.ts";
import { type Prefix, prefixAddress, prefixFamily } from "../../net/prefix.ts";
import { ownSubnetFor } from "../../overlay/backend.ts";
import type { NetworkSpec, OverlayInput, Peer } from "../../overlay/network.ts";
import type { DesiredState } from "../../overlay/state.ts";

/** What a pass programmed. */
export interface Programmed {
  readonly input: OverlayInput;
  readonly desired: DesiredState;
}

/** A peer's subnet, asked from this node's subnet of the same network and family. */
export interface Target {
  /** Names it for as long as peer and subnet are what they are. */
  readonly key: string;
  readonly network: string;
  readonly nodeId: string;
  readonly nodeName: string;
  readonly family: Family;
  /** This node's end: the lowest address of its subnet. */
  readonly local: Address;
  readonly subnet: Prefix;
  /** The peer's end. */
  readonly remote: Address;
  /** The largest packet that the network's pods send, in bytes. */
  readonly mtu: number;
  readonly peer: Peer;
}

/** Where every node with a subnet answers: its lowest address, which no pod gets. */
export function ownEnds({ leases }: OverlayInput): Address[] {
  return leases.flatMap(({ subnets }) => subnets.map(prefixAddress));
}

/** The ends of all peers: who may ask. */
export function peerEnds({ peers }: OverlayInput): ReadonlySet<string> {
  return new Set(peers.map(({ subnet }) => prefixAddress(subnet)));
}

/** The peer as a target; undefined when this node has no subnet to ask from, or no route to it. */
export function targetOf(peer: Peer, { input, desired }: Programmed): Target | undefined {
  const own = input.leases.find(({ network }) => network === peer.network);
  const mine = own && ownSubnetFor(own, peer.subnet);
  const mtu = desired.podMtu[peer.network];
  if (mine === undefined || mtu === undefined) return undefined;
  if (!desired.routes.some(({ dst, type }) => dst === peer.subnet && type === "unicast")) return undefined;
  return {
    key: targetKey(peer),
    network: peer.network,
    nodeId: peer.nodeId,
    nodeName: peer.nodeName,
    family: prefixFamily(peer.subnet),
    local: prefixAddress(mine),
    subnet: mine,
    remote: prefixAddress(peer.subnet),
    mtu,
    peer,
  };
}

export function targetKey({ network, nodeId, subnet }: Pick<Peer, "network" | "nodeId" | "subnet">): string {
  return `${network} ${subnet} ${nodeId}`;
}

/**
 * Up to `count` peers of each network and family, each with the same chance, however many there are. The cost of looking
 * does not grow with them but for one walk over the list.
 * @param random 0 to below 1
 */
export function choosePeers(peers: readonly Peer[], count: number, random: () => number): Peer[] {
  const groups = new Map<string, { readonly chosen: Peer[]; seen: number }>();
  for (const peer of peers) {
    const key = `${peer.network} ${prefixFamily(peer.subnet)}`;
    const group = groups.get(key) ?? { chosen: [], seen: 0 };
    groups.set(key, group);
    // Reservoir sampling: the nth of a group takes a place with probability count/n.
    const place = group.seen < count ? group.seen : Math.floor(random() * (group.seen + 1));
    group.seen++;
    if (place < count) group.chosen[place] = peer;
  }
  return [...groups.values()].flatMap(({ chosen }) => chosen);
}

/** What a firewall between the nodes has to let pass for this target, in words. */
export function wanted(target: Target, network: NetworkSpec | undefined, direct: boolean): string {
  if (direct || network === undefined) return `packets between ${target.subnet} and ${target.peer.subnet}`;
  const { backend } = network;
  return backend.port !== 0 ? `UDP port ${backend.port}` : `${wireOf(backend)?.protocol ?? backend.type} packets`;
}

/** The underlay addresses of both nodes that their packets bear, the peer's first. */
export function underlayEnds(
  { peer }: Target,
  { underlay }: OverlayInput,
): { ours: string; theirs: Address } | undefined {
  for (const theirs of peer.addresses) {
    const ours = underlay.addresses.find((address) => prefixFamily(address) === familyOf(theirs));
    if (ours !== undefined) return { ours: prefixAddress(ours), theirs };
  }
  return undefined;
}
