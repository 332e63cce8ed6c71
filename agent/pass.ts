import { applyOverlay } from "../dataplane/apply.ts";
import { nodeRulesets, RulesetKeeper } from "../dataplane/node-rules.ts";
import type { Switches } from "../dataplane/switches.ts";
import { probeGuard } from "../firewall/probe-guard.ts";
import type { Ruleset } from "../firewall/ruleset.ts";
import type { RouteSocket } from "../kernel/rtnetlink/socket.ts";
import { SysctlWatch } from "../kernel/sysctl-watch.ts";
import { prefixFamily } from "../net/prefix.ts";
import { desiredOverlay, mtuProblem } from "../overlay/desired.ts";
import { explainMtu } from "../overlay/mtu-words.ts";
import type { NetworkSpec, OverlayInput, Underlay } from "../overlay/network.ts";
import { isNetworkName } from "../overlay/parse-network.ts";
import type { ChangeProgress, DesiredState } from "../overlay/state.ts";
import type { NodeLease } from "../plugins/overlay/lease.ts";
import { type Changes, type Failure, ReconcileError } from "../reconcile/step.ts";
import type { ClusterState } from "./cluster-state.ts";
import { nodeLease } from "./node-lease.ts";
import { type CheckedInput, MOST_NETWORKS, overlayInput } from "./overlay-input.ts";
import { PROBE_PORT } from "./probe/packet.ts";
import type { WireguardKeys } from "./wireguard-keys.ts";

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
  /** How far this node is with changes of backends, when nothing failed. */
  readonly backendChanges: readonly ChangeProgress[];
  readonly mtus: readonly NetworkMtu[];
  /** What the kernel was brought to; undefined: not even that is known. */
  readonly programmed: { readonly input: OverlayInput; readonly desired: DesiredState } | undefined;
}

/** Where the MTU of a network's pods comes from. */
export interface NetworkMtu {
  readonly network: string;
  readonly message: string;
  /** Why it is too small; absent when it is not. */
  readonly problem?: string;
}

export interface PassOptions {
  readonly rt: RouteSocket;
  readonly nodeId: string;
  /** Networks that this node joins; none: all. */
  readonly joined: readonly string[];
  /** Of WireGuard; without them that backend fails. */
  readonly keys?: WireguardKeys;
  /** Called when somebody changed a sysctl that the last pass had put right. */
  readonly sysctlChanged?: () => void;
  /** Of Open vSwitch; none: its networks cannot be brought about. */
  readonly switches?: Switches;
}

/** What a state means for the kernel; worked out once for as long as neither it nor the underlay changes. */
interface Plan {
  readonly state: ClusterState;
  readonly underlay: string;
  readonly paired: WireguardKeys["paired"];
  readonly input: CheckedInput;
  readonly desired: DesiredState;
  readonly rulesets: readonly Ruleset[];
  readonly mtus: readonly NetworkMtu[];
}

const NOTHING_CHANGED = { added: 0, changed: 0, removed: 0 } as const;

/** Brings the kernel to the state: tunnels, routes, then nft rules. */
export class Passes {
  readonly #options: PassOptions;
  readonly #rules = new RulesetKeeper();
  readonly #sysctls: SysctlWatch;
  #plan: Plan | undefined;

  constructor(options: PassOptions) {
    this.#options = options;
    this.#sysctls = new SysctlWatch(() => options.sysctlChanged?.());
  }

