import type { Clock } from "./clock.ts";

export const KINDS = ["nodes", "networks", "subnets", "pods"] as const;
export type Kind = (typeof KINDS)[number];

/** Between two notices to one watcher at least this long. */
const INTERVAL_MS = 200;

interface Watcher {
  readonly kinds: ReadonlySet<Kind>;
  readonly pending: Set<Kind>;
  readonly notify: (kinds: readonly Kind[]) => void;
  waiting: boolean;
}

/** Tells watchers which kinds of objects changed, never more often than they can use. */
export class Notifier {
  readonly #clock: Clock;
  readonly #watchers = new Set<Watcher>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Notifies of all kinds at once, then of changes. Returns what ends it. */
  watch(kinds: readonly Kind[], notify: (kinds: readonly Kind[]) => void): () => void {
    const watcher: Watcher = { kinds: new Set(kinds), pending: new Set(), notify, waiting: false };
    this.#watchers.add(watcher);
    notify(kinds);
    this.#rest(watcher);
    return () => void this.#watchers.delete(watcher);
  }

  changed(kind: Kind): void {
    for (const watcher of this.#watchers) {
      if (!watcher.kinds.has(kind)) continue;
      watcher.pending.add(kind);
      if (!watcher.waiting) this.#flush(watcher);
    }
  }

  #flush(watcher: Watcher): void {
    const kinds = [...watcher.pending];
    watcher.pending.clear();
    watcher.notify(kinds);
    this.#rest(watcher);
  }

  #rest(watcher: Watcher): void {
    watcher.waiting = true;
    this.#clock.after(INTERVAL_MS, () => {
      watcher.waiting = false;
      if (watcher.pending.size > 0 && this.#watchers.has(watcher)) this.#flush(watcher);
    });
  }
}
