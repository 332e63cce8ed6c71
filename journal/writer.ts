import { closeSync, fstatSync, statSync } from "node:fs";
import { messageOf } from "../cni/error.ts";
import type { Logger } from "../cni/log.ts";
import { type Call, encodeCall } from "./call.ts";
import { type Found, findRecords, writeRecord } from "./record.ts";
import { fill, openRing, readWhole, writeAll } from "./ring.ts";

export interface JournalOptions {
  /** Size of the file in bytes, at least {@link SMALLEST_JOURNAL}; 4 MiB, some 10,000 calls, when absent. */
  readonly capacity?: number;
  /** Is told of the first of several failures in a row. */
  readonly log: Pick<Logger, "warn">;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

const USUAL_CAPACITY = 4 * 1024 * 1024;
/** Holds the longest record several times. */
export const SMALLEST_JOURNAL = 64 * 1024;
/** Milliseconds between two looks whether the file is still there, or can be opened again. */
const LOOK_EVERY = 1000;

/** The open file and where the next record goes. */
interface Ring {
  readonly fd: number;
  position: number;
  /** Of the next record. */
  sequence: number;
}

/**
 * Appends calls to a ring file of fixed size. It stands on the path of every pod, so it costs one pwrite(2), never waits for
 * the disk, and never throws: what cannot be written is counted, and said once. A file that somebody took away, or that could
 * not be opened, is made anew with a later call.
 *
 * One process writes. Should two, each overwrites calls of the other, and readers see the rest.
 */
export class JournalWriter implements Disposable {
  readonly #path: string;
  readonly #capacity: number;
  readonly #log: Pick<Logger, "warn">;
  readonly #now: () => number;
  readonly #scratch = Buffer.alloc(SMALLEST_JOURNAL);
  #ring: Ring | undefined;
  #lastLook = Number.NEGATIVE_INFINITY;
  #failures = 0;
  #failing = false;
  #closed = false;

  /** Opens the file, or makes it. @throws RangeError for a capacity that is too small */
  constructor(path: string, { capacity = USUAL_CAPACITY, log, now = Date.now }: JournalOptions) {
    if (capacity < SMALLEST_JOURNAL) throw new RangeError(`capacity ${capacity}: at least ${SMALLEST_JOURNAL} bytes`);
    this.#path = path;
    this.#capacity = capacity;
    this.#log = log;
    this.#now = now;
    this.#attempt(() => {
      this.#look();
      return true;
    });
  }

  /** How many calls could not be written. */
  get failures(): number {
    return this.#failures;
  }

  /** Writes a call down. After disposal it does nothing. */
  append(call: Call): void {
    const done = this.#attempt(() => {
      this.#look();
      if (this.#ring !== undefined) this.#write(this.#ring, call);
      return this.#ring !== undefined || this.#closed;
    });
    if (!done) this.#failures++;
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#close();
  }

  #write(ring: Ring, call: Call): void {
    const length = writeRecord(this.#scratch, ring.sequence, encodeCall(call));
    if (ring.position + length > this.#capacity) {
      fill(ring.fd, ring.position, this.#capacity); // of the last lap; left there, it would be out of its order
      ring.position = 0;
    }
    writeAll(ring.fd, this.#scratch.subarray(0, length), ring.position);
    // After a failure the next call takes this one's place and number, so numbers have no gaps.
    ring.position += length;
    ring.sequence++;
    this.#failing = false;
  }

  /** Once in a while: opens the file when it is not, or no longer the one of that name. */
  #look(): void {
    const now = this.#now();
    if (this.#closed || Math.abs(now - this.#lastLook) < LOOK_EVERY) return; // the clock may be set back
    this.#lastLook = now;
    if (this.#ring !== undefined && !isAt(this.#ring.fd, this.#path)) this.#close();
    this.#ring ??= open(this.#path, this.#capacity, now);
  }

  #close(): void {
    if (this.#ring !== undefined) closeSync(this.#ring.fd);
    this.#ring = undefined;
  }

  /** Gives what the work does; false when it throws. */
  #attempt(work: () => boolean): boolean {
    try {
      return work();
    } catch (error) {
      if (!this.#failing) {
        const path = this.#path;
        this.#log.warn("call journal cannot be written; calls go on without it", { path, error: messageOf(error) });
      }
      this.#failing = true;
      return false;
    }
  }
}

/** An empty file's first number is the time, so that a follower of the file before it sees greater ones. */
function open(path: string, capacity: number, now: number): Ring {
  const fd = openRing(path, capacity);
  try {
    const newest = newestOf(findRecords(readWhole(fd)));
    if (newest === undefined) return { fd, position: 0, sequence: Math.max(1, now) };
    return { fd, position: newest.end, sequence: newest.sequence + 1 };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function newestOf(records: Iterable<Found>): Found | undefined {
  let newest: Found | undefined;
  for (const record of records) if (newest === undefined || record.sequence > newest.sequence) newest = record;
  return newest;
}

/** Whether the open file is the one of that name. */
function isAt(fd: number, path: string): boolean {
  const there = statSync(path, { throwIfNoEntry: false });
  const ours = fstatSync(fd);
  return there !== undefined && there.ino === ours.ino && there.dev === ours.dev;
}
