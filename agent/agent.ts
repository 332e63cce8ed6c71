import { rmSync } from "node:fs";
import { join } from "node:path";
import type { Logger } from "pino";
import { findUnderlay } from "../dataplane/underlay.ts";
import type { RouteSocket } from "../kernel/rtnetlink/socket.ts";
import { type Address, familyOf, parseAddress } from "../net/address.ts";
import { prefixAddress } from "../net/prefix.ts";
import type { Underlay } from "../overlay/network.ts";
import { encodeLease, leasePath } from "../plugins/vxlan-overlay/lease.ts";
import type { Hello } from "../proto/gen/podwire/v1/Hello.ts";
import type { NodeMessage } from "../proto/gen/podwire/v1/NodeMessage.ts";
import type { NodeStatus } from "../proto/gen/podwire/v1/NodeStatus.ts";
import {
  applyDelta,
  applyLease,
  applySnapshot,
  type ClusterState,
  dropLease,
  EMPTY_STATE,
  heldSubnets,
} from "./cluster-state.ts";
import { writeConflist } from "./conflist.ts";
import type { Metrics } from "./metrics.ts";
import { type AgentOptions, BACKENDS } from "./options.ts";
import { addressOfEndpoint } from "./overlay-input.ts";
import { type PassReport, pass } from "./pass.ts";
import { listPods } from "./pods.ts";
import type { SessionListener } from "./session.ts";
import { readFileIfThere, updateFile, writeFileAtomic } from "./state-file.ts";
import { formatSubnetEnv } from "./subnet-env.ts";

/** Until a node that got no subnet asks again, when nothing told it of room before. */
const RETRY_SECONDS = 30;
/** setTimeout's, in milliseconds. */
const LONGEST_TIMER = 2 ** 31 - 1;

/** What the agent asks of the world around it. */
export interface AgentPorts {
  readonly rt: RouteSocket;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Asks for a pass soon. */
  trigger(): void;
  /** To the controller, when connected. */
  send(message: NodeMessage): void;
  /** A new hello. */
  reconnect(): void;
}

/**
 * One node's agent: keeps what the controller said, on disk too, and brings the kernel to it. It decides nothing by
 * itself; without a controller it goes on with the last state.
 */
export class Agent implements SessionListener {
  readonly #options: AgentOptions;
  readonly #ports: AgentPorts;
  #state: ClusterState;
  #connectedTo: string | undefined;
  #disconnected = "the controller has not been reached yet";
  /** The controller was reached and said no. */
  #refused = false;
  #announced: readonly Address[] = [];
  #report: PassReport | undefined;
  #ackedRevision = -1;
  #sentStatus = "";
  #saidRefusals = "";
  #leaseFiles = new Set<string>();
  #renewal: NodeJS.Timeout | undefined;

  constructor(options: AgentOptions, ports: AgentPorts, initial?: ClusterState) {
    this.#options = options;
    this.#ports = ports;
    this.#state = initial ?? this.#load();
  }

