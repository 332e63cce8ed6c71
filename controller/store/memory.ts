import { Keyspace } from "./keyspace.ts";
import {
  type Listing,
  type Outcome,
  type Store,
  StoreUnavailableError,
  type Transaction,
  type Watch,
  type WatchHandler,
} from "./store.ts";

/** A store that lives as long as the process. Several controllers may share one; answers come in a later turn, as from a network. */
export class MemoryStore implements Store {
  readonly #keyspace: Keyspace;
  #away: string | undefined;

  constructor(options: { readonly historyLimit?: number } = {}) {
    this.#keyspace = new Keyspace([], 0, options.historyLimit);
  }

  async range(prefix: string): Promise<Listing> {
    await this.#answer();
    return this.#keyspace.list(prefix);
  }

  async transact(transaction: Transaction): Promise<Outcome> {
    await this.#answer();
    const batch = this.#keyspace.apply(transaction);
    if (batch === undefined) return { succeeded: false, revision: this.#keyspace.revision };
    this.#keyspace.publish(batch);
    return { succeeded: true, revision: batch.revision };
  }

  watch(prefix: string, fromRevision: number, handler: WatchHandler): Watch {
    return this.#keyspace.watch(prefix, fromRevision, handler);
  }

  /** Forgets history, as a store does after a while. */
  compact(revision: number): void {
    this.#keyspace.compact(revision);
  }

  /** Stops answering, as a store does that nobody reaches, until {@link comeBack}. */
  goAway(reason: string): void {
    this.#away = reason;
    this.#keyspace.loseWatchers(reason);
  }

  comeBack(): void {
    this.#away = undefined;
  }

  async close(): Promise<void> {
    this.goAway("the store is closed");
  }

  async #answer(): Promise<void> {
    await Promise.resolve();
    if (this.#away !== undefined) throw new StoreUnavailableError(this.#away);
  }
}
