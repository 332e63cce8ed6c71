import type { Logger } from "pino";
import type { Switches } from "../dataplane/switches.ts";
import type { RouteSocket } from "../kernel/rtnetlink/socket.ts";
import type { Address } from "../net/address.ts";
import type { Underlay } from "../overlay/network.ts";
import type { BackendProgress } from "../proto/gen/podwire/v1/BackendProgress.ts";
import type { Delta__Output } from "../proto/gen/podwire/v1/Delta.ts";
import type { Hello } from "../proto/gen/podwire/v1/Hello.ts";
import type { Lease__Output } from "../proto/gen/podwire/v1/Lease.ts";
import type { NodeMessage } from "../proto/gen/podwire/v1/NodeMessage.ts";
import type { Secrets__Output } from "../proto/gen/podwire/v1/Secrets.ts";
import type { Snapshot__Output } from "../proto/gen/podwire/v1/Snapshot.ts";
import { applyDelta, applyLease, applySnapshot, type ClusterState, dropLease, heldSubnets } from "./cluster-state.ts";
import { Connection } from "./connection.ts";
import type { LeaseKeeper } from "./dhcp-keeper.ts";
import { deleteIdleBridges } from "./idle-bridges.ts";
import type { Metrics } from "./metrics.ts";
import type { NodeFiles } from "./node-files.ts";
import type { AgentOptions } from "./options.ts";
import { addressOfEndpoint, leaseRefusal } from "./overlay-input.ts";
import { Passes, type PassReport } from "./pass.ts";
import { PodList } from "./pods.ts";
import type { Prober } from "./probe/prober.ts";
import { Renewal } from "./renewal.ts";
import type { SavedState } from "./saved-state.ts";
import type { Endpoint, SessionListener } from "./session.ts";
import type { LoadedState } from "./state-keeper.ts";
import { nodeStatus, summary } from "./status.ts";
import { agentUnderlay, announcedAddresses } from "./underlay.ts";
import type { WireguardKeys } from "./wireguard-keys.ts";

/** Enough to see what is going on. */
const MOST_REFUSED_LEASES = 100;

const BEHIND =
  "the agent was killed before it had saved all that it knew; the node's tunnels and routes stay as they are until a controller has spoken";

/** What the agent asks of the world around it. */
export interface AgentPorts {
  readonly rt: RouteSocket;
  readonly switches: Switches;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly files: NodeFiles;
  /** Names of the backends that this node can do. */
  backends(): string[];
  readonly keys: WireguardKeys;
  /** The self-test of tunnels; undefined: none. */
  readonly prober: Pick<Prober, "update" | "findings"> | undefined;
  /** Renews the pods' DHCP leases. */
  readonly leases?: Pick<LeaseKeeper, "lost">;
  /** Asks for a pass soon. */
  trigger(): void;
  /** To the controller, when connected. */
  send(message: NodeMessage): void;
  /** A new hello. */
  reconnect(): void;
  /** Keeps the state for the next start. */
  save(state: SavedState): void;
}

/**
 * One node's agent: keeps what the controller said, on disk too, and brings the kernel to it. It decides nothing by
 * itself; without a controller it goes on with the last state.
 */
export class Agent implements SessionListener {
  readonly #options: AgentOptions;
  readonly #ports: AgentPorts;
  readonly #passes: Passes;
  readonly #renewal: Renewal;
  readonly #connection: Connection;
  #state: ClusterState;
  /** Of the controller that was reached last. */
  #controllerAddress: string | undefined;
  /** Undefined before the first hello. */
  #announced: readonly Address[] | undefined;
  #report: PassReport | undefined;
  /** How far the changes of networks' backends are here, by network. */
  #progress: ReadonlyMap<string, BackendProgress> = new Map();
  readonly #pods: PodList;
  /** Until a controller has told all that there is, the kernel is left as it is. */
  #mayBeBehind: boolean;
  /** What came in on this connection and was not kept. */
  #refusedLeases: string[] = [];
  #saidRefusals = "";

