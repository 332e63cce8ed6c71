import { type Found, findRecords } from "./record.ts";

/** A file that is damaged and written all the time is shown with its gaps after so many. */
const MOST_READS = 5;

/** What a journal held at one moment. */
export interface Snapshot {
  readonly bytes: Buffer;
  /** Newest first. */
  readonly records: readonly Found[];
}

/**
 * The records with a sequence number above `after`. One read is not one moment: of two records written meanwhile, the later may
 * be seen alone. By the next read, all up to the newest of this one are there.
 */
export function takeSnapshot(readBytes: () => Buffer, after = 0): Snapshot {
  let before = read(readBytes, after);
  for (let tries = 0; tries < MOST_READS; tries++) {
    const now = read(readBytes, after);
    if (now.bytes.equals(before.bytes)) return now; // what is missing is damaged
    const newest = before.records[0]?.sequence ?? 0;
    const records = now.records.filter(({ sequence }) => sequence <= newest);
    if (isWhole(records, newest)) return { ...now, records };
    before = now;
  }
  return before;
}

/** Whether no number is missing from the newest down. */
function isWhole(records: readonly Found[], newest: number): boolean {
  return (records[0]?.sequence ?? 0) === newest && records.every(({ sequence }, i) => sequence === newest - i);
}

function read(readBytes: () => Buffer, after: number): Snapshot {
  const bytes = readBytes();
  return { bytes, records: [...findRecords(bytes, after)].sort((a, b) => b.sequence - a.sequence) };
}
