import { CniError, messageOf } from "../cni/error.ts";
import { type DiskOptions, type DiskStore, underLock } from "./disk.ts";
import { FolderStore } from "./folder-store.ts";

/** Addresses that are kept in memory at most, of all networks together; one costs some sixty bytes. */
const MOST_ADDRESSES = 200_000;
const MOST_NETWORKS = 64;
/** A network without a call for that long is not kept. Milliseconds. */
const LONGEST_IDLE = 3_600_000;

/** A network's reservations in memory, and the time of the last call. */
interface Kept {
  readonly store: FolderStore;
  readonly usedAt: number;
}

/**
 * For a process that stays: the index of the networks in use is kept in memory, and is written to disk not at every call, but
 * by {@link flush}. Others may take turns on the folders: every call takes the lock, and memory counts only while the
 * folder's modification time is the one that we left. Killed at any point, we leave no snapshot that would vouch for an outdated
 * index, so the next user reads the folder once.
 */
export class ResidentReservations implements Disposable {
  readonly #warn: DiskOptions["warn"];
  /** By folder; the one used last comes last. */
  readonly #kept = new Map<string, Kept>();

  /** `warn` is told of what {@link flush} could not write. */
  constructor(warn: DiskOptions["warn"]) {
    this.#warn = warn;
  }

  /** See {@link Reservations}. */
  use<T>(options: DiskOptions, create: boolean, use: (store: DiskStore) => T): T | undefined {
    const result = underLock(options, create, (folder) => this.#useFolder(options, folder, use));
    this.#dropSurplus();
    return result;
  }

  /** How many networks are in memory. */
  get size(): number {
    return this.#kept.size;
  }

  /** Writes what is in memory alone, and forgets networks not used for long. Never throws: a folder read anew is all that is lost. */
  flush(): void {
    for (const [folder, { store, usedAt }] of [...this.#kept]) {
      const idle = store.options.now() - usedAt;
      if (!this.#save(folder, store) || idle > LONGEST_IDLE) this.#kept.delete(folder);
    }
  }

  [Symbol.dispose](): void {
    this.flush();
    this.#kept.clear();
  }

  #useFolder<T>(options: DiskOptions, folder: string, use: (store: DiskStore) => T): T {
    const known = this.#kept.get(folder)?.store;
    this.#kept.delete(folder); // until it is known to be right again
    const store = known?.isCurrent(options) ? known : new FolderStore(options, folder);
    store.resume(options);
    try {
      const result = use(store);
      this.#keep(folder, store);
      return result;
    } catch (error) {
      if (error instanceof CniError) this.#keep(folder, store); // a refusal; after any other error memory may be wrong
      throw error;
    }
  }

  #keep(folder: string, store: FolderStore): void {
    if (store.settle()) this.#kept.set(folder, { store, usedAt: store.options.now() });
  }

  #dropSurplus(): void {
    let addresses = 0;
    for (const { store } of this.#kept.values()) addresses += store.count;
    for (const [folder, { store }] of this.#kept) {
      if (this.#kept.size === 1 || (this.#kept.size <= MOST_NETWORKS && addresses <= MOST_ADDRESSES)) return;
      addresses -= store.count;
      this.#save(folder, store);
      this.#kept.delete(folder);
    }
  }

  /** False when the folder is no longer as we left it, or cannot be written. */
  #save(folder: string, store: FolderStore): boolean {
    const { options } = store;
    try {
      const saved = underLock(options, false, () => {
        if (!store.isCurrent(options)) return false;
        store.save();
        return true;
      });
      return saved === true;
    } catch (error) {
      this.#warn("the index of a network's addresses cannot be written", { folder, error: messageOf(error) });
      return false;
    }
  }
}