  constructor(options: AgentOptions, ports: AgentPorts, initial: LoadedState) {
    this.#options = options;
    this.#ports = ports;
    this.#pods = new PodList(ports.rt, options.ipamDataDir);
    this.#state = initial.state;
    this.#controllerAddress = initial.controllerAddress;
    this.#mayBeBehind = initial.mayBeBehind;
    this.#passes = new Passes({
      rt: ports.rt,
      switches: ports.switches,
      nodeId: options.nodeId,
      joined: options.networks,
      keys: ports.keys,
      sysctlChanged: () => ports.trigger(),
    });
    this.#connection = new Connection(ports);
    this.#renewal = new Renewal({
      renew: () => ports.send({ renew: { held: heldSubnets(this.#state) } }),
      random: Math.random,
    });
  }

  /** Reasons why ADD would fail now; none: ready. */
  notReady(): readonly string[] {
    const { refusal, problem } = this.#connection;
    if (refusal !== undefined) return [refusal];
    if (this.#mayBeBehind) return [`${BEHIND}${problem === undefined ? "" : `: ${problem}`}`];
    if (this.#report === undefined) return [problem ?? "the first pass has not ended yet"];
    const { leases } = this.#report;
    if (leases.length === 0) return ["the cluster has no network, or this node joins none; see cnictl get networks"];
    return leases
      .filter(({ ready }) => !ready)
      .map(({ network, reason }) => `network ${network}: ${reason ?? "not ready"}`);
  }

  /** The kernel's and the controller's news come to this: one pass. @throws Error when something is left to do */
  async reconcile(): Promise<void> {
    if (this.#state.revision === 0 || this.#mayBeBehind) return; // what the kernel holds may be all that works
    this.#forgetInTime();
    const state = this.#state;
    const end = this.#ports.metrics.passSeconds.startTimer();
    const unsaved = this.#saveKeys();
    const found = await this.#pass(state);
    end();
    const report = this.#publish({ ...found, failures: [...found.failures, ...unsaved] });
    this.#report = report;
    this.#noteProgress(report);
    if (report.programmed !== undefined) this.#ports.prober?.update(report.programmed);
    const bridges = deleteIdleBridges(this.#ports.rt, new Set(report.leases.map(({ network }) => network)));
    if (bridges.length > 0) this.#ports.log.info({ bridges }, "bridges of deleted networks removed");
    this.#connection.acknowledge(state.revision, report.failures, this.#ports.keys.savedEpoch);
    this.reportStatus();
    if (report.failures.length > 0) throw new Error(summary(report.failures).join("; "));
  }

  /** Tells the controller of pods and conditions when they are others than before, and lets go of emptied fenced leases. */
  reportStatus(): void {
    const pods = this.#pods.list();
    this.#ports.metrics.pods.set(pods.length);
    this.#releaseFenced(new Set(pods.map(({ network }) => network ?? "")));
    const findings = this.#ports.prober?.findings();
    const { failures = [], mtus } = this.#report ?? {};
    const status = nodeStatus(pods, this.notReady(), failures, mtus, findings, this.#ports.leases?.lost());
    this.#connection.report({ ...status, backends: [...this.#progress.values()] });
  }

  // --- what the session tells

  hello(controller: Endpoint): Hello | undefined {
    const { nodeId, nodeName, networks, version, bootId, claimed, underlayDevice } = this.#options;
    let announced: readonly Address[];
    try {
      const underlay = agentUnderlay(this.#ports.rt, underlayDevice, controller.address ?? this.#controllerAddress);
      announced = announcedAddresses(underlay);
      this.#announced = announced;
    } catch (error) {
      this.#announced = []; // with the next address there is news
      this.#connection.unable(controller, error);
      return undefined;
    }
    const held = heldSubnets(this.#state);
    const claims = claimed.filter(({ network }) => !held.some((each) => each.network === network));
    return {
      nodeId,
      nodeName,
      addresses: [...announced],
      backends: this.#ports.backends(),
      networks: [...networks],
      held: [...held, ...claims.map((claim) => ({ ...claim, epoch: 0 }))],
      version,
      bootId,
      publicKey: this.#ports.keys.publicKey,
    };
  }

  onConnected(controller: Endpoint): void {
    this.#controllerAddress = controller.address ?? this.#controllerAddress;
    this.#refusedLeases = [];
    this.#connection.opened(controller);
    this.#ports.trigger();
  }

  onDisconnected(controller: Endpoint, reason: string, refused: boolean): void {
    this.#connection.closed(controller, reason, refused);
  }

  onLease(lease: Lease__Output): void {
    const { log } = this.#ports;
    const refusal = leaseRefusal(lease);
    if (refusal !== undefined) {
      if (this.#refusedLeases.length < MOST_REFUSED_LEASES) this.#refusedLeases.push(refusal);
      this.#ports.trigger(); // said there, once for many
      return;
    }
    const { network, state, reason, subnets, ttlSeconds } = lease;
    if (this.#state.leases.get(network)?.state !== state)
      log.info({ network, state, reason, subnets: subnets.map(({ subnet }) => subnet) }, "lease");
    this.#renewal.note(network, state === "LEASE_STATE_NONE" ? undefined : ttlSeconds);
    this.#keep(applyLease(this.#state, lease));
  }

  onSnapshot(snapshot: Snapshot__Output): void {
    this.#mayBeBehind = false;
    const before = this.#state;
    const state = applySnapshot(before, snapshot, Date.now());
    if (state.remembered !== undefined && before.remembered === undefined) {
      const { networks, subnets, until } = state.remembered;
      this.#ports.log.error(
        {
          revision: snapshot.revision,
          knownRevision: before.revision,
          networks: [...networks.keys()].slice(0, 16),
          subnets: subnets.size,
          until: new Date(until),
        },
        "the controller's store does not know what this node was told before: was it lost, emptied or set back? What it does not mention stays routed until then",
      );
    }
    this.#keep(state);
  }

  onDelta(delta: Delta__Output): void {
    this.#keep(applyDelta(this.#state, delta));
    const waiting = [...this.#state.leases.values()].some(({ state }) => state === "LEASE_STATE_NONE");
    if (waiting && delta.deletedSubnets.length + delta.networks.length > 0) this.#renewal.now(); // there may be room now
  }

  onSecrets(secrets: Secrets__Output): void {
    const { keys, log } = this.#ports;
    const refusal = keys.accept(secrets);
    if (refusal !== undefined) log.error({ epoch: secrets.epoch }, refusal);
    const known = [...this.#state.subnets.values(), ...(this.#state.remembered?.subnets.values() ?? [])];
    keys.forgetStrangers(new Set(known.map(({ publicKey }) => publicKey)));
    this.#ports.trigger();
  }

  stop(): void {
    this.#renewal.stop();
  }

  // --- inside

  #keep(state: ClusterState): void {
    for (const network of this.#state.leases.keys()) if (!state.leases.has(network)) this.#renewal.forget(network);
    this.#state = state;
    this.#ports.metrics.knownRevision.set(state.revision);
    this.#ports.metrics.remembered.set(state.remembered?.subnets.size ?? 0);
    // Leases come before the snapshot: saved alone they would make a state that is behind look whole.
    if (!this.#mayBeBehind) this.#ports.save({ state, controllerAddress: this.#controllerAddress });
    this.#ports.trigger();
  }

  /** On the disk first: an agent that is killed now must not go back to keys that peers no longer use. */
  #saveKeys(): string[] {
    try {
      this.#ports.keys.save();
      return [];
    } catch (error) {
      return [`preshared keys: ${error instanceof Error ? error.message : String(error)}`];
    }
  }

  #forgetInTime(): void {
    const { remembered } = this.#state;
    if (remembered === undefined || Date.now() < remembered.until) return;
    this.#ports.log.warn({ subnets: remembered.subnets.size }, "what the store has forgotten is no longer routed");
    this.#keep({ ...this.#state, remembered: undefined });
  }

  async #pass(state: ClusterState): Promise<PassReport> {
    let underlay: Underlay;
    try {
      underlay = agentUnderlay(this.#ports.rt, this.#options.underlayDevice, this.#underlayHint);
    } catch (error) {
      return this.#passes.withoutUnderlay(state, error instanceof Error ? error.message : String(error));
    }
    this.#announce(underlay);
    return this.#passes.run(state, underlay);
  }

  /** An address to find the underlay by, the same before and after a restart. */
  get #underlayHint(): string | undefined {
    const [first] = this.#options.controllers;
    return this.#controllerAddress ?? (first === undefined ? undefined : addressOfEndpoint(first));
  }

  /** The node's own address changed: peers must hear of it, and the subnet stays. No waiting for the next try either. */
  #announce(underlay: Underlay): void {
    const now = announcedAddresses(underlay);
    if (this.#announced === undefined || now.join() === this.#announced.join()) return;
    this.#ports.log.info({ before: this.#announced, now }, "the node's addresses changed");
    this.#announced = now; // until the new hello, once is enough
    this.#ports.reconnect();
  }

  /** Makes the pass known on the node. What can't be written is one more failure. */
  #publish(report: PassReport): PassReport {
    const { metrics, log, files } = this.#ports;
    const { changes, leases, networks } = report;
    for (const [change, count] of Object.entries(changes)) metrics.changes.inc({ change }, count);
    if (changes.added + changes.changed + changes.removed > 0) log.info({ ...changes }, "kernel state changed");
    metrics.peers.set(report.peerCount);
    metrics.leaseExpiry.reset();
    for (const { network } of leases)
      metrics.leaseExpiry.set({ network }, (this.#state.leases.get(network)?.expiresAt ?? 0) / 1000);
    const refusals = [...this.#refusedLeases, ...report.refusals];
    metrics.refused.set(refusals.length);
    this.#sayRefusals(refusals);
    let failures = report.failures;
    try {
      for (const path of files.publish(leases, networks))
        log.info({ path }, path === this.#options.conflist?.path ? "conflist written" : "subnet.env written");
    } catch (error) {
      failures = [...failures, `files: ${error instanceof Error ? error.message : String(error)}`];
    }
    if (failures.length > 0) metrics.failures.inc();
    return { ...report, failures };
  }

  /** What was reached stays said while a later pass fails, for peers count on it. */
  #noteProgress({ backendChanges, failures }: PassReport): void {
    const progress = new Map<string, BackendProgress>();
    for (const { network, generation, complete } of backendChanges) {
      const reached = { network, receives: generation, sends: complete ? generation : 0 };
      const known = failures.length === 0 ? reached : this.#progress.get(network);
      if (known !== undefined) progress.set(network, known);
    }
    this.#progress = progress;
  }

  #sayRefusals(refusals: readonly string[]): void {
    const text = refusals.join();
    if (text !== this.#saidRefusals && refusals.length > 0)
      this.#ports.log.warn({ count: refusals.length, refusals: summary(refusals) }, "refused");
    this.#saidRefusals = text;
  }

  #releaseFenced(inUse: ReadonlySet<string>): void {
    for (const { network, state } of this.#state.leases.values()) {
      if (state !== "LEASE_STATE_FENCED" || inUse.has(network)) continue;
      this.#ports.log.info({ network }, "no pod uses the fenced subnet any more; asking for a new one");
      this.#keep(dropLease(this.#state, network));
      this.#renewal.note(network, undefined); // asked for again, should this be lost
      this.#renewal.now();
    }
  }
}
