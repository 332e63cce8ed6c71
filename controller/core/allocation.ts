import type { Store } from "../store/store.ts";
import type { Clock } from "./clock.ts";
import { RequestError } from "./error.ts";
import { type Claim, type Lease, planLeases } from "./leases.ts";
import type { Mirror } from "./mirror.ts";

/** Claims in work at once; the rest wait in line, and so see what the first ones took. */
const CONCURRENCY = 64;
/** Written transactions of one claim; more means that the plan does not agree with the store. */
const MOST_WRITES = 100;

export interface AllocatorOptions {
  readonly store: Store;
  readonly mirror: Mirror;
  readonly clock: Clock;
  /** How long a lease lasts, in milliseconds. */
  readonly leaseTtl: number;
  readonly isLive: (nodeId: string) => boolean;
  readonly random: () => number;
}

/** Counts for metrics. */
export interface AllocatorCounts {
  claims: number;
  /** Transactions that lost a race and were tried again. */
  conflicts: number;
}

/** Carries out claims by compare-and-swap. A lost race is tried again with what the winner wrote in view; it is never an error. */
export class Allocator {
  readonly counts: AllocatorCounts = { claims: 0, conflicts: 0 };
  readonly #options: AllocatorOptions;
  readonly #line: (() => void)[] = [];
  #working = 0;

  constructor(options: AllocatorOptions) {
    this.#options = options;
  }

  /**
   * What the node holds now, written and durable. Nothing is written any more once `isWanted` says no: a node that has said
   * hello anew must not find its old addresses written over the new ones.
   * @throws StoreUnavailableError
   */
  async claim(claim: Claim, isWanted: () => boolean): Promise<readonly Lease[]> {
    await this.#turn();
    try {
      return await this.#settle(claim, isWanted);
    } finally {
      this.#working--;
      this.#line.shift()?.();
    }
  }

  async #settle(claim: Claim, isWanted: () => boolean): Promise<readonly Lease[]> {
    const { mirror, clock, leaseTtl: ttl, isLive, random } = this.#options;
    this.counts.claims++;
    let attempt = 0;
    for (let writes = 0; writes < MOST_WRITES; ) {
      const plan = planLeases(mirror.state, claim, { now: clock.now(), ttl, attempt, isLive, random });
      if (plan.draft.isEmpty) return plan.leases;
      try {
        if (!isWanted()) return plan.leases;
        const outcome = await this.#options.store.transact(plan.draft.transaction());
        await mirror.reached(outcome.revision);
        if (outcome.succeeded) writes++;
        else {
          attempt++;
          this.counts.conflicts++;
        }
      } finally {
        for (const { pool, subnet } of plan.offered) pool.unhold(subnet);
      }
    }
    throw new RequestError(
      "INTERNAL",
      `node "${claim.nodeId}": its leases did not settle after ${MOST_WRITES} writes; see the log for ignored records`,
    );
  }

  async #turn(): Promise<void> {
    while (this.#working >= CONCURRENCY) await new Promise<void>((resolve) => void this.#line.push(resolve));
    this.#working++;
  }
}
