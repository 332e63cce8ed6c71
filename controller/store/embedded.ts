import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { open, type RootDatabase } from "lmdb";
import { Keyspace } from "./keyspace.ts";
import { acquireLock, type Lock, type Register } from "./lock.ts";
import {
  type Entry,
  type Listing,
  type Outcome,
  type Store,
  type StoreEvent,
  StoreUnavailableError,
  type Transaction,
  type Watch,
  type WatchHandler,
} from "./store.ts";

/** Revision counter; no path of ours begins with NUL. */
const REVISION_KEY = "\0revision";
/** The socket's name of the process that has the store open. */
const HOLDER_KEY = "\0holder";

interface StoredValue {
  readonly value: string;
  readonly createRevision: number;
  readonly modRevision: number;
}

type Database = RootDatabase<StoredValue | number | string, string>;

interface Pending {
  readonly revision: number;
  readonly events: readonly StoreEvent[];
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (error: Error) => void;
}

/**
 * The store of one controller on one machine: an lmdb file `DIR/store.mdb`, read into memory at start. Transactions are
 * decided in memory and answered after the commit that holds them is synced to disk; those that wait share one commit.
 */
export class EmbeddedStore implements Store {
  readonly #keyspace: Keyspace;
  readonly #database: Database;
  readonly #lock: Lock;
  #queue: Pending[] = [];
  #writing: Promise<void> | undefined;
  #failure: Error | undefined;

  private constructor(database: Database, lock: Lock) {
    this.#database = database;
    this.#lock = lock;
    const entries: Entry[] = [];
    for (const { key, value } of database.getRange()) {
      if (typeof value === "object") entries.push({ key, ...value });
    }
    const revision = database.get(REVISION_KEY);
    this.#keyspace = new Keyspace(entries, typeof revision === "number" ? revision : 0);
  }

  /**
   * Opens the store in that folder, making both when missing (0700).
   * @throws LockedError when another process has it open
   */
  static async open(directory: string): Promise<EmbeddedStore> {
    const database = openDatabase(directory);
    try {
      return new EmbeddedStore(database, await acquireLock(directory, holderIn(database)));
    } catch (error) {
      await database.close();
      throw error;
    }
  }

  async range(prefix: string): Promise<Listing> {
    const listing = this.#keyspace.list(prefix);
    await this.transact({ when: [], change: [] }); // never show what a crash could take back
    return listing;
  }

  transact(transaction: Transaction): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      this.#refuseAfterFailure();
      const batch = this.#keyspace.apply(transaction);
      const events = batch?.events ?? [];
      const settle = batch === undefined ? failed(resolve) : resolve;
      this.#queue.push({ revision: this.#keyspace.revision, events, resolve: settle, reject });
      this.#writing ??= this.#drain();
    });
  }

  watch(prefix: string, fromRevision: number, handler: WatchHandler): Watch {
    return this.#keyspace.watch(prefix, fromRevision, handler);
  }

  async close(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
    this.#failure ??= new Error("the store is closed");
    this.#keyspace.loseWatchers("the store is closed");
    await this.#database.close();
    await this.#lock.release();
  }

  async #drain(): Promise<void> {
    await Promise.resolve(); // those of this turn join the first commit
    while (this.#queue.length > 0 && this.#failure === undefined) {
      const group = this.#queue;
      this.#queue = [];
      try {
        await this.#commit(group);
        for (const { revision, events, resolve } of group) {
          this.#keyspace.publish({ revision, events });
          resolve({ succeeded: true, revision });
        }
      } catch (error) {
        // Memory is ahead of the disk now: nothing more can be decided.
        this.#failure = new Error("the embedded store could not write; free disk space and restart", { cause: error });
        for (const { reject } of group) reject(this.#unavailable());
        this.#keyspace.loseWatchers(this.#failure.message);
      }
    }
    for (const { reject } of this.#queue.splice(0)) reject(this.#unavailable());
    this.#writing = undefined;
  }

  async #commit(group: readonly Pending[]): Promise<void> {
    const events = group.flatMap((pending) => pending.events);
    const last = events.at(-1);
    if (last === undefined) return;
    await this.#database.transaction(() => {
      for (const event of events) {
        if (event.type === "delete") this.#database.remove(event.key);
        else this.#database.put(event.key, storedValue(event));
      }
      this.#database.put(REVISION_KEY, last.modRevision);
    });
  }

  #refuseAfterFailure(): void {
    if (this.#failure !== undefined) throw this.#unavailable();
  }

  #unavailable(): StoreUnavailableError {
    return new StoreUnavailableError(this.#failure?.message ?? "the store is closed", { cause: this.#failure });
  }
}

function openDatabase(directory: string): Database {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    // overlappingSync off: a commit is on disk when its promise resolves.
    return open({ path: join(directory, "store.mdb"), noSubdir: true, overlappingSync: false, encoding: "json" });
  } catch (cause) {
    throw new Error(`cannot open the store in ${directory}; give another --data-dir, or restore it`, { cause });
  }
}

/** lmdb lets one process at a time into a write transaction. */
function holderIn(database: Database): Register {
  return {
    exchange: (expected, next) =>
      database.transactionSync(() => {
        const holder = database.get(HOLDER_KEY);
        const name = typeof holder === "string" ? holder : undefined;
        if (name === expected) database.putSync(HOLDER_KEY, next);
        return name;
      }),
  };
}

function failed(resolve: (outcome: Outcome) => void): (outcome: Outcome) => void {
  return ({ revision }) => resolve({ succeeded: false, revision });
}

function storedValue({ value, createRevision, modRevision }: Entry): StoredValue {
  return { value, createRevision, modRevision };
}
