import type { Store } from "../store/store.ts";
import { Admin } from "./admin.ts";
import { Allocator } from "./allocation.ts";
import type { Clock } from "./clock.ts";
import { Completer } from "./completion.ts";
import { Distributor, type Encode } from "./distribution.ts";
import { Health, type StoreReplacedError } from "./health.ts";
import type { Log } from "./log.ts";
import { Mirror } from "./mirror.ts";
import { Notifier } from "./notifier.ts";
import { SecretKeeper } from "./secrets.ts";
import { type NodeTransport, Session } from "./session.ts";
import { Sessions } from "./sessions.ts";
import { Sweeper } from "./sweep.ts";

/** Names of missing networks that are told; the rest may be a node's invention. */
const MOST_MISSING = 100;

export interface ControllerOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly encode: Encode;
  /** How long a lease lasts, in milliseconds. */
  readonly leaseTtl: number;
  /** A number in [0, 1). */
  readonly random: () => number;
  /** Between two secrets of WireGuard's preshared keys, in milliseconds. */
  readonly secretRotation: number;
  /** 32 random bytes. */
  readonly randomKey: () => Uint8Array;
  /** The controller cannot go on and must be started anew; what it told nodes stands. */
  readonly onFatal: (error: StoreReplacedError) => void;
}

/** One controller without its sockets: any number of them may serve the same store. */
export class Controller {
  readonly mirror: Mirror;
  readonly sessions = new Sessions<Session>();
  readonly distributor: Distributor;
  readonly allocator: Allocator;
  readonly admin: Admin;
  readonly notifier: Notifier;
  readonly sweeper: Sweeper;
  readonly completer: Completer;
  readonly health: Health;
  readonly secrets: SecretKeeper;
  readonly #options: ControllerOptions;
  readonly #streams = new Set<Session>();
  /** When nodes that are gone were last heard of, by id. */
  readonly #lastSeen = new Map<string, number>();
  /** Sessions by the store's key of each subnet that they were told to hold. */
  readonly #holders = new Map<string, Session>();
  /** Networks that do not exist and of which nodes hold subnets. */
  readonly #missing = new Set<string>();
  #seenRevision = 0;
  #seenSecrets = 0;

  constructor(options: ControllerOptions) {
    const { store, clock, log, leaseTtl, random, onFatal, secretRotation: rotation, randomKey } = options;
    // Of this controller only: a node that another replica serves counts as gone here. Its lease is safe all the same, since
    // nothing but time takes leases away; only a clash of addresses (F11) between nodes of two replicas goes unnoticed.
    const isLive = (nodeId: string) => this.sessions.get(nodeId) !== undefined;
    this.#options = options;
    this.mirror = new Mirror({ store, clock, log, onFatal });
    this.health = new Health({ store, mirror: this.mirror, clock, log, onFatal });
    this.distributor = new Distributor({ state: this.mirror.state, clock, encode: options.encode });
    this.allocator = new Allocator({ store, mirror: this.mirror, clock, leaseTtl, isLive, random });
    this.admin = new Admin({ store, mirror: this.mirror, clock, sessions: this.sessions });
    this.notifier = new Notifier(clock);
    this.sweeper = new Sweeper({ store, mirror: this.mirror, clock, log, leaseTtl, isLive });
    this.completer = new Completer({ store, mirror: this.mirror, clock, log });
    this.secrets = new SecretKeeper({ store, mirror: this.mirror, clock, log, rotation, randomKey });
    this.mirror.onChange(() => this.#stateChanged());
    this.mirror.onChange(() => this.completer.changed());
  }

  /** Resolves when the store was read. */
  async start(): Promise<void> {
    await this.mirror.start();
    this.sweeper.start();
    this.health.start();
    this.secrets.start();
  }

  /** A node opened a stream; hand the session its messages, and call `end` when the stream is gone. */
  connect(transport: NodeTransport): Session {
    const { mirror, allocator, distributor, sessions, secrets } = this;
    const { clock, log, leaseTtl } = this.#options;
    const session: Session = new Session(
      {
        send: (message, done) => transport.send(message, done),
        end: (error) => {
          this.#streams.delete(session);
          if (session.hasClaim) this.#lastSeen.set(session.claim.nodeId, session.report.lastSeen);
          transport.end(error);
        },
      },
      {
        mirror,
        allocator,
        distributor,
        sessions,
        clock,
        log,
        leaseTtl,
        secrets,
        holders: this.#holders,
        changed: (kind) => this.notifier.changed(kind),
        noteHeld: (network) => this.#noteHeld(network),
      },
    );
    this.#streams.add(session);
    return session;
  }

  /** When the node was last heard of by this controller; 0 never. */
  lastSeen(nodeId: string): number {
    return this.#lastSeen.get(nodeId) ?? 0;
  }

  /** Ends every session well and stops following the store, which stays open. */
  close(): void {
    this.sweeper.close();
    this.completer.close();
    this.health.close();
    this.secrets.close();
    this.distributor.close();
    this.mirror.close();
    for (const session of [...this.#streams]) session.end(undefined);
  }

  /** Tells the operator of a network that was lost with the store: it cannot come back by itself. */
  #noteHeld(network: string): void {
    if (this.mirror.state.networks.has(network) || this.#missing.has(network) || this.#missing.size >= MOST_MISSING)
      return;
    this.#missing.add(network);
    const advice = "if it was lost with the store, make it again with the same CIDRs: cnictl network create";
    this.#options.log.warn({ network }, `a node holds a subnet of it, but this network does not exist; ${advice}`);
  }

  #pairKeysChanged(): void {
    const { state } = this.mirror;
    const rekeyed = state.takeRekeyed();
    this.secrets.look();
    if (rekeyed.size === 0 && state.secretsRevision === this.#seenSecrets) return;
    this.#seenSecrets = state.secretsRevision;
    for (const session of this.#streams) session.rekeyed(rekeyed);
    this.distributor.changed();
  }

  #stateChanged(): void {
    const { changes, networks, nodes } = this.mirror.state;
    const news = changes.since(this.#seenRevision);
    this.#seenRevision = changes.newest;
    if (this.#lastSeen.size > 2 * nodes.size + 100) {
      for (const id of this.#lastSeen.keys()) if (!nodes.has(id)) this.#lastSeen.delete(id);
    }
    this.notifier.changed("nodes");
    this.#pairKeysChanged();
    if (news?.length === 0) return;
    this.distributor.changed();
    this.notifier.changed("subnets");
    if (news === undefined || news.some((change) => change.kind === "network")) this.notifier.changed("networks");
    if (news === undefined || news.some((change) => change.kind === "network" && networks.has(change.key))) {
      for (const session of this.sessions.values()) session.refresh();
      return;
    }
    for (const { kind, key } of news) {
      const holder = kind === "subnet" ? this.#holders.get(key) : undefined;
      if (holder !== undefined && !holder.isIntact()) holder.refresh();
    }
  }
}
