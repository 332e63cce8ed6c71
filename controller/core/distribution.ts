import type { ControllerMessage } from "../../proto/gen/podwire/v1/ControllerMessage.ts";
import type { Clock, Timer } from "./clock.ts";
import type { Lease } from "./leases.ts";
import { leaseMessage, networkMessage, subnetMessage } from "./message.ts";
import type { PairKeyFeed } from "./pair-keys.ts";
import { KEYS, parseSubnetPath } from "./record.ts";
import { isRouted, type State } from "./state.ts";

/** Between two fan-outs at least this long, so that a burst of changes becomes one message. */
const COALESCE_MS = 10;
/** Snapshots on their way at once; they are large, and the transport copies them. */
const SNAPSHOTS_AT_ONCE = 64;
/** A reader slower than this no longer holds up the snapshots of others. */
const SNAPSHOT_PATIENCE_MS = 5_000;

/** One node's way out. */
export interface Transport {
  /** Sends one message; calls back when the next may follow, which a slow reader delays, or when the stream is gone. */
  send(message: Buffer, done: () => void): void;
}

export type Encode = (message: ControllerMessage) => Buffer;

export interface DistributorOptions {
  readonly state: State;
  readonly clock: Clock;
  readonly encode: Encode;
}

export interface DistributorCounts {
  snapshots: number;
  deltas: number;
  /** Messages encoded; fewer than sent, since many nodes get the same bytes. */
  encoded: number;
  bytes: number;
}

/**
 * Sends each node everything once and then what changed. A stream has at most one message under way; what happens
 * meanwhile is not queued but looked up when its turn comes, so that a slow reader gets newer state later.
 */
