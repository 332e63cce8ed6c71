import { applyOverlay } from "../dataplane/apply.ts";
import { applyRulesets, nodeRulesets } from "../dataplane/node-rules.ts";
import type { RouteSocket } from "../kernel/rtnetlink/socket.ts";
import { desiredOverlay } from "../overlay/desired.ts";
import type { NetworkSpec, Underlay } from "../overlay/network.ts";
import type { NodeLease } from "../plugins/vxlan-overlay/lease.ts";
import { type Changes, ReconcileError } from "../reconcile/step.ts";
import type { ClusterState } from "./cluster-state.ts";
import { nodeLease } from "./node-lease.ts";
import { overlayInput } from "./overlay-input.ts";

/** What one pass found and did. */
export interface PassReport {
  readonly changes: Changes;
  /** What could not be done, one sentence each; none: the kernel is as desired. */
  readonly failures: readonly string[];
  /** What the controller said and was not believed. */
  readonly refusals: readonly string[];
  readonly leases: readonly NodeLease[];
  readonly networks: readonly NetworkSpec[];
  readonly peerCount: number;
}

export interface PassContext {
  readonly rt: RouteSocket;
  readonly nodeId: string;
  readonly underlay: Underlay;
  /** Networks that this node joins; none: all. */
  readonly joined: readonly string[];
}

/** Brings the kernel to the state: tunnels, routes, then nft rules. Never throws for a part that fails. */
export async function pass(state: ClusterState, { rt, nodeId, underlay, joined }: PassContext): Promise<PassReport> {
  const input = overlayInput(state, nodeId, underlay, joined);
  const desired = desiredOverlay(input);
  const failures: string[] = [];
  const changes = await applyOverlay(rt, desired).catch((error: unknown) => {
    if (!(error instanceof ReconcileError)) throw error;
    failures.push(...error.failures.map(({ kind, key, error: reason }) => `${kind} ${key ?? ""}: ${reason}`));
    return error.changes;
  });
  try {
    applyRulesets(nodeRulesets(input));
  } catch (error) {
    failures.push(`nftables: ${error instanceof Error ? error.message : String(error)}`);
  }
  const problem = failures.length === 0 ? undefined : `the node's tunnels and routes are not complete: ${failures[0]}`;
  const names = new Set([...Object.keys(state.leases), ...input.networks.map(({ name }) => name)]);
  const leases = [...names].map((name) =>
    nodeLease({
      name,
      spec: input.networks.find((network) => network.name === name),
      lease: state.leases[name],
      own: input.leases.find(({ network }) => network === name),
      mtu: desired.podMtu[name],
      problem,
    }),
  );
  return {
    changes,
    failures,
    refusals: [...input.refusals, ...desired.refusals],
    leases,
    networks: input.networks,
    peerCount: input.peers.length,
  };
}
