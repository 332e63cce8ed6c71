import type { Network__Output } from "../proto/gen/podwire/v1/Network.ts";
import type { Subnet__Output } from "../proto/gen/podwire/v1/Subnet.ts";
import type { ClusterState } from "./cluster-state.ts";

/*
 * A controller whose database was lost, emptied or set back to a backup still answers, with a snapshot that lacks most of
 * the cluster. To obey it would cut every pod from every other node at once, and silently. So what such a store does not
 * mention is remembered: it goes on being routed until the store contradicts it (the network or subnet is given anew, the
 * same node comes back with another subnet, or a delta deletes it by name) or until every node that still lives must have
 * renewed its lease, and so have come back. Deletions in an intact store are not affected: they come as deltas, or as
 * snapshots of a store that knows the rest.
 */

/** What a store told before it lost its memory. */
export interface Remembered {
  /** When it stops to count: milliseconds since the Unix epoch. */
  readonly until: number;
  readonly networks: ReadonlyMap<string, Network__Output>;
  /** By subnetKey. */
  readonly subnets: ReadonlyMap<string, Subnet__Output>;
}

/** What a message says of networks and subnets. */
export interface Told {
  readonly networks: ReadonlyMap<string, Network__Output>;
  readonly subnets: ReadonlyMap<string, Subnet__Output>;
  readonly deletedNetworks?: readonly string[];
  readonly deletedSubnets?: readonly string[];
}

/** When no lease says how long it lasts: the controller's own default. */
const DEFAULT_GRACE_SECONDS = 24 * 3600;

/**
 * Whether the snapshot comes from a store that does not know what this node was told before: its revision is an earlier
 * one, or not one network or subnet in it is (by its time of creation) one that was known.
 */
export function isLapse(before: ClusterState, snapshot: Told & { readonly revision: number }): boolean {
  if (before.revision === 0 || before.networks.size === 0) return false;
  return snapshot.revision < before.revision || !isContinued(before, snapshot);
}

/** What was known and the snapshot neither repeats nor contradicts. */
export function remember(before: ClusterState, told: Told, now: number): Remembered | undefined {
  const seconds = Math.max(0, ...[...before.leases.values()].map(({ ttlSeconds }) => ttlSeconds));
  const known = {
    until: now + (seconds || DEFAULT_GRACE_SECONDS) * 1000,
    networks: new Map([...(before.remembered?.networks ?? []), ...before.networks]),
    subnets: new Map([...(before.remembered?.subnets ?? []), ...before.subnets]),
  };
  return contradict(known, told);
}

/** Without what the store knows better; undefined when nothing is left. */
export function contradict({ until, networks, subnets }: Remembered, told: Told): Remembered | undefined {
  const deletedNetworks = new Set(told.deletedNetworks);
  const deletedSubnets = new Set(told.deletedSubnets);
  const returned = new Set([...told.subnets.values()].map(placeOf));
  const left = {
    until,
    networks: new Map([...networks].filter(([name]) => !told.networks.has(name) && !deletedNetworks.has(name))),
    subnets: new Map(
      [...subnets].filter(
        ([key, subnet]) =>
          !told.subnets.has(key) &&
          !deletedSubnets.has(key) &&
          !deletedNetworks.has(subnet.network) &&
          !returned.has(placeOf(subnet)),
      ),
    ),
  };
  return left.networks.size + left.subnets.size === 0 ? undefined : left;
}

/** A node's place in a network, of one family: it holds one subnet there. */
function placeOf({ network, nodeId, subnet }: Subnet__Output): string {
  return `${network}/${nodeId === "" ? subnet : nodeId}/${subnet.includes(":")}`;
}

function isContinued(before: ClusterState, { networks, subnets }: Told): boolean {
  const sameNetwork = [...networks].some(([name, { createdAt }]) => before.networks.get(name)?.createdAt === createdAt);
  return sameNetwork || [...subnets].some(([key, subnet]) => isSame(before.subnets.get(key), subnet));
}

function isSame(before: Subnet__Output | undefined, { epoch, createdAt }: Subnet__Output): boolean {
  return before?.epoch === epoch && before.createdAt === createdAt;
}
