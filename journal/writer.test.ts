import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import t from "tap";
import { readJournal } from "./reader.ts";
import { callNumber, openWriter } from "./testdata/calls.ts";
import { JournalWriter, SMALLEST_JOURNAL } from "./writer.ts";

/** The n of the calls in the file, newest first. */
function numbersIn(path: string): number[] {
  return [...readJournal(path)].map(({ call }) => call.startedAt - callNumber(0).startedAt);
}

/** from, from - 1, … to. */
function down(from: number, to: number): number[] {
  return Array.from({ length: from - to + 1 }, (_, i) => from - i);
}

function write(path: string, from: number, to: number, capacity = SMALLEST_JOURNAL): void {
  const { writer, warnings } = openWriter(path, capacity, () => 0);
  using _ = writer;
  for (let n = from; n <= to; n++) writer.append(callNumber(n, { message: "x".repeat(n % 300) }));
  if (warnings.length > 0) throw new Error(warnings.join());
}

t.test("calls are there in their order, newest first, and after a restart it goes on", async (t) => {
  const path = join(t.testdir({}), "var", "calls");
  write(path, 1, 3);
  t.strictSame([...readJournal(path)][0], { sequence: 3, call: callNumber(3, { message: "xxx" }) });
  write(path, 4, 6);
  t.strictSame(numbersIn(path), down(6, 1));
  t.strictSame(
    [...readJournal(path)].map(({ sequence }) => sequence),
    down(6, 1),
  );
});

t.test("S12: the file is 0600, the folder made for it 0700, and it never grows", async (t) => {
  const path = join(t.testdir({}), "var", "calls");
  const umask = process.umask(0);
  write(path, 1, 1);
  process.umask(umask);
  t.equal(statSync(path).mode & 0o777, 0o600);
  t.equal(statSync(join(path, "..")).mode & 0o777, 0o700);
  t.equal(statSync(path).size, SMALLEST_JOURNAL);
  t.ok(statSync(path).blocks * 512 >= SMALLEST_JOURNAL, "its blocks are there before they are needed");
  write(path, 2, 2000);
  t.equal(statSync(path).size, SMALLEST_JOURNAL);
});

t.test("round and round, the newest calls are there without gaps, whatever their lengths", async (t) => {
  const path = join(t.testdir({}), "calls");
  const { writer } = openWriter(path, SMALLEST_JOURNAL);
  for (let n = 1; n <= 700; n++) {
    writer.append(callNumber(n, { message: "x".repeat((n * 37) % 500) }));
    const numbers = numbersIn(path);
    if (numbers[0] !== n || (n > 200 && numbers.length < 90))
      t.fail(`after ${n}: ${numbers.length} from ${numbers[0]}`);
    if (numbers.some((number, i) => number !== n - i)) t.fail(`after ${n}: ${numbers}`);
  }
  writer[Symbol.dispose]();
  t.equal(numbersIn(path)[0], 700);
});

t.test("a lap that ends earlier than the one before leaves none of its calls behind", async (t) => {
  const path = join(t.testdir({}), "calls");
  const { writer } = openWriter(path, SMALLEST_JOURNAL);
  for (let n = 1; n <= 600; n++) {
    writer.append(callNumber(n, { message: "x".repeat(n % 160 < 80 ? 1 : 512) }));
    const numbers = numbersIn(path);
    if (numbers.some((number, i) => number !== n - i)) t.fail(`after ${n}: ${numbers}`);
  }
  writer[Symbol.dispose]();
  t.equal(numbersIn(path)[0], 600);
});

t.test("4 MiB hold some 10,000 usual calls", async (t) => {
  const path = join(t.testdir({}), "calls");
  using writer = new JournalWriter(path, { log: console });
  for (let n = 1; n <= 20_000; n++) writer.append(callNumber(n));
  t.ok(numbersIn(path).length > 10_000, `${numbersIn(path).length}`);
});

t.test("a write that stopped at any byte is neither shown nor in the way after a restart", async (t) => {
  const path = join(t.testdir({}), "calls");
  // The second time, older records lie where the torn one was written.
  for (const last of [3, 400]) {
    rmSync(path, { force: true });
    write(path, 1, last);
    const before = readFileSync(path);
    const known = numbersIn(path);
    write(path, last + 1, last + 1);
    const after = readFileSync(path);
    const [start = 0, end = 0] = differing(before, after);
    for (let torn = start + 1; torn < end; torn++) {
      writeFileSync(path, Buffer.concat([after.subarray(0, torn), before.subarray(torn)]));
      const seen = numbersIn(path);
      if (seen[0] !== last || known.length - seen.length > 5) t.fail(`torn at ${torn}: ${seen}`);
      write(path, last + 7, last + 7);
      const [newest, ...rest] = numbersIn(path);
      if (newest !== last + 7 || rest.some((number, i) => number !== last - i)) t.fail(`torn at ${torn}: ${rest}`);
    }
    t.ok(end - start > 200, `${end - start} places`);
  }
});

