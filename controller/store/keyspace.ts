import type { Condition, Entry, Listing, Operation, StoreEvent, Transaction, Watch, WatchHandler } from "./store.ts";

/** Revisions whose events are kept for watchers that begin in the past. */
const HISTORY_LIMIT = 20_000;

interface Batch {
  readonly revision: number;
  readonly events: readonly StoreEvent[];
}

interface Watcher {
  readonly prefix: string;
  readonly handler: WatchHandler;
}

/** The state machine of a store in memory: entries, revisions, recent history and watchers. Says nothing about durability. */
export class Keyspace {
  readonly #entries: Map<string, Entry>;
  readonly #watchers = new Set<Watcher>();
  readonly #historyLimit: number;
  #history: Batch[] = [];
  #compacted: number;
  #revision: number;

  constructor(entries: Iterable<Entry> = [], revision = 0, historyLimit = HISTORY_LIMIT) {
    this.#entries = new Map(Array.from(entries, (entry) => [entry.key, entry]));
    this.#revision = revision;
    this.#compacted = revision;
    this.#historyLimit = historyLimit;
  }

  get revision(): number {
    return this.#revision;
  }

  list(prefix: string): Listing {
    const entries: Entry[] = [];
    for (const entry of this.#entries.values()) if (entry.key.startsWith(prefix)) entries.push(entry);
    entries.sort((a, b) => (a.key < b.key ? -1 : 1));
    return { revision: this.#revision, entries };
  }

  /** Applies the transaction and returns its events, or undefined when a condition does not hold. Watchers hear of it by {@link publish}. */
  apply(transaction: Transaction): Batch | undefined {
    if (!transaction.when.every((condition) => this.#holds(condition))) return undefined;
    if (transaction.change.length === 0) return { revision: this.#revision, events: [] };
    refuseRepeatedKeys(transaction.change);
    const revision = this.#revision + 1;
    const events = transaction.change.flatMap((operation) => this.#perform(operation, revision));
    if (events.length === 0) return { revision: this.#revision, events };
    this.#revision = revision;
    return { revision, events };
  }

  /** Delivers a batch made by {@link apply}; batches must come in order. */
  publish(batch: Batch): void {
    if (batch.events.length === 0) return;
    this.#history.push(batch);
    if (this.#history.length > this.#historyLimit * 1.5) {
      this.compact(this.#history[this.#history.length - this.#historyLimit]?.revision ?? 0);
    }
    for (const watcher of this.#watchers) deliver(watcher, [batch]);
  }

  /** Forgets the events before that revision. */
  compact(revision: number): void {
    this.#history = this.#history.filter((batch) => batch.revision >= revision);
    this.#compacted = Math.max(this.#compacted, revision - 1);
  }

  watch(prefix: string, fromRevision: number, handler: WatchHandler): Watch {
    const watcher: Watcher = { prefix, handler };
    let open = true;
    queueMicrotask(() => {
      if (!open) return;
      if (fromRevision <= this.#compacted) {
        handler.onLost(`revision ${fromRevision} is compacted; the oldest kept is ${this.#compacted + 1}`);
        return;
      }
      this.#watchers.add(watcher);
      const missed = this.#history.filter((batch) => batch.revision >= fromRevision);
      deliver(watcher, missed);
    });
    return {
      close: () => {
        open = false;
        this.#watchers.delete(watcher);
      },
    };
  }

  /** Ends every watch with the reason. */
  loseWatchers(reason: string): void {
    const watchers = [...this.#watchers];
    this.#watchers.clear();
    for (const { handler } of watchers) handler.onLost(reason);
  }

  #holds(condition: Condition): boolean {
    const entry = this.#entries.get(condition.key);
    if ("modRevision" in condition) return (entry?.modRevision ?? 0) === condition.modRevision;
    return (entry?.createRevision ?? 0) === condition.createRevision;
  }

  #perform(operation: Operation, revision: number): StoreEvent[] {
    if ("delete" in operation) {
      if (!this.#entries.delete(operation.delete)) return [];
      return [{ type: "delete", key: operation.delete, modRevision: revision }];
    }
    const createRevision = this.#entries.get(operation.put)?.createRevision ?? revision;
    const entry: Entry = { key: operation.put, value: operation.value, createRevision, modRevision: revision };
    this.#entries.set(operation.put, entry);
    return [{ type: "put", ...entry }];
  }
}

function deliver({ prefix, handler }: Watcher, batches: readonly Batch[]): void {
  const events = batches.flatMap((batch) => batch.events.filter((event) => event.key.startsWith(prefix)));
  const last = events.at(-1);
  if (last !== undefined) handler.onEvents(events, last.modRevision);
}

/** etcd refuses such transactions too ("duplicate key given in txn request"). */
function refuseRepeatedKeys(operations: readonly Operation[]): void {
  const keys = new Set(operations.map((operation) => ("put" in operation ? operation.put : operation.delete)));
  if (keys.size !== operations.length) throw new RangeError("a transaction names one key in two operations");
}