  /** One pass. Never throws for a part that fails. */
  async run(state: ClusterState, underlay: Underlay): Promise<PassReport> {
    const plan = this.#planFor(state, underlay);
    const failures: string[] = [];
    const { rt, switches, keys: secrets } = this.#options;
    // A peer that was removed is cut before the kernel's routes are read, which takes long where there are thousands. A
    // guard that comes or goes does so with its device.
    const cutFirst = this.#rules.writesKeysOnly(plan.rulesets);
    if (cutFirst) this.#applyRules(plan, failures);
    const changes = await applyOverlay(rt, plan.desired, { secrets, switches }).catch((error: unknown) => {
      if (!(error instanceof ReconcileError)) throw error;
      failures.push(...error.failures.map(describeFailure));
      return error.changes;
    });
    if (!cutFirst) this.#applyRules(plan, failures);
    const { input, desired } = plan;
    this.#sysctls.follow([...desired.links.flatMap((link) => link.sysctls), ...desired.sysctls].map(({ key }) => key));
    return {
      changes,
      failures,
      refusals: [...input.refusals, ...desired.refusals],
      leases: this.#leases(state, failures, plan),
      networks: input.networks,
      peerCount: input.peers.length,
      backendChanges: desired.changes,
      mtus: plan.mtus,
      programmed: { input, desired },
    };
  }

  #applyRules({ rulesets }: Plan, failures: string[]): void {
    try {
      this.#rules.apply(rulesets);
    } catch (error) {
      failures.push(`nftables: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  /** What there is to say when not even the underlay is known; the kernel is left as it is. */
  withoutUnderlay(state: ClusterState, why: string): PassReport {
    const leases = this.#leases(state, [why], undefined);
    return {
      changes: NOTHING_CHANGED,
      failures: [why],
      refusals: [],
      leases,
      networks: [],
      peerCount: 0,
      backendChanges: [],
      mtus: [],
      programmed: undefined,
    };
  }

  #planFor(state: ClusterState, underlay: Underlay): Plan {
    const text = JSON.stringify(underlay);
    const { nodeId, joined, keys } = this.#options;
    const paired = keys?.paired;
    const known = this.#plan;
    if (known?.state === state && known.underlay === text && known.paired === paired) return known;
    const input = overlayInput(state, nodeId, underlay, joined, keys);
    const plan = {
      state,
      underlay: text,
      paired,
      input,
      desired: desiredOverlay(input),
      rulesets: rulesets(input),
      mtus: networkMtus(input),
    };
    this.#plan = plan;
    return plan;
  }

  /** For the networks that exist and that this node joins; their names become those of files. */
  #leases(state: ClusterState, failures: readonly string[], plan: Plan | undefined): NodeLease[] {
    const { joined } = this.#options;
    const names = new Set([...state.networks.keys(), ...(state.remembered?.networks.keys() ?? [])]);
    const problem = failures[0] && `the node's tunnels and routes are not complete: ${failures[0]}`;
    return [...names]
      .filter((name) => isNetworkName(name) && (joined.length === 0 || joined.includes(name)))
      .slice(0, MOST_NETWORKS)
      .map((name) =>
        nodeLease({
          name,
          spec: plan?.input.networks.find((network) => network.name === name),
          lease: state.leases.get(name),
          own: plan?.input.leases.find(({ network }) => network === name),
          mtu: plan?.desired.podMtu[name],
          problem,
        }),
      );
  }
}

function networkMtus({ networks, leases, peers, underlay }: CheckedInput): NetworkMtu[] {
  return networks.flatMap((network) => {
    const own = leases.find((lease) => lease.network === network.name);
    if (own === undefined || own.subnets.length === 0) return [];
    const ofNetwork = peers.filter((peer) => peer.network === network.name);
    const { pods, sentence, others } = explainMtu(network, ofNetwork, underlay);
    const problem = mtuProblem(network, own, pods, underlay);
    const message = [sentence, ...others].join("; ");
    return [{ network: network.name, message, ...(problem !== undefined && { problem }) }];
  });
}

function rulesets(input: OverlayInput): Ruleset[] {
  const networks = input.networks.flatMap(({ cidrs, subnetLengths }) =>
    cidrs.map((cidr) => ({ cidr, subnetLength: subnetLengths[prefixFamily(cidr)] })),
  );
  return [...nodeRulesets(input), probeGuard({ port: PROBE_PORT, networks })];
}

function describeFailure({ kind, key, error }: Failure): string {
  const reason = error instanceof Error ? error.message : String(error);
  return key === undefined ? `${kind}: ${reason}` : `${kind} ${key}: ${reason}`;
}