export class Distributor {
  readonly counts: DistributorCounts = { snapshots: 0, deltas: 0, encoded: 0, bytes: 0 };
  readonly #options: DistributorOptions;
  readonly #streams = new Set<Stream>();
  readonly #snapshotLine = new Set<Stream>();
  #snapshotsUnderWay = 0;
  #timer: Timer | undefined;
  #quietUntil = 0;
  #encoded: { revision: number; snapshot?: Buffer; deltas: Map<number, Buffer | undefined> } = {
    revision: -1,
    deltas: new Map(),
  };

  constructor(options: DistributorOptions) {
    this.#options = options;
  }

  /** The revision that nodes have when they have everything. */
  get revision(): number {
    return this.#options.state.changes.newest;
  }

  /** Begins to send: the leases first, then a snapshot. */
  open(transport: Transport): Stream {
    const stream = new Stream(transport, this);
    this.#streams.add(stream);
    return stream;
  }

  remove(stream: Stream): void {
    this.#streams.delete(stream);
  }

  /** To be called when the state changed. */
  changed(): void {
    if (this.#timer !== undefined) return;
    const { clock } = this.#options;
    const wait = Math.max(0, this.#quietUntil - clock.now());
    this.#timer = clock.after(wait, () => this.#fanOut());
  }

  close(): void {
    this.#timer?.cancel();
  }

  /** The message that brings a stream from that revision to the newest; undefined when it has it. @internal for Stream */
  next(from: number | undefined): Buffer | undefined {
    if (from !== undefined && from >= this.revision) return undefined;
    if (this.#encoded.revision !== this.revision) this.#encoded = { revision: this.revision, deltas: new Map() };
    const delta = from === undefined ? undefined : this.#delta(from);
    if (delta !== undefined) {
      this.counts.deltas++;
      this.counts.bytes += delta.length;
      return delta;
    }
    this.#encoded.snapshot ??= this.encode({ snapshot: this.#snapshot() });
    this.counts.snapshots++;
    this.counts.bytes += this.#encoded.snapshot.length;
    return this.#encoded.snapshot;
  }

  encode(message: ControllerMessage): Buffer {
    this.counts.encoded++;
    return this.#options.encode(message);
  }

  /** Whether the stream may send a snapshot now; otherwise it is pumped when its turn comes. @internal for Stream */
  takeSnapshotTurn(stream: Stream): (() => void) | undefined {
    if (this.#snapshotsUnderWay >= SNAPSHOTS_AT_ONCE) {
      this.#snapshotLine.add(stream);
      return undefined;
    }
    this.#snapshotsUnderWay++;
    let held = true;
    const release = () => {
      if (!held) return;
      held = false;
      timer.cancel();
      this.#snapshotsUnderWay--;
      for (const waiting of this.#snapshotLine) {
        if (this.#snapshotsUnderWay >= SNAPSHOTS_AT_ONCE) break;
        this.#snapshotLine.delete(waiting);
        waiting.pump(); // does nothing when it was closed meanwhile
      }
    };
    const timer = this.#options.clock.after(SNAPSHOT_PATIENCE_MS, release);
    return release;
  }

  #fanOut(): void {
    const { clock } = this.#options;
    const started = clock.now();
    this.#timer = undefined;
    for (const stream of this.#streams) stream.pump();
    // Under load, half the time is left for other work.
    this.#quietUntil = clock.now() + Math.max(COALESCE_MS, clock.now() - started);
  }

  #delta(from: number): Buffer | undefined {
    const { deltas } = this.#encoded;
    if (!deltas.has(from)) deltas.set(from, this.#encodeDelta(from));
    return deltas.get(from);
  }

  #encodeDelta(from: number): Buffer | undefined {
    const { state } = this.#options;
    const changes = state.changes.since(from);
    if (changes === undefined) return undefined;
    const networks = changes.filter((change) => change.kind === "network").map((change) => change.key);
    const subnets = changes.filter((change) => change.kind === "subnet").map((change) => change.key);
    const known = subnets.map((key) => [key, state.subnets.get(key)] as const);
    return this.encode({
      delta: {
        revision: this.revision,
        networks: networks.flatMap((name) => state.networks.get(name) ?? []).map(networkMessage),
        deletedNetworks: networks.filter((name) => !state.networks.has(name)),
        subnets: known.flatMap(([, subnet]) =>
          subnet !== undefined && isRouted(subnet) ? [subnetMessage(subnet)] : [],
        ),
        deletedSubnets: known.flatMap(([key, subnet]) =>
          subnet !== undefined && isRouted(subnet) ? [] : [parseSubnetPath(key.slice(KEYS.subnets.length))],
        ),
      },
    });
  }

  #snapshot(): NonNullable<ControllerMessage["snapshot"]> {
    const { state } = this.#options;
    return {
      revision: this.revision,
      networks: Array.from(state.networks.values(), networkMessage),
      subnets: [...state.subnets.values()].filter(isRouted).map(subnetMessage),
    };
  }
}

/** What one node was sent. */
export class Stream {
  readonly #transport: Transport;
  readonly #distributor: Distributor;
  readonly #leases = new Map<string, Lease & { ttl: number }>();
  #pairKeys: PairKeyFeed | undefined;
  #revision: number | undefined;
  #ready = false;
  #busy = false;
  #closed = false;

  constructor(transport: Transport, distributor: Distributor) {
    this.#transport = transport;
    this.#distributor = distributor;
  }

  /** Sends a lease before anything else; one that still waits is replaced. `ttl` in milliseconds. */
  lease(lease: Lease, ttl: number): void {
    this.#leases.set(lease.network, { ...lease, ttl });
  }

  /** Has preshared keys sent before the state that needs them. */
  pairKeys(feed: PairKeyFeed): void {
    this.#pairKeys = feed;
  }

  /** From now on, state may follow the leases. */
  start(): void {
    this.#ready = true;
    this.pump();
  }

  /** Sends the next message unless one is under way. */
  pump(): void {
    if (this.#closed || this.#busy || !this.#ready) return;
    const [lease] = this.#leases.values();
    if (lease !== undefined) {
      this.#leases.delete(lease.network);
      this.#send(this.#distributor.encode({ lease: leaseMessage(lease, lease.ttl) }));
      return;
    }
    const isLarge = this.#revision === undefined || this.#pairKeys?.isFirst === true;
    const release = isLarge ? this.#distributor.takeSnapshotTurn(this) : () => {};
    if (release === undefined) return;
    const secrets = this.#pairKeys?.next();
    if (secrets !== undefined) {
      this.#send(this.#distributor.encode({ secrets }), release);
      return;
    }
    const next = this.#distributor.next(this.#revision);
    if (next === undefined) {
      release();
      return;
    }
    this.#revision = this.#distributor.revision;
    this.#send(next, release);
  }

  close(): void {
    this.#closed = true;
    this.#distributor.remove(this);
  }

  #send(message: Buffer, sent: () => void = () => {}): void {
    this.#busy = true;
    this.#transport.send(message, () => {
      this.#busy = false;
      sent();
      this.pump();
    });
  }
}
