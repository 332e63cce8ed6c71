import t from "tap";
import { writeRecord } from "./record.ts";
import { takeSnapshot } from "./snapshot.ts";

/** A file with records of these numbers, in this order; 0 is a place where there is none. */
function fileOf(...numbers: readonly number[]): Buffer {
  const room = Buffer.alloc(64 * numbers.length);
  for (const [i, number] of numbers.entries())
    if (number > 0) writeRecord(room.subarray(64 * i), number, `call ${number}`);
  return room;
}

/** The numbers that are seen when the readings give these files, the last one again and again. */
function seen(files: readonly Buffer[], after?: number): number[] {
  let reading = 0;
  const { records } = takeSnapshot(() => files[Math.min(reading++, files.length - 1)] ?? Buffer.alloc(0), after);
  return records.map(({ sequence }) => sequence);
}

t.test("a file at rest is shown as it is, also with a damaged record", async (t) => {
  t.strictSame(seen([fileOf(4, 5, 3)]), [5, 4, 3]);
  t.strictSame(seen([fileOf(1, 0, 3)]), [3, 1]);
  t.strictSame(seen([fileOf(0, 0)]), []);
  t.strictSame(seen([fileOf(4, 5, 3)], 4), [5]);
});

t.test("of two records written during a reading, the later is not shown alone", async (t) => {
  t.strictSame(seen([fileOf(1, 0, 3, 0), fileOf(1, 2, 3, 4)]), [3, 2, 1]);
  t.strictSame(seen([fileOf(1, 2, 0, 4), fileOf(1, 2, 3, 4)], 2), [4, 3]);
  t.strictSame(seen([fileOf(0, 0), fileOf(1, 0)]), [], "what came after the first reading is for the next time");
});

t.test("an old record that the writer is about to reach is not shown behind a gap", async (t) => {
  // 4 is overwritten, and 3 was seen before it was.
  t.strictSame(
    seen([fileOf(7, 8, 3, 4, 5, 6), fileOf(7, 8, 3, 10, 5, 6), fileOf(7, 8, 9, 10, 5, 6)]),
    [10, 9, 8, 7, 6, 5],
  );
  t.strictSame(seen([fileOf(7, 8, 3, 4, 5, 6), fileOf(7, 8, 9, 10, 5, 6), fileOf(7, 8, 9, 10, 5, 6)]), [8, 7, 6, 5]);
});

t.test("a writer that goes all round between two readings does not empty the list", async (t) => {
  const laps = Array.from({ length: 9 }, (_, lap) => fileOf(3 * lap + 1, 3 * lap + 2, 3 * lap + 3));
  t.equal(seen(laps).length, 3);
});
