import type { Ack__Output } from "../../proto/gen/podwire/v1/Ack.ts";
import type { NodeMessage__Output } from "../../proto/gen/podwire/v1/NodeMessage.ts";
import { StoreUnavailableError } from "../store/store.ts";
import type { Allocator } from "./allocation.ts";
import {
  type Condition,
  checkHeld,
  checkHello,
  checkStatus,
  type Pod,
  type Probe,
  type Progress,
} from "./announcement.ts";
import type { Clock, Timer } from "./clock.ts";
import type { Distributor, Stream, Transport } from "./distribution.ts";
import { RequestError } from "./error.ts";
import type { Claim, Held, Lease } from "./leases.ts";
import type { Log } from "./log.ts";
import type { Mirror } from "./mirror.ts";
import type { Kind } from "./notifier.ts";
import { PairKeyFeed, type Rekeyed } from "./pair-keys.ts";
import { subnetKey } from "./record.ts";
import type { SecretKeeper } from "./secrets.ts";
import type { Member, Sessions } from "./sessions.ts";
import { checkInteger, checkList, checkText } from "./validate.ts";

/** From the opening of a stream to its hello, and from there to its leases. */
const HELLO_MS = 10_000;
/** Between attempts to renew while the store is away. */
const RETRY_MS = 1_000;

export interface SessionOptions {
  readonly mirror: Mirror;
  readonly allocator: Allocator;
  readonly distributor: Distributor;
  readonly sessions: Sessions<Session>;
  readonly clock: Clock;
  readonly log: Log;
  /** How long a lease lasts, in milliseconds. */
  readonly leaseTtl: number;
  readonly changed: (kind: Kind) => void;
  /** A node said at hello that it holds a subnet of that network. */
  readonly noteHeld: (network: string) => void;
  /** By the store's key of a subnet: the session that was told to hold it. */
  readonly holders: Map<string, Session>;
  readonly secrets: Pick<SecretKeeper, "acknowledge">;
}

/** The gRPC stream of a node. */
export interface NodeTransport extends Transport {
  /** Ends the stream with that error; undefined ends it well. */
  end(error: RequestError | undefined): void;
}

/** What a node has told since hello. */
export interface Report {
  readonly appliedRevision: number;
  readonly appliedAt: number;
  readonly failures: readonly string[];
  readonly pods: readonly Pod[];
  readonly conditions: readonly Condition[];
  readonly probes: readonly Probe[];
  readonly lastSeen: number;
}

/** One node's stream, from its first message to its end. */
export class Session implements Member {
  readonly since: number;
  report: Report;
  readonly #options: SessionOptions;
  readonly #transport: NodeTransport;
  readonly #stream: Stream;
  readonly #held = new Map<string, readonly Held[]>();
  #pairKeys: PairKeyFeed | undefined;
  #claim: Claim | undefined;
  #progress: ReadonlyMap<string, Progress> = new Map();
  #deadline: Timer | undefined;
  #admitted = false;
  #claiming = false;
  /** What to send after the claim under way: leases that changed, or all of them. */
  #again: "changed" | "all" | undefined;
  #sent = new Map<string, string>();
  #closed = false;

  constructor(transport: NodeTransport, options: SessionOptions) {
    this.#options = options;
    this.#transport = transport;
    this.since = options.clock.now();
    const nothing = { failures: [], pods: [], conditions: [], probes: [] };
    this.report = { appliedRevision: 0, appliedAt: 0, ...nothing, lastSeen: this.since };
    this.#stream = options.distributor.open(transport);
    this.#expect("hello: did not come within 10 s of the stream's opening");
  }

