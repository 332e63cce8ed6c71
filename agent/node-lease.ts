import type { NetworkSpec, OwnLease } from "../overlay/network.ts";
import type { NodeLease } from "../plugins/overlay/lease.ts";
import type { Lease__Output } from "../proto/gen/podwire/v1/Lease.ts";

/** What is known of one network when its lease file is written. */
export interface NetworkView {
  readonly name: string;
  /** Absent: the network is unknown or was refused. */
  readonly spec: NetworkSpec | undefined;
  /** What the controller said last. */
  readonly lease: Lease__Output | undefined;
  /** What of it stood the checks. */
  readonly own: OwnLease | undefined;
  /** Of pods, in bytes. */
  readonly mtu: number | undefined;
  /** Why tunnels or routes are not as desired; undefined when they are. */
  readonly problem: string | undefined;
}

/** The lease as plugins read it. */
export function nodeLease(view: NetworkView): NodeLease {
  const { name, spec, lease, own, mtu, problem } = view;
  const base = { network: name, cidrs: spec?.cidrs ?? [], mtu: mtu ?? 1500 };
  if (lease === undefined) {
    return {
      ...base,
      state: "none",
      ready: false,
      subnets: [],
      reason: "the controller has not given this node a subnet yet",
    };
  }
  if (lease.state === "LEASE_STATE_FENCED") {
    return {
      ...base,
      state: "fenced",
      ready: false,
      subnets: [],
      reason: lease.reason || "another node holds the subnet now",
    };
  }
  if (lease.state !== "LEASE_STATE_HELD" || own === undefined || spec === undefined) {
    const reason = lease.reason || problem || "the network or the lease was refused; see the agent's log";
    return { ...base, state: "none", ready: false, subnets: [], reason };
  }
  const held = { ...base, state: "held", subnets: own.subnets } as const;
  return problem === undefined ? { ...held, ready: true } : { ...held, ready: false, reason: problem };
}
