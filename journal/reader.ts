import { watch } from "node:fs";
import { basename, dirname } from "node:path";
import { type Call, decodeCall } from "./call.ts";
import { textOf } from "./record.ts";
import { readRing } from "./ring.ts";
import { type Snapshot, takeSnapshot } from "./snapshot.ts";

export interface JournalEntry {
  /** Counts calls; a later call has a greater one, also after the file was made anew. */
  readonly sequence: number;
  readonly call: Call;
}

/**
 * The calls in the file, newest first; also while another process writes it, and then without gaps. The file is read when the
 * first is asked for.
 * @throws the error of the system call, ENOENT when there is no such file; ENOTSUP when it is something else than a file
 */
export function* readJournal(path: string): Generator<JournalEntry> {
  yield* entriesOf(takeSnapshot(() => readRing(path)));
}

/** Reads a journal again and again, and gives only what is new. */
export class JournalFollower {
  readonly #path: string;
  #last = 0;

  constructor(path: string) {
    this.#path = path;
  }

  /**
   * The calls since the last time, oldest first; all that there are the first time, and after the file was made anew.
   * @throws as {@link readJournal}
   */
  next(): JournalEntry[] {
    const read = () => readRing(this.#path);
    let snapshot = takeSnapshot(read, this.#last);
    if (snapshot.records.length === 0 && this.#last > 0) {
      const all = takeSnapshot(read);
      // Made anew under a clock that was set back, or still empty: otherwise numbers go on.
      if ((all.records[0]?.sequence ?? 0) < this.#last) snapshot = all;
      if (snapshot === all) this.#last = 0;
    }
    this.#last = snapshot.records[0]?.sequence ?? this.#last;
    return [...entriesOf(snapshot)].reverse();
  }
}

/**
 * Yields once at the start, then after the file was made or written; writes while the caller is busy are one. Ends when the
 * signal is given. inotify(7) tells; nothing ticks.
 * @throws the error of the system call when the file's folder cannot be watched
 */
export async function* watchJournal(path: string, signal?: AbortSignal): AsyncGenerator<void> {
  let changed = true;
  let failure: Error | undefined;
  let wake = () => {};
  const tell = () => {
    changed = true;
    wake();
  };
  // The folder, not the file: the file may not be there yet, or be made anew.
  const watcher = watch(dirname(path), { ...(signal && { signal }) }, (_, name) => {
    if (name === null || name === basename(path)) tell();
  });
  watcher.on("error", (error) => {
    failure = error;
    wake();
  });
  watcher.on("close", () => wake());
  try {
    while (signal?.aborted !== true) {
      if (failure !== undefined) throw failure;
      if (changed) {
        changed = false;
        yield;
      } else {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
  } finally {
    watcher.close();
  }
}

function* entriesOf({ bytes, records }: Snapshot): Generator<JournalEntry> {
  for (const record of records) {
    const call = decodeCall(textOf(bytes, record));
    if (call !== undefined) yield { sequence: record.sequence, call };
  }
}
