import type { Store } from "../store/store.ts";
import { Admin } from "./admin.ts";
import { Allocator } from "./allocation.ts";
import type { Clock } from "./clock.ts";
import { Distributor, type Encode } from "./distribution.ts";
import type { Log } from "./log.ts";
import { Mirror } from "./mirror.ts";
import { Notifier } from "./notifier.ts";
import { type NodeTransport, Session } from "./session.ts";
import { Sessions } from "./sessions.ts";
import { Sweeper } from "./sweep.ts";

export interface ControllerOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly encode: Encode;
  /** How long a lease lasts, in milliseconds. */
  readonly leaseTtl: number;
  /** A number in [0, 1). */
  readonly random: () => number;
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
  readonly #options: ControllerOptions;
  readonly #streams = new Set<Session>();
  /** When nodes that are gone were last heard of, by id. */
  readonly #lastSeen = new Map<string, number>();
  /** Sessions by the store's key of each subnet that they were told to hold. */
  readonly #holders = new Map<string, Session>();
  #seenRevision = 0;

  constructor(options: ControllerOptions) {
    const { store, clock, log, leaseTtl, random } = options;
    const isLive = (nodeId: string) => this.sessions.get(nodeId) !== undefined;
    this.#options = options;
    this.mirror = new Mirror({ store, clock, log });
    this.distributor = new Distributor({ state: this.mirror.state, clock, encode: options.encode });
    this.allocator = new Allocator({ store, mirror: this.mirror, clock, leaseTtl, isLive, random });
    this.admin = new Admin({ store, mirror: this.mirror, clock, sessions: this.sessions });
    this.notifier = new Notifier(clock);
    this.sweeper = new Sweeper({ store, mirror: this.mirror, clock, log, leaseTtl, isLive });
    this.mirror.onChange(() => this.#stateChanged());
  }

  /** Resolves when the store was read. */
  async start(): Promise<void> {
    await this.mirror.start();
    this.sweeper.start();
  }

  /** A node opened a stream; hand the session its messages, and call `end` when the stream is gone. */
  connect(transport: NodeTransport): Session {
    const { mirror, allocator, distributor, sessions } = this;
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
        holders: this.#holders,
        changed: (kind) => this.notifier.changed(kind),
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
    this.distributor.close();
    this.mirror.close();
    for (const session of [...this.#streams]) session.end(undefined);
  }

  #stateChanged(): void {
    const { changes, networks, nodes } = this.mirror.state;
    const news = changes.since(this.#seenRevision);
    this.#seenRevision = changes.newest;
    if (this.#lastSeen.size > 2 * nodes.size + 100) {
      for (const id of this.#lastSeen.keys()) if (!nodes.has(id)) this.#lastSeen.delete(id);
    }
    this.notifier.changed("nodes");
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
