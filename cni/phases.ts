/**
 * Where a call's time goes: `enter("ipam")` says that from now on it counts as that phase. Names are few and fixed, because
 * they become labels of a metric.
 */
export interface Phases {
  enter(phase: Phase): void;
}

/**
 * `queue`: waiting for its turn; `decode`: reading and checking what was asked; `netns`: opening namespace and sockets;
 * `ipam`: addresses; `link`: making or removing links; `pod`: the pod's end; `rules`: nftables; `ready`: until the first
 * packet would be answered; `answer`: the result.
 */
export const PHASES = ["queue", "decode", "netns", "ipam", "link", "pod", "rules", "ready", "answer"] as const;
export type Phase = (typeof PHASES)[number];

/** For callers that do not want to know. */
export const UNTIMED: Phases = { enter() {} };

/** Sums up the milliseconds of each phase, in the order in which they were first entered. */
export class PhaseTimer implements Phases {
  readonly #now: () => number;
  readonly #sums = new Map<Phase, number>();
  #current: Phase;
  #since: number;

  /** @param now milliseconds of a clock that never goes back */
  constructor(first: Phase, now: () => number) {
    this.#now = now;
    this.#current = first;
    this.#since = now();
  }

  enter(phase: Phase): void {
    const now = this.#now();
    this.#sums.set(this.#current, (this.#sums.get(this.#current) ?? 0) + now - this.#since);
    this.#current = phase;
    this.#since = now;
  }

  /** The phases so far, the current one up to now. */
  read(): Readonly<Partial<Record<Phase, number>>> {
    this.enter(this.#current);
    return Object.fromEntries(this.#sums);
  }
}
