import { type Store, type StoreEvent, StoreUnavailableError, type Watch } from "../store/store.ts";
import type { Clock, Timer } from "./clock.ts";
import { replaced, type StoreReplacedError } from "./health.ts";
import type { Log } from "./log.ts";
import { State } from "./state.ts";

/** Between attempts to list a store that is away. */
const RETRY_MS = 500;
/** Between lines of log that say that it is away still. */
const REMIND_MS = 30_000;
/** How long events of a revision may take before it is taken for one of somebody else's. */
const BARRIER_MS = 250;
/** Written for its revision alone. */
const BARRIER_KEY = "meta/barrier";

interface Waiter {
  readonly revision: number;
  readonly resolve: () => void;
}

/** Keeps a {@link State} equal to the store, by one listing and then its events. */
export class Mirror {
  readonly state: State;
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #onFatal: (error: StoreReplacedError) => void;
  readonly #listeners = new Set<() => void>();
  #waiters: Waiter[] = [];
  #watch: Watch | undefined;
  #barrier: Timer | undefined;
  #closed = false;
  #synced = false;

  constructor(options: {
    readonly store: Store;
    readonly clock: Clock;
    readonly log: Log;
    readonly onFatal: (error: StoreReplacedError) => void;
  }) {
    this.#onFatal = options.onFatal;
    this.#store = options.store;
    this.#clock = options.clock;
    this.#log = options.log;
    this.state = new State(options.log);
  }

  /** Whether the content was listed and is being followed. */
  get synced(): boolean {
    return this.#synced;
  }

  /** Calls after each batch of events. */
  onChange(listener: () => void): void {
    this.#listeners.add(listener);
  }

  /** Resolves when the store was listed once, however long that takes. */
  async start(): Promise<void> {
    let silentUntil = 0;
    while (!this.#closed) {
      try {
        const { entries, revision } = await this.#store.range("");
        if (this.#closed) return;
        // What is missing now was not deleted: nodes must not be told so.
        if (revision < this.state.revision) return this.#onFatal(replaced(this.state.revision, revision));
        this.#apply(this.state.difference(entries, revision), revision, "listing");
        this.#synced = true;
        this.#follow(revision + 1);
        return;
      } catch (error) {
        if (this.#clock.now() >= silentUntil) {
          this.#log.warn({ err: error }, "cannot list the store; trying again");
          silentUntil = this.#clock.now() + REMIND_MS;
        }
        await new Promise<void>((resolve) => void this.#clock.after(RETRY_MS, resolve));
      }
    }
  }

  /** Resolves when the state has every event up to that revision. */
  reached(revision: number): Promise<void> {
    if (this.state.revision >= revision) return Promise.resolve();
    this.#barrier ??= this.#clock.after(BARRIER_MS, () => void this.#passBarrier());
    return new Promise((resolve) => void this.#waiters.push({ revision, resolve }));
  }

  close(): void {
    this.#closed = true;
    this.#barrier?.cancel();
    this.#watch?.close();
  }

  /**
   * The revision waited for may be of a key that is not ours (etcd has other users), so that no event of ours ever brings
   * it. A write of our own comes after it.
   */
  async #passBarrier(): Promise<void> {
    this.#barrier = undefined;
    if (this.#closed || this.#waiters.length === 0) return;
    this.#barrier = this.#clock.after(4 * BARRIER_MS, () => void this.#passBarrier());
    try {
      await this.#store.transact({ when: [], change: [{ put: BARRIER_KEY, value: "" }] });
    } catch (error) {
      if (!(error instanceof StoreUnavailableError)) throw error; // otherwise the next attempt comes
    }
  }

  #follow(revision: number): void {
    this.#watch = this.#store.watch("", revision, {
      onEvents: (events, last) => this.#apply(events, last, "watch"),
      onLost: (reason) => {
        if (this.#closed) return;
        this.#synced = false;
        this.#log.warn({ reason }, "the watch on the store was lost; listing again");
        void this.start();
      },
    });
  }

  #apply(events: readonly StoreEvent[], revision: number, source: "listing" | "watch"): void {
    this.state.apply(events, revision, source);
    const reached = this.#waiters.filter((waiter) => waiter.revision <= revision);
    this.#waiters = this.#waiters.filter((waiter) => waiter.revision > revision);
    for (const listener of this.#listeners) listener();
    for (const { resolve } of reached) resolve();
  }
}
