import type { Store } from "../store/store.ts";
import type { Clock, Timer } from "./clock.ts";
import type { Log } from "./log.ts";
import type { Mirror } from "./mirror.ts";

/** Between two looks at the store. */
const INTERVAL_MS = 15_000;

/** The store went back in time: it was emptied, or set back to a backup, under a running controller. */
export class StoreReplacedError extends Error {
  readonly code = "STORE_REPLACED";
}

export interface HealthOptions {
  readonly store: Store;
  readonly mirror: Mirror;
  readonly clock: Clock;
  readonly log: Log;
  readonly onFatal: (error: StoreReplacedError) => void;
}

/**
 * Asks the store for its revision now and then: a watch that reconnects by itself does not say that nobody answers, nor that
 * another store answers now. One line of log when it goes away and one when it is back, however many sessions wait for it.
 */
export class Health {
  readonly #options: HealthOptions;
  #awaySince: number | undefined;
  #timer: Timer | undefined;
  #closed = false;

  constructor(options: HealthOptions) {
    this.#options = options;
  }

  /** Why nodes cannot be served now; none: they can. */
  reasons(): string[] {
    if (!this.#options.mirror.synced) return ["the store was not read yet, or its watch was lost"];
    if (this.#awaySince === undefined) return [];
    return [`the store has not answered since ${new Date(this.#awaySince).toISOString()}`];
  }

  start(): void {
    if (!this.#closed) this.#timer = this.#options.clock.after(INTERVAL_MS, () => void this.#look());
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  async #look(): Promise<void> {
    const { store, mirror, clock, log, onFatal } = this.#options;
    const known = mirror.state.revision;
    try {
      const { revision } = await store.range("meta/");
      if (this.#closed) return;
      if (revision < known) return onFatal(replaced(known, revision));
      if (this.#awaySince !== undefined) log.info({ awayMs: clock.now() - this.#awaySince }, "the store answers again");
      this.#awaySince = undefined;
    } catch (err) {
      if (this.#closed) return;
      if (this.#awaySince === undefined)
        log.warn({ err }, "the store does not answer; sessions wait for it, and no lease can be given or renewed");
      this.#awaySince ??= clock.now();
    }
    this.start();
  }
}

export function replaced(known: number, found: number): StoreReplacedError {
  return new StoreReplacedError(
    `the store went back from revision ${known} to ${found}: it was emptied or restored from a backup; ` +
      "this controller must start again, and nodes then get back the subnets that they hold",
  );
}
