import type { Delta__Output } from "../proto/gen/podwire/v1/Delta.ts";
import type { Lease__Output } from "../proto/gen/podwire/v1/Lease.ts";
import type { Network__Output } from "../proto/gen/podwire/v1/Network.ts";
import type { Snapshot__Output } from "../proto/gen/podwire/v1/Snapshot.ts";
import type { Subnet__Output } from "../proto/gen/podwire/v1/Subnet.ts";
import { contradict, isLapse, type Remembered, remember } from "./remembered.ts";

/** What the controller last told this node. Nothing in it is trusted until overlay-input.ts has parsed it. */
export interface ClusterState {
  /** 0: the controller has never been heard. */
  readonly revision: number;
  readonly networks: ReadonlyMap<string, Network__Output>;
  /** By {@link subnetKey}. */
  readonly subnets: ReadonlyMap<string, Subnet__Output>;
  /** What this node holds, by network. */
  readonly leases: ReadonlyMap<string, Lease__Output>;
  /** What an earlier store said and this one has forgotten; undefined: nothing. */
  readonly remembered: Remembered | undefined;
}

export const EMPTY_STATE: ClusterState = {
  revision: 0,
  networks: new Map(),
  subnets: new Map(),
  leases: new Map(),
  remembered: undefined,
};

/** One subnet of one network. */
export function subnetKey({ network, subnet }: { readonly network: string; readonly subnet: string }): string {
  return `${network}/${subnet}`;
}

/**
 * The snapshot replaces everything but the leases of networks that are still known. One from a store that has lost its
 * memory replaces nothing that it does not contradict; see remembered.ts.
 * @param now milliseconds since the Unix epoch
 */
export function applySnapshot(state: ClusterState, snapshot: Snapshot__Output, now: number): ClusterState {
  const told = {
    networks: new Map(snapshot.networks.map((network) => [network.name, network])),
    subnets: new Map(snapshot.subnets.map((subnet) => [subnetKey(subnet), subnet])),
  };
  const remembered = isLapse(state, { ...told, revision: snapshot.revision })
    ? remember(state, told, now)
    : state.remembered && contradict(state.remembered, told);
  const leases = [...state.leases].filter(([name]) => told.networks.has(name) || remembered?.networks.has(name));
  return { revision: snapshot.revision, ...told, leases: new Map(leases), remembered };
}

/** Deletions first: a subnet that is deleted and put in one delta has been given to another node. */
export function applyDelta(state: ClusterState, delta: Delta__Output): ClusterState {
  const networks = new Map(state.networks);
  const subnets = new Map(state.subnets);
  const leases = new Map(state.leases);
  for (const name of delta.deletedNetworks) {
    networks.delete(name);
    leases.delete(name);
  }
  for (const key of delta.deletedSubnets) subnets.delete(subnetKey(key));
  for (const network of delta.networks) networks.set(network.name, network);
  for (const subnet of delta.subnets) subnets.set(subnetKey(subnet), subnet);
  const told = {
    networks: new Map(delta.networks.map((network) => [network.name, network])),
    subnets: new Map(delta.subnets.map((subnet) => [subnetKey(subnet), subnet])),
    deletedNetworks: delta.deletedNetworks,
    deletedSubnets: delta.deletedSubnets.map(subnetKey),
  };
  const remembered = state.remembered && contradict(state.remembered, told);
  return { revision: delta.revision, networks, subnets, leases, remembered };
}

export function applyLease(state: ClusterState, lease: Lease__Output): ClusterState {
  return { ...state, leases: new Map(state.leases).set(lease.network, lease) };
}

/** The leases to name as held in a hello or a renewal: of every state, so that the controller can judge them. */
export function heldSubnets(state: ClusterState): { network: string; subnet: string; epoch: number }[] {
  return [...state.leases.values()].flatMap(({ network, subnets }) =>
    subnets.map(({ subnet, epoch }) => ({ network, subnet, epoch })),
  );
}

/** Lets go of a network's lease, so that the next renewal asks for a new one. */
export function dropLease(state: ClusterState, network: string): ClusterState {
  const leases = new Map(state.leases);
  leases.delete(network);
  return { ...state, leases };
}
