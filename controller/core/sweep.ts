import { type Store, StoreUnavailableError } from "../store/store.ts";
import type { Clock, Timer } from "./clock.ts";
import { Draft } from "./draft.ts";
import type { Log } from "./log.ts";
import type { Mirror } from "./mirror.ts";
import { nodeKey } from "./record.ts";
import type { State } from "./state.ts";

export interface SweeperOptions {
  readonly store: Store;
  readonly mirror: Mirror;
  readonly clock: Clock;
  readonly log: Log;
  /** How long a lease lasts, in milliseconds. */
  readonly leaseTtl: number;
  readonly isLive: (nodeId: string) => boolean;
}

/**
 * What may be deleted at that time, one draft each: expired leases (with the record of a node that holds nothing else and
 * has no session), subnets of networks that are gone, old releases.
 */
export function planSweep(state: State, now: number, leaseTtl: number, isLive: (nodeId: string) => boolean): Draft[] {
  const drafts: Draft[] = [];
  const remove = (key: string, modRevision: number): Draft => {
    const draft = new Draft();
    draft.delete(key, modRevision);
    drafts.push(draft);
    return draft;
  };
  for (const subnet of state.subnets.values()) {
    if (subnet.reserved || subnet.expiresAt === 0 || subnet.expiresAt > now) continue;
    const draft = remove(subnet.key, subnet.modRevision);
    const node = state.nodes.get(subnet.nodeId);
    if (node === undefined || isLive(node.id)) continue;
    const others = [...state.subnetsOfNode(node.id)].filter((other) => other.key !== subnet.key);
    if (others.length === 0) draft.delete(nodeKey(node.id), node.modRevision);
  }
  for (const [key, modRevision] of state.orphans) remove(key, modRevision);
  for (const release of state.releases.values()) {
    if (release.releasedAt + leaseTtl <= now) remove(release.key, release.modRevision);
  }
  return drafts;
}

/**
 * Reclaims what has expired, by the clock. After the store was away (at start, too) nothing is reclaimed for a while, so that
 * nodes which could not renew get the chance first: an outage longer than a lease must not take every node's subnet.
 */
export class Sweeper {
  readonly #options: SweeperOptions;
  #timer: Timer | undefined;
  #graceUntil = 0;
  #closed = false;

  constructor(options: SweeperOptions) {
    this.#options = options;
  }

  /** Between sweeps, in milliseconds: a tenth of a lease, 1 s to 60 s. */
  get interval(): number {
    return Math.min(60_000, Math.max(1_000, this.#options.leaseTtl / 10));
  }

  start(): void {
    this.#delayReclaim();
    this.#schedule();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  /** Sweeps once, now; answers how many leases and leftovers went. */
  async sweep(): Promise<number> {
    const { store, mirror, clock, leaseTtl, isLive, log } = this.#options;
    if (!mirror.synced) {
      this.#delayReclaim();
      return 0;
    }
    if (clock.now() < this.#graceUntil) return 0;
    let swept = 0;
    for (const draft of planSweep(mirror.state, clock.now(), leaseTtl, isLive)) {
      const { succeeded } = await store.transact(draft.transaction());
      if (succeeded) swept++; // otherwise it was renewed, or another controller swept it
    }
    if (swept > 0) log.info({ swept }, "reclaimed expired leases and leftovers");
    return swept;
  }

  #delayReclaim(): void {
    this.#graceUntil = this.#options.clock.now() + Math.min(300_000, this.#options.leaseTtl / 2);
  }

  #schedule(): void {
    if (this.#closed) return;
    this.#timer = this.#options.clock.after(this.interval, () => void this.#run());
  }

  async #run(): Promise<void> {
    try {
      await this.sweep();
    } catch (error) {
      if (error instanceof StoreUnavailableError) this.#delayReclaim();
      this.#options.log.warn({ err: error }, "cannot reclaim expired leases; trying again later");
    }
    this.#schedule();
  }
}
