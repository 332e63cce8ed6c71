/** Until a node that got no subnet, or no answer, asks again. */
const RETRY_SECONDS = 30;
/** However short a lease is said to be. */
const SHORTEST_SECONDS = 1;
/** setTimeout's, in milliseconds. */
const LONGEST_TIMER = 2 ** 31 - 1;

export interface RenewalOptions {
  /** Asks the controller to prolong the leases; it answers with one lease for each network. */
  readonly renew: () => void;
  /** 0 ≤ x < 1, so that nodes that started together do not renew together. */
  readonly random: () => number;
}

/** Asks in time for longer leases: at a third of the shortest one's time, and again until the answer comes. */
export class Renewal {
  readonly #options: RenewalOptions;
  /** By network; milliseconds of performance.now(), which no change of the clock moves. */
  readonly #due = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: RenewalOptions) {
    this.#options = options;
  }

  /** A lease came in. @param ttlSeconds 0: it never ends; undefined: there is none, ask again soon */
  note(network: string, ttlSeconds: number | undefined): void {
    if (ttlSeconds === 0) this.#due.delete(network);
    else this.#due.set(network, performance.now() + this.#wait(ttlSeconds));
    this.#arm();
  }

  /** The network is none of ours any more. */
  forget(network: string): void {
    this.#due.delete(network);
    this.#arm();
  }

  /** Asks at once. */
  now(): void {
    // Each answer notes a later time; without one, this is when to ask again.
    for (const network of this.#due.keys()) this.#due.set(network, performance.now() + this.#wait(undefined));
    this.#arm();
    this.#options.renew();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #wait(ttlSeconds: number | undefined): number {
    const seconds = ttlSeconds === undefined ? RETRY_SECONDS : Math.max(SHORTEST_SECONDS, ttlSeconds / 3);
    return seconds * 1000 * (0.9 + this.#options.random() / 10);
  }

  #arm(): void {
    clearTimeout(this.#timer);
    if (this.#due.size === 0) return;
    const wait = Math.min(...this.#due.values()) - performance.now();
    this.#timer = setTimeout(() => this.now(), Math.min(Math.max(0, wait), LONGEST_TIMER));
  }
}
