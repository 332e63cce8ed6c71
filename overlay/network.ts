import type { Address } from "../net/address.ts";
import type { Mac } from "../net/mac.ts";
import type { Prefix } from "../net/prefix.ts";
import type { WireguardPublicKey } from "../net/wireguard-key.ts";

/** VXLAN: `flow` is GPE with one route a peer, `static` is flannel's wire format. */
export interface VxlanBackend {
  readonly type: "vxlan";
  readonly mode: "flow" | "static";
  /** VXLAN network identifier, 1..16777215. */
  readonly vni: number;
  /** UDP port. */
  readonly port: number;
  /** Peers on our own segment are reached without a tunnel. */
  readonly directRouting: boolean;
  /** Upper bound of the pods' MTU in bytes; absent: computed from the underlay alone. */
  readonly mtu?: number;
}

/** GRE around bare IP packets, over either family: `flow` is one route a peer, `static` one keyed device a peer. */
export interface GreBackend {
  readonly type: "gre";
  readonly mode: "flow" | "static";
  /** In each packet of static mode, 1..16777215; flow mode sends none. */
  readonly key: number;
  /** Peers on our own segment are reached without a tunnel. */
  readonly directRouting: boolean;
  readonly mtu?: number;
}

/** IPv4 in IPv4, the smallest overhead of all: `flow` is one route a peer, `static` one device a peer. */
export interface IpipBackend {
  readonly type: "ipip";
  readonly mode: "flow" | "static";
  /** Peers on our own segment are reached without a tunnel. */
  readonly directRouting: boolean;
  readonly mtu?: number;
}

/** WireGuard: everything between nodes is encrypted, but for what `directRouting` takes past it. */
export interface WireguardBackend {
  readonly type: "wireguard";
  /** UDP port; networks of one port share a device. */
  readonly port: number;
  /** Peers on our own segment are reached without a tunnel, and so without encryption. */
  readonly directRouting: boolean;
  readonly mtu?: number;
}

/** A mesh of Open vSwitch, with inner Ethernet: `static` is one port a peer, `flow` one port for all, `both` is both. */
export interface OvsBackend {
  readonly type: "ovs";
  readonly tunnel: "gre" | "vxlan" | "geneve";
  readonly mode: "flow" | "static" | "both";
  /** Of the network, in each packet: VNI, or key of GRE, 1..16777215. */
  readonly vni: number;
  /** UDP port; 0 for gre. */
  readonly port: number;
  /** Peers on our own segment are reached without a tunnel. */
  readonly directRouting: boolean;
  readonly mtu?: number;
}

/** Plain routes by way of the peers' own addresses; every peer must be on our segment. */
export interface HostGatewayBackend {
  readonly type: "host-gw";
  readonly mtu?: number;
}

export type OverlayBackend =
  | VxlanBackend
  | GreBackend
  | IpipBackend
  | WireguardBackend
  | OvsBackend
  | HostGatewayBackend;

/** A cluster network: the CIDRs from which nodes get subnets, and how nodes reach each other's. */
export interface NetworkSpec {
  readonly name: string;
  /** At most one per family. */
  readonly cidrs: readonly Prefix[];
  /** Length of a node's subnet, per family. */
  readonly subnetLengths: { readonly 4: number; readonly 6: number };
  readonly backend: OverlayBackend;
  /** While the backend is being changed; see {@link BackendChange}. */
  readonly change?: BackendChange;
  /** Pods reach the world behind the node's address. */
  readonly masquerade: boolean;
}

/**
 * The way of a running network to another backend: both are received, and each peer is sent to with the new one as soon
 * as it says that it takes that.
 */
export interface BackendChange {
  readonly previous: OverlayBackend;
  /** Counts the changes of this network. */
  readonly generation: number;
  /** A peer that receives this generation takes packets of the new backend. */
  readonly required: number;
}

/** All that it receives: one, or two while the backend is being changed. */
export function backendsOf({ backend, change }: NetworkSpec): readonly OverlayBackend[] {
  return change === undefined ? [backend] : [backend, change.previous];
}

/** What this node holds in a network: at most one subnet per family. */
export interface OwnLease {
  readonly network: string;
  readonly subnets: readonly Prefix[];
}

/** Another node's subnet. A node with subnets of both families is two peers with one node id. */
export interface Peer {
  readonly network: string;
  readonly nodeId: string;
  readonly nodeName: string;
  /** On the underlay, at most one per family. */
  readonly addresses: readonly Address[];
  readonly subnet: Prefix;
  /** Only when it is not the one that {@link ./vtep.ts} derives (a flannel node's). */
  readonly vtepMac?: Mac;
  /** The newest generation of the network's backend that it takes; 0 when absent. */
  readonly receives?: number;
  /** Its node's WireGuard key; absent: the node has told none. */
  readonly publicKey?: WireguardPublicKey;
}

/** Our interface to the other nodes. */
export interface Underlay {
  readonly device: string;
  readonly mtu: number;
  /** The node's own addresses with their prefix lengths; the first of a family is the one peers know. */
  readonly addresses: readonly Prefix[];
}

/** All that {@link ./desired.ts desiredOverlay} needs; made of checked values only, see {@link ./parse.ts}. */
export interface OverlayInput {
  readonly nodeId: string;
  readonly networks: readonly NetworkSpec[];
  readonly leases: readonly OwnLease[];
  readonly peers: readonly Peer[];
  readonly underlay: Underlay;
  /** The WireGuard keys of nodes with which this one shares a preshared key; absent: none are used. */
  readonly paired?: ReadonlySet<WireguardPublicKey> | undefined;
}