/** The first byte that differs and the one after the last. */
function differing(a: Buffer, b: Buffer): [number, number] {
  const different = [...a.keys()].filter((i) => a[i] !== b[i]);
  return [different[0] ?? 0, (different.at(-1) ?? 0) + 1];
}

t.test("another capacity than before keeps what fits", async (t) => {
  const path = join(t.testdir({}), "calls");
  write(path, 1, 100);
  write(path, 101, 101, 4 * SMALLEST_JOURNAL);
  t.equal(statSync(path).size, 4 * SMALLEST_JOURNAL);
  t.strictSame(numbersIn(path).slice(0, 50), down(101, 52));
  write(path, 102, 400, 4 * SMALLEST_JOURNAL);
  write(path, 401, 401);
  t.equal(statSync(path).size, SMALLEST_JOURNAL);
  t.equal(numbersIn(path)[0], 401);
});

t.test("a file of something else becomes a journal; a capacity that holds no call is refused", async (t) => {
  const path = join(t.testdir({ calls: "hello\n".repeat(50_000) }), "calls");
  write(path, 1, 2);
  t.strictSame(numbersIn(path), [2, 1]);
  t.throws(() => openWriter(path, 1000), RangeError);
});

t.test(
  "S12: a symbolic link is not followed; what is no file is left alone; both are said once and counted",
  async (t) => {
    const dir = t.testdir({ victim: "precious", folder: {} });
    symlinkSync(join(dir, "victim"), join(dir, "link"));
    execFileSync("mkfifo", [join(dir, "pipe")]);
    for (const name of ["link", "folder", "pipe", "victim/below"]) {
      const { writer, warnings } = openWriter(join(dir, name), SMALLEST_JOURNAL);
      writer.append(callNumber(1));
      writer.append(callNumber(2));
      t.equal(writer.failures, 2, name);
      t.match(warnings, { length: 1 }, `${name}: ${warnings}`);
      writer[Symbol.dispose]();
    }
    t.equal(readFileSync(join(dir, "victim"), "utf8"), "precious");
  },
);

t.test("a file that was taken away is made anew, and one that could not be opened is tried again", async (t) => {
  const dir = t.testdir({});
  const path = join(dir, "calls");
  let clock = 0;
  const { writer, warnings } = openWriter(path, SMALLEST_JOURNAL, () => clock);
  const later = (n: number) => {
    clock += 5000;
    writer.append(callNumber(n));
  };
  later(1);
  rmSync(path);
  later(2);
  t.strictSame(numbersIn(path), [2]);
  renameSync(path, join(dir, "kept"));
  later(3);
  t.strictSame(numbersIn(path), [3]);
  t.strictSame(numbersIn(join(dir, "kept")), [2]);
  truncateSync(path);
  later(4);
  t.strictSame(numbersIn(path), [4]);
  rmSync(path);
  mkdirSync(path);
  later(5);
  later(6);
  t.match({ warnings, failures: writer.failures }, { warnings: { length: 1 }, failures: 2 });
  rmSync(path, { recursive: true });
  later(7);
  t.strictSame(numbersIn(path), [7]);
  t.equal(writer.failures, 2);
});

t.test("after disposal nothing is written, opened or counted", async (t) => {
  const path = join(t.testdir({}), "calls");
  let clock = 0;
  const { writer, warnings } = openWriter(path, SMALLEST_JOURNAL, () => clock);
  writer[Symbol.dispose]();
  writer[Symbol.dispose]();
  rmSync(path);
  clock = 1e6;
  writer.append(callNumber(1));
  t.notOk(existsSync(path));
  t.match({ warnings, failures: writer.failures }, { warnings: { length: 0 }, failures: 0 });
});

t.test("two writers lose calls of each other, but no reader sees one that nobody wrote", async (t) => {
  const path = join(t.testdir({}), "calls");
  const [one, two] = [openWriter(path, SMALLEST_JOURNAL).writer, openWriter(path, SMALLEST_JOURNAL).writer];
  const written = new Map<number, string>();
  for (let n = 1; n <= 2000; n++) {
    const call = callNumber(n, { message: "x".repeat((n * 53) % 400) });
    written.set(call.startedAt, JSON.stringify(call));
    (n % 3 === 0 ? one : two).append(call);
  }
  const seen = [...readJournal(path)].map(({ call }) => call);
  t.ok(seen.length > 50, `${seen.length} of ${written.size}`);
  const sorted = (json: string) => Object.entries(JSON.parse(json)).sort().join();
  for (const call of seen) t.equal(sorted(JSON.stringify(call)), sorted(written.get(call.startedAt) ?? "{}"));
  one[Symbol.dispose]();
  two[Symbol.dispose]();
  write(path, 3000, 3001);
  t.strictSame(numbersIn(path).slice(0, 2), [3001, 3000]);
});
