import type { Logger } from "pino";
import type { RouteSocket } from "../../kernel/rtnetlink/socket.ts";
import type { Peer } from "../../overlay/network.ts";
import { ask } from "./ask.ts";
import { investigate, largestPassing, type Means, passes, ping } from "./examine.ts";
import { type Finding, Findings } from "./findings.ts";
import type { ProbeMetrics } from "./metrics.ts";
import { PROBE_PORT } from "./packet.ts";
import { finishChecksums, hasFinishedChecksums, wayTo } from "./remedy.ts";
import { Responder } from "./responder.ts";
import {
  choosePeers,
  ownEnds,
  type Programmed,
  peerEnds,
  type Target,
  targetKey,
  targetOf,
  underlayEnds,
  wanted,
} from "./targets.ts";
import { describeFault, judge } from "./verdict.ts";

/** Peers of each network and family that are asked each time. */
const PEERS_A_ROUND = 3;
/** All in all, those that failed before included. */
const MOST_TARGETS_A_ROUND = 32;
/** Failing pairs are asked again after that fraction of the period, until they are told of or pass. */
const CONFIRM_FRACTION = 0.2;

export interface ProberOptions {
  readonly rt: RouteSocket;
  readonly log: Logger;
  readonly metrics: ProbeMetrics;
  /** Milliseconds between two rounds, on average. */
  readonly periodMs: number;
  /** What is told has changed. */
  readonly onChange: () => void;
}

/**
 * Asks a few random peers through their tunnels whether a packet of the pods' full size arrives, and answers theirs. A
 * pair that fails is examined for why, and told of when that repeats. The cost does not depend on the number of nodes.
 */
export class Prober {
  readonly #options: ProberOptions;
  readonly #means: Means;
  readonly #findings = new Findings();
  readonly #remedied = new Map<string, Finding>();
  readonly #responder: Responder;
  #programmed: Programmed | undefined;
  #peerEnds: ReadonlySet<string> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  #told = "";
  /** One change at a time: each is judged by what passes after it. */
  #remedies: Promise<unknown> = Promise.resolve();
  /** Addresses on which questions cannot be heard; said once. */
  readonly #deaf = new Set<string>();

