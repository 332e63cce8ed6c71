import type { Delta__Output } from "../proto/gen/podwire/v1/Delta.ts";
import type { Lease__Output } from "../proto/gen/podwire/v1/Lease.ts";
import type { Network__Output } from "../proto/gen/podwire/v1/Network.ts";
import type { Snapshot__Output } from "../proto/gen/podwire/v1/Snapshot.ts";
import type { Subnet__Output } from "../proto/gen/podwire/v1/Subnet.ts";

/**
 * What the controller last told this node. Plain JSON, so that it can lie on disk; nothing in it is trusted until
 * overlay-input.ts has parsed it.
 */
export interface ClusterState {
  /** 0: the controller has never been heard. */
  readonly revision: number;
  readonly networks: Readonly<Record<string, Network__Output>>;
  /** By {@link subnetKey}. */
  readonly subnets: Readonly<Record<string, Subnet__Output>>;
  /** What this node holds, by network. */
  readonly leases: Readonly<Record<string, Lease__Output>>;
}

export const EMPTY_STATE: ClusterState = { revision: 0, networks: {}, subnets: {}, leases: {} };

/** One subnet of one network. */
export function subnetKey({ network, subnet }: { readonly network: string; readonly subnet: string }): string {
  return `${network}/${subnet}`;
}

/** The snapshot replaces everything but the leases. */
export function applySnapshot(state: ClusterState, snapshot: Snapshot__Output): ClusterState {
  return {
    revision: snapshot.revision,
    networks: Object.fromEntries(snapshot.networks.map((network) => [network.name, network])),
    subnets: Object.fromEntries(snapshot.subnets.map((subnet) => [subnetKey(subnet), subnet])),
    leases: state.leases,
  };
}

/** Deletions first: a subnet that is deleted and put in one delta has been given to another node. */
export function applyDelta(state: ClusterState, delta: Delta__Output): ClusterState {
  const networks = { ...state.networks };
  const subnets = { ...state.subnets };
  const leases = { ...state.leases };
  for (const name of delta.deletedNetworks) {
    delete networks[name];
    delete leases[name];
  }
  for (const key of delta.deletedSubnets) delete subnets[subnetKey(key)];
  for (const network of delta.networks) networks[network.name] = network;
  for (const subnet of delta.subnets) subnets[subnetKey(subnet)] = subnet;
  return { revision: delta.revision, networks, subnets, leases };
}

export function applyLease(state: ClusterState, lease: Lease__Output): ClusterState {
  return { ...state, leases: { ...state.leases, [lease.network]: lease } };
}

/** The leases to name as held in a hello or a renewal: of every state, so that the controller can judge them. */
export function heldSubnets(state: ClusterState): { network: string; subnet: string; epoch: number }[] {
  return Object.values(state.leases).flatMap(({ network, subnets }) =>
    subnets.map(({ subnet, epoch }) => ({ network, subnet, epoch })),
  );
}

/** Lets go of a network's lease, so that the next renewal asks for a new one. */
export function dropLease(state: ClusterState, network: string): ClusterState {
  const { [network]: _dropped, ...leases } = state.leases;
  return { ...state, leases };
}
