import type { Store, StoreEvent, Watch } from "../store/store.ts";
import type { Clock } from "./clock.ts";
import type { Log } from "./log.ts";
import { State } from "./state.ts";

/** Between attempts to list a store that is away. */
const RETRY_MS = 500;

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
  readonly #listeners = new Set<() => void>();
  #waiters: Waiter[] = [];
  #watch: Watch | undefined;
  #closed = false;
  #synced = false;

  constructor(options: { readonly store: Store; readonly clock: Clock; readonly log: Log }) {
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
    while (!this.#closed) {
      try {
        const { entries, revision } = await this.#store.range("");
        if (this.#closed) return;
        this.#apply(this.state.difference(entries, revision), revision, "listing");
        this.#synced = true;
        this.#follow(revision + 1);
        return;
      } catch (error) {
        this.#log.warn({ err: error }, "cannot list the store; trying again");
        await new Promise<void>((resolve) => void this.#clock.after(RETRY_MS, resolve));
      }
    }
  }

  /** Resolves when the state has every event up to that revision. */
  reached(revision: number): Promise<void> {
    if (this.state.revision >= revision) return Promise.resolve();
    return new Promise((resolve) => void this.#waiters.push({ revision, resolve }));
  }

  close(): void {
    this.#closed = true;
    this.#watch?.close();
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
