import { type ChildProcess, type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import t from "tap";
import { JournalFollower, readJournal, watchJournal } from "./reader.ts";
import { callNumber, openWriter } from "./testdata/calls.ts";
import { SMALLEST_JOURNAL } from "./writer.ts";

/** A process of testdata/ that writes calls into a journal of the smallest size, once it says something. */
async function startWriting(script: string, path: string): Promise<ChildProcessByStdio<Writable, Readable, null>> {
  const words = ["--import=tsx", join(import.meta.dirname, "testdata", script), path, String(SMALLEST_JOURNAL)];
  const child = spawn(process.execPath, words, { stdio: ["pipe", "pipe", "inherit"] });
  await once(child.stdout, "data");
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  child.kill("SIGKILL");
  await once(child, "exit");
}

/** Sequence numbers, newest first; fails unless there is one of each. */
function requireNoGaps(t: { fail(message: string): unknown }, numbers: readonly number[], about: string): void {
  const newest = numbers[0] ?? 0;
  const odd = numbers.findIndex((number, i) => number !== newest - i);
  if (odd >= 0) t.fail(`${about}: ${numbers[odd]} comes after ${numbers[odd - 1]}`);
}

function namesIn(follower: JournalFollower): (string | undefined)[] {
  return follower.next().map(({ call }) => call.pod?.name);
}

t.test("while another process writes, every reading is whole: no gap, nothing that was not written", async (t) => {
  const path = join(t.testdir({}), "calls");
  const child = await startWriting("bursts.ts", path);
  const follower = new JournalFollower(path);
  let [newest, followed] = [0, 0];
  for (let round = 0; round < 40; round++) {
    child.stdin.write("g");
    const done = once(child.stdout, "data");
    // The other process begins somewhere in these readings. It writes less than a lap, so none of them can come too late.
    for (let reading = 0; reading < 12; reading++) {
      const entries = [...readJournal(path)];
      const about = `round ${round}, reading ${reading}`;
      requireNoGaps(
        t,
        entries.map(({ sequence }) => sequence),
        about,
      );
      for (const { call, sequence } of entries) {
        const n = sequence - 1;
        if (call.pod?.name !== `web-${n}` || call.message?.length !== n % 250)
          t.fail(`${about}: ${JSON.stringify(call)}`);
      }
      if ((entries[0]?.sequence ?? 0) < newest) t.fail(`${about}: back from ${newest}`);
      newest = entries[0]?.sequence ?? 0;
      for (const { sequence } of follower.next()) {
        if (sequence !== followed + 1) t.fail(`${about}: followed ${followed} by ${sequence}`);
        followed = sequence;
      }
    }
    await done;
  }
  followed += follower.next().length;
  await kill(child);
  t.equal(followed, 1600);
});

t.test("a writer killed at any moment leaves whole calls, and the next one goes on after them", async (t) => {
  const path = join(t.testdir({}), "calls");
  let last = 0;
  for (let round = 0; round < 6; round++) {
    const child = await startWriting("endless.ts", path);
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 40));
    await kill(child);
    const numbers = [...readJournal(path)].map(({ sequence }) => sequence);
    requireNoGaps(t, numbers, `round ${round}`);
    t.ok((numbers[0] ?? 0) > last, `round ${round}: from ${last} to ${numbers[0]}`);
    last = numbers[0] ?? 0;
    if (last > 1000) t.ok(numbers.length > 60, `${numbers.length} calls`);
  }
});

t.test("a follower gives each call once, oldest first, also after the file was made anew", async (t) => {
  const path = join(t.testdir({}), "calls");
  let clock = 0;
  const { writer } = openWriter(path, SMALLEST_JOURNAL, () => clock);
  const follower = new JournalFollower(path);
  t.strictSame(namesIn(follower), []);
  writer.append(callNumber(1));
  writer.append(callNumber(2));
  t.strictSame(namesIn(follower), ["web-1", "web-2"]);
  t.strictSame(namesIn(follower), []);
  writer.append(callNumber(3));
  t.strictSame(namesIn(follower), ["web-3"]);
  // Forwards, backwards, and as many calls as before or more; the new file may get the old one's inode.
  for (const [n, size, time] of [
    [10, 1, 5000],
    [20, 5, 10_000],
    [30, 1, 2000],
    [40, 1, 15_000],
  ] as const) {
    rmSync(path);
    clock = time;
    for (let i = 0; i < size; i++) writer.append(callNumber(n + i));
    t.strictSame(
      namesIn(follower),
      Array.from({ length: size }, (_, i) => `web-${n + i}`),
    );
  }
  writer[Symbol.dispose]();
});

t.test(
  "a watch tells of the file's making and of each writing, and of nothing else, until it is stopped",
  async (t) => {
    const dir = t.testdir({});
    const path = join(dir, "calls");
    const stop = new AbortController();
    const watching = watchJournal(path, stop.signal);
    t.match(await watching.next(), { done: false });
    let told = false;
    const telling = watching.next().then((answer) => {
      told = true;
      return answer;
    });
    writeFileSync(join(dir, "other"), "");
    mkdirSync(join(dir, "agent"));
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    t.notOk(told, "of other files");
    const { writer } = openWriter(path, SMALLEST_JOURNAL);
    t.match(await telling, { done: false }, "of the file");

    const follower = new JournalFollower(path);
    const seen: (string | undefined)[] = [];
    writer.append(callNumber(1));
    for await (const _ of watching) {
      seen.push(...namesIn(follower));
      if (seen.length === 5) break;
      writer.append(callNumber(seen.length + 1));
    }
    t.strictSame(seen, ["web-1", "web-2", "web-3", "web-4", "web-5"]);
    writer[Symbol.dispose]();

    const again = watchJournal(path, stop.signal);
    await again.next();
    const waiting = again.next();
    stop.abort();
    t.match(await waiting, { done: true });
    await t.rejects(watchJournal(join(dir, "nowhere/calls")).next(), { code: "ENOENT" });
  },
);

t.test("what is no file is refused, and neither waited for nor read without end", async (t) => {
  const dir = t.testdir({ empty: "", text: "hello", folder: {} });
  t.strictSame([...readJournal(join(dir, "empty"))], []);
  t.strictSame([...readJournal(join(dir, "text"))], []);
  t.throws(() => readJournal(join(dir, "nowhere")).next(), { code: "ENOENT" });
  t.throws(() => readJournal(join(dir, "folder")).next(), { code: "ENOTSUP" });
  t.throws(() => readJournal("/dev/zero").next(), { code: "ENOTSUP" });
  symlinkSync(join(dir, "text"), join(dir, "link"));
  t.strictSame([...readJournal(join(dir, "link"))], [], "a link is followed: nothing is written");
  t.equal(statSync(join(dir, "text")).size, 5);
});
