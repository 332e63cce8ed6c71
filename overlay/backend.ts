import { hostPrefix, type Prefix, prefixAddress, prefixFamily } from "../net/prefix.ts";
import type { NetworkSpec, OverlayInput, OwnLease, Peer, Underlay } from "./network.ts";
import type { DesiredState, DesiredSysctl } from "./state.ts";

/** One network as a backend sees it. */
export interface NetworkContext<Backend = NetworkSpec["backend"]> {
  readonly nodeId: string;
  readonly network: NetworkSpec;
  readonly backend: Backend;
  readonly own: OwnLease;
  /** Of this network only. */
  readonly peers: readonly Peer[];
  /** Of all networks. */
  readonly everyPeer: readonly Peer[];
  readonly underlay: Underlay;
  readonly paired?: OverlayInput["paired"];
}

/** A backend's part of the desired state, for one network. */
export type BackendPart = {
  -readonly [Part in
    | "links"
    | "addresses"
    | "neighbours"
    | "fdb"
    | "wireguard"
    | "routes"
    | "switches"
    | "refusals"]: DesiredState[Part][number][];
};

/** A part to fill. */
export function emptyPart(): BackendPart {
  return { links: [], addresses: [], neighbours: [], fdb: [], wireguard: [], routes: [], switches: [], refusals: [] };
}

/**
 * The subnets' lowest addresses, which no pod gets, are the node's own towards peers, on each of its tunnels. The gateway's
 * would not do: it is there only when the bridge is, and the kernel refuses a route with a source it does not have.
 */
export function addOwnEnds({ addresses }: BackendPart, { subnets }: OwnLease, device: string): void {
  addresses.push(...subnets.map((subnet) => ({ device, address: hostPrefix(prefixAddress(subnet)) })));
}

/** Our own subnet of the same family as the peer's; its lowest address is our end of the tunnel. */
export function ownSubnetFor(own: OwnLease, subnet: Prefix): Prefix | undefined {
  return own.subnets.find((mine) => prefixFamily(mine) === prefixFamily(subnet));
}

/**
 * Nothing that comes out of a tunnel may reconfigure this node (CVE-2020-10749). Redirects go unsent too: a packet
 * that leaves where it came in is normal for a tunnel device. The two directions of a pair of nodes may use different
 * tunnels while a network moves from one to another, so the reverse path is checked loosely (rp_filter, the larger of
 * "all" and the device's): who may send what is the tunnel guard's to say.
 */
export function tunnelSysctls(device: string): DesiredSysctl[] {
  return [
    { key: `net/ipv6/conf/${device}/accept_ra`, value: "0", missingOk: true },
    { key: `net/ipv6/conf/${device}/accept_redirects`, value: "0", missingOk: true },
    { key: `net/ipv4/conf/${device}/accept_redirects`, value: "0" },
    { key: `net/ipv4/conf/${device}/send_redirects`, value: "0" },
    { key: `net/ipv4/conf/${device}/rp_filter`, value: "2" },
  ];
}

/** The sentence for a peer whose node can't be reached. */
export function unreachablePeer(network: NetworkSpec, peer: Peer, why: string): string {
  return `network "${network.name}": ${peer.subnet} of node "${peer.nodeName}" is not routed: ${why}`;
}