  /** Reasons why ADD would fail now; none: ready. */
  notReady(): readonly string[] {
    const { leases } = this.#report ?? { leases: [] };
    if (this.#refused) return [this.#disconnected];
    if (this.#report === undefined)
      return [this.#connectedTo === undefined ? this.#disconnected : "the first pass has not ended yet"];
    if (leases.length === 0) return ["the cluster has no network, or this node joins none; see cnictl get networks"];
    return leases
      .filter(({ ready }) => !ready)
      .map(({ network, reason }) => `network ${network}: ${reason ?? "not ready"}`);
  }

  /** The kernel's and the controller's news come to this: one pass. @throws Error when something is left to do */
  async reconcile(): Promise<void> {
    if (this.#state.revision === 0) return; // nothing was ever heard: what the kernel holds may be all that works
    const underlay = this.#underlay();
    this.#announce(underlay);
    const end = this.#ports.metrics.passSeconds.startTimer();
    const { nodeId, networks: joined } = this.#options;
    const state = this.#state;
    const report = await pass(state, { rt: this.#ports.rt, nodeId, underlay, joined });
    end();
    this.#report = report;
    this.#publish(report);
    this.#acknowledge(state.revision, report);
    this.reportStatus();
    if (report.failures.length > 0) throw new Error(report.failures.join("; "));
  }

  /** Tells the controller of pods and conditions when they are others than before, and lets go of emptied fenced leases. */
  reportStatus(): void {
    const pods = listPods(this.#ports.rt, this.#options.ipamDataDir);
    this.#ports.metrics.pods.set(pods.length);
    this.#releaseFenced(new Set(pods.map(({ network }) => network ?? "")));
    const reasons = this.notReady();
    const failures = this.#report?.failures ?? [];
    const status: NodeStatus = {
      pods,
      conditions: [
        {
          type: "Ready",
          status: reasons.length === 0,
          reason: reasons.length === 0 ? "Ready" : "NotReady",
          message: reasons.join("; "),
        },
        {
          type: "Converged",
          status: failures.length === 0,
          reason: failures.length === 0 ? "Converged" : "Failing",
          message: failures.join("; "),
        },
      ],
    };
    const text = JSON.stringify(status);
    if (this.#connectedTo === undefined || text === this.#sentStatus) return;
    this.#sentStatus = text;
    this.#ports.send({ status });
  }

  // --- what the session tells

  hello(controller: string): Hello | undefined {
    const { nodeId, nodeName, networks, version, bootId, claimed } = this.#options;
    try {
      this.#announced = announcedAddresses(this.#underlay(controller));
    } catch (error) {
      this.#disconnected = error instanceof Error ? error.message : String(error);
      this.#ports.log.error({ controller, err: error }, "no underlay address to announce");
      return undefined;
    }
    const held = heldSubnets(this.#state);
    const claims = claimed.filter(({ network }) => !held.some((each) => each.network === network));
    return {
      nodeId,
      nodeName,
      addresses: [...this.#announced],
      backends: [...BACKENDS],
      networks: [...networks],
      held: [...held, ...claims.map((claim) => ({ ...claim, epoch: 0 }))],
      version,
      bootId,
    };
  }

  onConnected(controller: string): void {
    this.#connectedTo = controller;
    this.#refused = false;
    this.#ackedRevision = -1;
    this.#sentStatus = "";
    this.#ports.metrics.connected.set(1);
    this.#ports.log.info({ controller }, "connected");
    this.#ports.trigger();
  }

  onDisconnected(controller: string, reason: string, refused: boolean): void {
    this.#connectedTo = undefined;
    this.#ports.metrics.connected.set(0);
    const said = refused
      ? `controller ${controller} refuses this node: ${reason}`
      : `controller ${controller} is not reachable: ${reason}`;
    if (said !== this.#disconnected)
      this.#ports.log[refused ? "error" : "warn"]({ controller, reason }, refused ? "refused" : "disconnected");
    this.#disconnected = said;
    this.#refused = refused;
  }

  onLease(lease: Parameters<SessionListener["onLease"]>[0]): void {
    const before = this.#state.leases[lease.network];
    if (before?.state !== lease.state) {
      const { network, state, reason, subnets } = lease;
      this.#ports.log.info({ network, state, reason, subnets: subnets.map(({ subnet }) => subnet) }, "lease");
    }
    this.#keep(applyLease(this.#state, lease));
    this.#ports.metrics.leaseExpiry.set({ network: lease.network }, lease.expiresAt / 1000);
    this.#renewIn(lease.state === "LEASE_STATE_NONE" ? RETRY_SECONDS : lease.ttlSeconds / 3);
  }

  onSnapshot(snapshot: Parameters<SessionListener["onSnapshot"]>[0]): void {
    this.#keep(applySnapshot(this.#state, snapshot));
  }

  onDelta(delta: Parameters<SessionListener["onDelta"]>[0]): void {
    this.#keep(applyDelta(this.#state, delta));
    const waiting = Object.values(this.#state.leases).some(({ state }) => state === "LEASE_STATE_NONE");
    if (waiting && delta.deletedSubnets.length + delta.networks.length > 0) this.#renew(); // there may be room now
  }

  stop(): void {
    clearTimeout(this.#renewal);
  }

  // --- inside

  #keep(state: ClusterState): void {
    this.#state = state;
    this.#ports.metrics.knownRevision.set(state.revision);
    writeFileAtomic(this.#statePath, JSON.stringify(state));
    this.#ports.trigger();
  }

  get #statePath(): string {
    return join(this.#options.stateDir, "state.json");
  }

  #load(): ClusterState {
    const text = readFileIfThere(this.#statePath);
    if (text === undefined) return EMPTY_STATE;
    try {
      return JSON.parse(text);
    } catch (err) {
      this.#ports.log.error({ err, path: this.#statePath }, "the saved state is broken and is ignored");
      return EMPTY_STATE;
    }
  }

  #underlay(controller = this.#connectedTo ?? this.#options.controllers[0]): Underlay {
    const host = controller === undefined ? undefined : addressOfEndpoint(controller);
    return findUnderlay(this.#ports.rt, {
      device: this.#options.underlayDevice,
      towards: host === undefined ? undefined : parseAddress(host),
    });
  }

  /** The node's own address changed: peers must hear of it, and the subnet stays. */
  #announce(underlay: Underlay): void {
    const now = announcedAddresses(underlay);
    if (this.#connectedTo === undefined || now.join() === this.#announced.join()) return;
    this.#ports.log.info({ before: this.#announced, now }, "the node's addresses changed");
    this.#announced = now; // until the new hello, once is enough
    this.#ports.reconnect();
  }

  #publish({ leases, networks, refusals, changes, failures, peerCount }: PassReport): void {
    const { metrics, log } = this.#ports;
    metrics.refused.set(refusals.length);
    metrics.peers.set(peerCount);
    for (const [change, count] of Object.entries(changes)) metrics.changes.inc({ change }, count);
    if (failures.length > 0) metrics.failures.inc();
    if (changes.added + changes.changed + changes.removed > 0) log.info({ ...changes }, "kernel state changed");
    if (refusals.join() !== this.#saidRefusals && refusals.length > 0) log.warn({ refusals }, "refused");
    this.#saidRefusals = refusals.join();

    const written = new Set(leases.map(({ network }) => leasePath(network)));
    for (const lease of leases) updateFile(leasePath(lease.network), encodeLease(lease));
    for (const path of this.#leaseFiles) if (!written.has(path)) rmSync(path, { force: true });
    this.#leaseFiles = written;

    const { conflist, subnetFile } = this.#options;
    const lease = leases.find(({ network }) => network === conflist?.network);
    if (conflist === undefined || lease === undefined || !lease.ready) return;
    if (writeConflist(conflist.path, conflist.network)) log.info({ path: conflist.path }, "conflist written");
    const masquerade = networks.find(({ name }) => name === lease.network)?.masquerade ?? false;
    if (subnetFile !== undefined) updateFile(subnetFile, formatSubnetEnv({ ...lease, masquerade }), 0o644);
  }

  #acknowledge(revision: number, { failures }: PassReport): void {
    if (failures.length === 0) this.#ports.metrics.appliedRevision.set(revision);
    if (this.#connectedTo === undefined || (revision === this.#ackedRevision && failures.length === 0)) return;
    this.#ackedRevision = failures.length === 0 ? revision : -1;
    this.#ports.send({ ack: { revision, failures: [...failures] } });
  }

  #releaseFenced(inUse: ReadonlySet<string>): void {
    for (const { network, state } of Object.values(this.#state.leases)) {
      if (state !== "LEASE_STATE_FENCED" || inUse.has(network)) continue;
      this.#ports.log.info({ network }, "no pod uses the fenced subnet any more; asking for a new one");
      this.#keep(dropLease(this.#state, network));
      this.#renew();
    }
  }

  #renew(): void {
    this.#ports.send({ renew: { held: heldSubnets(this.#state) } });
  }

  #renewIn(seconds: number): void {
    if (seconds === 0) return;
    clearTimeout(this.#renewal);
    this.#renewal = setTimeout(() => this.#renew(), Math.min(seconds * 1000, LONGEST_TIMER));
  }
}

/** The first of each family. */
function announcedAddresses({ addresses }: Underlay): Address[] {
  const all = addresses.map(prefixAddress);
  return ([4, 6] as const).flatMap((family) => all.find((address) => familyOf(address) === family) ?? []);
}
