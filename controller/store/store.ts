/**
 * What the controller needs from a key-value store: ordered revisions, atomic compare-and-swap over several keys, and a
 * watch that never loses and never repeats an event. Keys are paths without a leading slash; values are text.
 */

/** One key as it stands in the store. */
export interface Entry {
  readonly key: string;
  readonly value: string;
  /** The revision that created the key; a deleted and re-created key has a new one. */
  readonly createRevision: number;
  /** The revision of its last put. */
  readonly modRevision: number;
}

/** Every entry under a prefix, as of one revision. */
export interface Listing {
  readonly revision: number;
  readonly entries: readonly Entry[];
}

/** Holds when the key has exactly that revision; 0 means that the key is absent. */
export type Condition =
  | { readonly key: string; readonly modRevision: number }
  | { readonly key: string; readonly createRevision: number };

export type Operation = { readonly put: string; readonly value: string } | { readonly delete: string };

/** All conditions or none: then the operations happen at one revision. A key may appear in one operation only. */
export interface Transaction {
  readonly when: readonly Condition[];
  readonly change: readonly Operation[];
}

export interface Outcome {
  readonly succeeded: boolean;
  /** Of the transaction when it succeeded; otherwise the store's, which is at least as new as what made it fail. */
  readonly revision: number;
}

export type StoreEvent =
  | ({ readonly type: "put" } & Entry)
  | { readonly type: "delete"; readonly key: string; readonly modRevision: number };

export interface WatchHandler {
  /**
   * Events in the order of their revisions. All events of one revision come in one batch; a batch may hold several
   * revisions. `revision` is the last one.
   */
  onEvents(events: readonly StoreEvent[], revision: number): void;
  /** Events since the asked revision are gone, or the watch ended: list again, then watch from there. Called once, last. */
  onLost(reason: string): void;
}

export interface Watch {
  /** Ends the watch; no handler is called afterwards. */
  close(): void;
}

export interface Store {
  /**
   * Lists the keys that begin with the prefix, in byte order. Linearizable: sees every transaction answered before.
   * @throws StoreUnavailableError
   */
  range(prefix: string): Promise<Listing>;
  /**
   * Durable when it answers.
   * @throws StoreUnavailableError when the store did not answer; the transaction may then have happened or not.
   */
  transact(transaction: Transaction): Promise<Outcome>;
  /** Delivers events from that revision on (`listing.revision + 1`), reconnecting by itself. */
  watch(prefix: string, fromRevision: number, handler: WatchHandler): Watch;
  close(): Promise<void>;
}

/** The store does not answer, now. Its state is unknown; try later. */
export class StoreUnavailableError extends Error {
  readonly code = "STORE_UNAVAILABLE";
}

/** Most operations and conditions in one transaction that every store takes (etcd's default limit is 128). */
export const TRANSACTION_LIMIT = 100;