  constructor(options: ProberOptions) {
    this.#options = options;
    this.#means = { ask, ping, pathMtu: (address) => wayTo(options.rt, address)?.mtu };
    this.#responder = new Responder({
      isPeer: (address) => this.#isPeerEnd(address),
      onProblem: (address, err) => {
        if (this.#deaf.has(address)) return;
        this.#deaf.add(address);
        options.log.warn({ err, address, port: PROBE_PORT }, "peers' questions cannot be heard there");
      },
    });
  }

  /** A pass has brought the kernel to this. */
  update(programmed: Programmed): void {
    if (this.#programmed?.desired !== programmed.desired) {
      this.#programmed = programmed;
      this.#peerEnds = undefined; // made anew when somebody asks
    }
    this.#responder.listen(ownEnds(programmed.input));
    if (this.#timer === undefined && !this.#stopped) this.#schedule();
  }

  /** Failing pairs, and what was done about others. */
  findings(): Finding[] {
    return [...this.#findings.told(), ...this.#remedied.values()];
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#responder.listen([]);
  }

  #schedule(): void {
    const fraction = this.#findings.hasNews ? CONFIRM_FRACTION : 1;
    const pause = this.#options.periodMs * fraction * (0.5 + Math.random()); // nodes started together drift apart
    this.#timer = setTimeout(() => void this.#round(), pause);
  }

  async #round(): Promise<void> {
    try {
      await Promise.all(this.#targets().map((target) => this.#probe(target)));
    } catch (err) {
      this.#options.log.error({ err }, "probing the tunnels failed");
    }
    if (this.#stopped) return;
    this.#tell();
    this.#schedule();
  }

  #targets(): Target[] {
    const programmed = this.#programmed;
    if (programmed === undefined) return [];
    const { peers } = programmed.input;
    const suspected = new Set(this.#findings.keys());
    const known = suspected.size === 0 ? [] : peers.filter((peer) => suspected.has(targetKey(peer)));
    const current = new Set(known.map(targetKey));
    this.#findings.keep((key) => current.has(key));
    const chosen = new Map<string, Peer>();
    const fresh = choosePeers(peers, PEERS_A_ROUND, Math.random);
    for (const peer of [...choosePeers(known, PEERS_A_ROUND, Math.random), ...fresh]) chosen.set(targetKey(peer), peer);
    return [...chosen.values()].slice(0, MOST_TARGETS_A_ROUND).flatMap((peer) => targetOf(peer, programmed) ?? []);
  }

  async #probe(target: Target): Promise<void> {
    const { metrics } = this.#options;
    const { outcome } = await passes(target, this.#means);
    const programmed = this.#programmed;
    if (outcome === "answered" || outcome === "refused" || programmed === undefined || this.#stopped) {
      metrics.probes.inc({ result: outcome === "answered" ? "passed" : "not_probed" });
      this.#findings.passed(target);
      return;
    }
    const ends = underlayEnds(target, programmed.input);
    const evidence = await investigate(target, ends?.theirs, this.#means);
    const verdict = judge(evidence);
    if (verdict.kind !== "failed") {
      metrics.probes.inc({ result: verdict.kind === "passed" ? "passed" : "not_probed" });
      if (verdict.kind === "not-probed")
        this.#options.log.debug({ peer: target.nodeName, network: target.network, why: verdict.why }, "not probed");
      this.#findings.passed(target);
      return;
    }
    const { fault } = verdict;
    const { underlay, networks } = programmed.input;
    const way = wayTo(this.#options.rt, target.remote);
    const largest =
      fault === "mtu-black-hole"
        ? await largestPassing(target, this.#means, this.#findings.largest(target))
        : undefined;
    const remedy = fault === "checksum" ? await this.#remedyInTurn(target, underlay.device) : undefined;
    if (remedy === "helped") {
      metrics.probes.inc({ result: "passed" });
      this.#findings.passed(target);
      return;
    }
    metrics.probes.inc({ result: "failed" });
    const message = describeFault(fault, {
      mtu: target.mtu,
      largest,
      underlayDevice: underlay.device,
      ours: ends?.ours ?? "this node",
      theirs: ends?.theirs ?? target.nodeName,
      wanted: wanted(
        target,
        networks.find(({ name }) => name === target.network),
        way?.device === underlay.device,
      ),
      remedy,
      sendError: evidence.sendError,
    });
    this.#findings.failed(target, fault, { message, largest, now: Date.now() });
  }

  /** @returns "helped", or what was tried, in words */
  #remedyInTurn(target: Target, underlayDevice: string): Promise<string> {
    const result = this.#remedies.then(() => this.#remedy(target, underlayDevice));
    this.#remedies = result.catch(() => {});
    return result;
  }

  async #remedy(target: Target, underlayDevice: string): Promise<string> {
    const way = wayTo(this.#options.rt, target.remote);
    const helps = async () => (await passes(target, this.#means)).outcome === "answered";
    if (await helps()) return "helped"; // what was done for another peer
    const { helped, done } = await finishChecksums(way, underlayDevice, helps);
    if (!helped || way === undefined) return done;
    const { network, nodeId, nodeName, family } = target;
    const message = `packets with a UDP checksum vanished (checksum offload); ${done}`;
    this.#options.log.warn({ peer: nodeName, network, device: way.device }, message);
    this.#options.metrics.remedies.set({ device: way.device }, 1);
    this.#remedied.set(way.device, {
      network,
      nodeId,
      nodeName,
      family,
      verdict: "remedied",
      message,
      since: Date.now(),
    });
    return "helped";
  }

  /** What was done counts for as long as the device is the same and nobody switched it back. */
  #forgetRemedies(): void {
    for (const device of this.#remedied.keys()) {
      if (hasFinishedChecksums(this.#options.rt, device)) continue;
      this.#remedied.delete(device);
      this.#options.metrics.remedies.remove({ device });
    }
  }

  #tell(): void {
    this.#forgetRemedies();
    const told = this.#findings.told();
    const text = JSON.stringify(this.findings());
    if (text === (this.#told || "[]")) return;
    this.#told = text;
    this.#options.metrics.failing.reset();
    for (const { network, nodeName, family, verdict, message } of told) {
      this.#options.metrics.failing.set({ network, peer: nodeName, family: `ipv${family}`, verdict }, 1);
      this.#options.log.warn({ peer: nodeName, network, family, verdict }, message);
    }
    if (told.length === 0) this.#options.log.info("no probed tunnel fails now");
    this.#options.onChange();
  }

  #isPeerEnd(address: string): boolean {
    if (this.#programmed === undefined) return false;
    this.#peerEnds ??= peerEnds(this.#programmed.input);
    return this.#peerEnds.has(address);
  }
}
