import t from "tap";
import { crc32 } from "./crc32.ts";
import { findRecords, RECORD_OVERHEAD, textOf, writeRecord } from "./record.ts";

const TEXTS = ["one", "zwei", "", "日本 🙂", "five ".repeat(40)];

/** The texts as records, one behind the other, numbered from 1. */
function bytesOf(texts: readonly string[]): Buffer {
  const room = Buffer.alloc(70_000);
  return Buffer.concat(
    texts.map((text, i) => {
      const length = writeRecord(room, i + 1, text);
      return Buffer.from(room.subarray(0, length));
    }),
  );
}

function textsIn(bytes: Buffer): string[] {
  return [...findRecords(bytes)].map((found) => textOf(bytes, found));
}

t.test("the checksum is that of IEEE 802.3", async (t) => {
  const bytes = Buffer.from("..123456789..");
  t.equal(crc32(bytes, 2, 11), 0xcbf43926);
});

t.test("records are read as they were written, numbers up to 2^48", async (t) => {
  t.strictSame(textsIn(bytesOf(TEXTS)), TEXTS);
  const room = Buffer.alloc(100);
  writeRecord(room, 2 ** 48 - 1, "last");
  t.strictSame([...findRecords(room)], [{ sequence: 2 ** 48 - 1, start: 0, end: RECORD_OVERHEAD + 4 }]);
});

t.test("records up to a number are left out", async (t) => {
  t.strictSame(
    [...findRecords(bytesOf(TEXTS), 3)].map(({ sequence }) => sequence),
    [4, 5],
  );
});

t.test("a text that has no room is refused", async (t) => {
  t.throws(() => writeRecord(Buffer.alloc(20), 1, "12345"), RangeError);
  t.throws(() => writeRecord(Buffer.alloc(80_000), 1, "x".repeat(65_536)), RangeError);
  t.equal(writeRecord(Buffer.alloc(80_000), 1, "x".repeat(65_535)), RECORD_OVERHEAD + 65_535);
});

t.test("cut off at any byte, the whole records before it are found", async (t) => {
  const bytes = bytesOf(TEXTS);
  const ends = TEXTS.map((_, i) => bytesOf(TEXTS.slice(0, i + 1)).length);
  for (let length = 0; length <= bytes.length; length++) {
    const whole = ends.filter((end) => end <= length).length;
    t.strictSame(textsIn(bytes.subarray(0, length)), TEXTS.slice(0, whole), `${length} bytes`);
  }
});

t.test("a write that stopped at any byte costs the records under it, no other, and invents none", async (t) => {
  const old = bytesOf(TEXTS);
  const room = Buffer.alloc(200);
  const length = writeRecord(room, 6, "a newer one, longer than the first, that reaches into the second");
  const starts = [...findRecords(old)].map(({ start }) => start);
  const marks = 4; // the first bytes of all records are the same
  for (let written = 1; written < length; written++) {
    const bytes = Buffer.from(old);
    room.copy(bytes, 0, 0, written);
    const untouched = TEXTS.filter((_, i) => written <= marks || (starts[i] ?? 0) >= written);
    t.strictSame(textsIn(bytes), untouched, `${written} bytes`);
  }
});

t.test("any flipped bit costs its record and no other", async (t) => {
  const bytes = bytesOf(TEXTS);
  const found = [...findRecords(bytes)];
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const damaged = Buffer.from(bytes);
    damaged.writeUInt8(damaged.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
    const hit = found.findIndex(({ start, end }) => start <= bit >> 3 && bit >> 3 < end);
    const rest = TEXTS.filter((_, i) => i !== hit);
    if (JSON.stringify(textsIn(damaged)) !== JSON.stringify(rest)) t.fail(`bit ${bit}`);
  }
});

t.test("whatever lies in the file, only records are found", async (t) => {
  const mark = bytesOf([""]).subarray(0, 4);
  const noise = Buffer.alloc(4096, Buffer.concat([mark, Buffer.from([0xff, 0xff, 0xff])]));
  t.strictSame(textsIn(noise), []);
  t.strictSame(textsIn(Buffer.concat([noise, bytesOf(TEXTS), noise, mark])), TEXTS);
});

t.test("a record that a caller hides in a text stays hidden when the record around it is damaged", async (t) => {
  const forged = bytesOf(["forged"]).toString("latin1"); // every byte as a character, as a pod's name could have them
  const bytes = bytesOf([`${forged} ${bytesOf(["forged"]).toString("utf8")}`]);
  bytes.writeUInt32LE(0, 4);
  t.strictSame(textsIn(bytes), []);
});