  /** Of the hello. */
  get claim(): Claim {
    if (this.#claim === undefined) throw new Error("the session has no hello yet");
    return this.#claim;
  }

  get hasClaim(): boolean {
    return this.#claim !== undefined;
  }

  /** Takes one message of the node. Errors end the stream. */
  receive(message: NodeMessage__Output): void {
    if (this.#closed) return;
    this.report = { ...this.report, lastSeen: this.#options.clock.now() };
    try {
      this.#dispatch(message);
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Looks again at what the node holds; the node hears of it if that changed. */
  refresh(): void {
    if (this.#admitted) this.#plan("changed");
  }

  /** Nodes have other WireGuard keys, or acknowledged newer secrets; what that means here is sent with the next changes. */
  rekeyed(nodes: Rekeyed): void {
    this.#pairKeys?.note(nodes);
  }

  /** Whether the node holds its subnets still, by the newest state. */
  isIntact(): boolean {
    const { subnets } = this.#options.mirror.state;
    return [...this.#held.values()].flat().every(({ network, subnet, epoch }) => {
      const record = subnets.get(subnetKey(network, subnet));
      return record?.nodeId === this.#claim?.nodeId && record?.createRevision === epoch;
    });
  }

  /** The stream is gone, or must go. */
  end(error: RequestError | undefined): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#deadline?.cancel();
    this.#stream.close();
    this.#dropHolds();
    if (this.#admitted && this.#options.sessions.remove(this)) this.#options.changed("nodes");
    this.#transport.end(error);
  }

  #dispatch(message: NodeMessage__Output): void {
    if (message.hello) {
      if (this.#claim !== undefined) throw new RequestError("FAILED_PRECONDITION", "hello: came twice on one stream");
      this.#hello(checkHello(message.hello, this.#syncedState()));
    } else if (this.#claim === undefined) {
      throw new RequestError("FAILED_PRECONDITION", "hello: must come before any other message");
    } else if (message.renew) {
      this.#setHeld(checkHeld(message.renew.held));
      this.#plan("all");
    } else if (message.ack) {
      this.#acknowledge(message.ack);
    } else if (message.status) {
      const { progress, ...status } = checkStatus(message.status);
      this.report = { ...this.report, ...status };
      this.#note(progress);
      this.#options.changed("nodes");
      this.#options.changed("pods");
    }
    // Anything else is a kind that newer nodes know.
  }

  #hello(claim: Claim): void {
    this.#claim = claim;
    this.#options.sessions.admit(this);
    this.#admitted = true;
    this.#pairKeys = new PairKeyFeed(this.#options.mirror.state, claim.nodeId);
    this.#stream.pairKeys(this.#pairKeys);
    this.#setHeld(claim.held);
    for (const { network } of claim.held) this.#options.noteHeld(network);
    this.#expect("the store does not answer; the node is served again when it does", "UNAVAILABLE");
    this.#plan("all");
  }

  #acknowledge(ack: Ack__Output): void {
    const appliedRevision = checkInteger("ack.revision", ack.revision, 0, Number.MAX_SAFE_INTEGER);
    const failures = checkList("ack.failures", ack.failures, 64, (key, item) => checkText(key, item, 1024));
    const epoch = checkInteger("ack.secrets_epoch", ack.secretsEpoch, 0, Number.MAX_SAFE_INTEGER);
    this.#options.secrets.acknowledge(this.claim.nodeId, epoch);
    this.report = { ...this.report, appliedRevision, appliedAt: this.report.lastSeen, failures };
    this.#options.changed("nodes");
  }

  /** What a node tells of a change of backend goes to the store, for its peers and for all controllers. */
  #note(progress: ReadonlyMap<string, Progress>): void {
    const text = JSON.stringify([...progress]);
    if (text === JSON.stringify([...this.#progress])) return;
    this.#progress = progress;
    this.#plan("changed");
  }

  #setHeld(held: readonly Held[]): void {
    this.#held.clear();
    for (const one of held) this.#held.set(one.network, [...(this.#held.get(one.network) ?? []), one]);
  }

  #plan(send: "changed" | "all"): void {
    if (this.#claiming) {
      this.#again = this.#again === "all" ? "all" : send;
      return;
    }
    this.#claiming = true;
    void this.#settle(send);
  }

  async #settle(send: "changed" | "all"): Promise<void> {
    const { allocator, clock, log } = this.#options;
    try {
      const leases = await allocator.claim(
        { ...this.claim, held: [...this.#held.values()].flat(), progress: this.#progress },
        () => !this.#closed,
      );
      this.#claiming = false;
      if (this.#closed) return;
      const again = this.#again;
      this.#again = undefined;
      if (again === undefined) this.#answer(leases, send);
      else this.#plan(send === "all" ? "all" : again); // there are newer wishes: answer those
    } catch (error) {
      this.#claiming = false;
      if (this.#closed) return;
      if (!(error instanceof StoreUnavailableError)) {
        this.#fail(error);
        return;
      }
      log.debug({ err: error, node: this.claim.nodeId }, "cannot renew while the store is away; trying again");
      clock.after(RETRY_MS, () => this.#closed || this.#plan(send));
    }
  }

  #answer(leases: readonly Lease[], send: "changed" | "all"): void {
    this.#deadline?.cancel();
    const before = this.#sent;
    this.#sent = new Map();
    this.#dropHolds();
    this.#held.clear();
    for (const lease of leases) {
      const text = JSON.stringify([lease.state, lease.reason, lease.subnets]);
      this.#sent.set(lease.network, text);
      this.#held.set(
        lease.network,
        lease.subnets.map((subnet) => ({ network: lease.network, ...subnet })),
      );
      if (send === "all" || before.get(lease.network) !== text) this.#stream.lease(lease, this.#options.leaseTtl);
    }
    for (const { network, subnet } of [...this.#held.values()].flat()) {
      this.#options.holders.set(subnetKey(network, subnet), this);
    }
    this.#stream.start();
    this.#options.changed("nodes");
  }

  #dropHolds(): void {
    const { holders } = this.#options;
    for (const { network, subnet } of [...this.#held.values()].flat()) {
      const key = subnetKey(network, subnet);
      if (holders.get(key) === this) holders.delete(key);
    }
  }

  #syncedState() {
    const { mirror } = this.#options;
    if (mirror.synced) return mirror.state;
    throw new RequestError("UNAVAILABLE", "the controller cannot read its store now; try again later");
  }

  #expect(what: string, status: "DEADLINE_EXCEEDED" | "UNAVAILABLE" = "DEADLINE_EXCEEDED"): void {
    this.#deadline?.cancel();
    this.#deadline = this.#options.clock.after(HELLO_MS, () => this.end(new RequestError(status, what)));
  }

  #fail(error: unknown): void {
    if (error instanceof RequestError) {
      this.end(error);
      return;
    }
    this.#options.log.error({ err: error, node: this.#claim?.nodeId }, "a session failed");
    this.end(new RequestError("INTERNAL", "the controller failed; its log says why", { cause: error }));
  }
}
