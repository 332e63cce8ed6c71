import type { Backend } from "../backends/backend.ts";
import type { Address } from "../net/address.ts";
import type { Mac } from "../net/mac.ts";
import type { Prefix } from "../net/prefix.ts";
import type { WireguardPublicKey } from "../net/wireguard-key.ts";

/** A cluster network: the CIDRs from which nodes get subnets, and how nodes reach each other's. */
export interface NetworkSpec {
  readonly name: string;
  /** At most one per family. */
  readonly cidrs: readonly Prefix[];
  /** Length of a node's subnet, per family. */
  readonly subnetLengths: { readonly 4: number; readonly 6: number };
  readonly backend: Backend;
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
  readonly previous: Backend;
  /** Counts the changes of this network. */
  readonly generation: number;
  /** A peer that receives this generation takes packets of the new backend. */
  readonly required: number;
}

/** All that it receives: one, or two while the backend is being changed. */
export function backendsOf({ backend, change }: NetworkSpec): readonly Backend[] {
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
