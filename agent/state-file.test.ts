import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import t from "tap";
import { readFileIfThere, updateFile, writeFileAtomic } from "./state-file.ts";

t.test("a file is written whole, with its mode whatever the umask, in folders of root's alone", async (t) => {
  const path = join(t.testdir(), "one/two/file");
  const umask = process.umask(0o777);
  t.teardown(() => process.umask(umask));
  process.umask(0o027);
  writeFileAtomic(path, "hello", 0o644);
  t.equal(readFileSync(path, "utf8"), "hello");
  t.equal(statSync(path).mode & 0o777, 0o644);
  t.equal(statSync(join(path, "..")).mode & 0o777, 0o700);
  t.strictSame(readdirSync(join(path, "..")), ["file"], "nothing else lies there");
});

t.test("S12: a planted symbolic link is neither followed nor written through", async (t) => {
  const folder = t.testdir({ victim: "untouched" });
  symlinkSync(join(folder, "victim"), join(folder, "file.new"));
  t.throws(() => writeFileAtomic(join(folder, "file"), "x"), { code: "ELOOP" });
  symlinkSync(join(folder, "victim"), join(folder, "link"));
  t.throws(() => readFileIfThere(join(folder, "link")), { code: "ELOOP" });
  t.equal(readFileSync(join(folder, "victim"), "utf8"), "untouched");
});

t.test("a write that fails leaves the old file and nothing beside it", async (t) => {
  const folder = t.testdir({ file: "old" });
  mkdirSync(join(folder, "file.new"));
  t.throws(() => writeFileAtomic(join(folder, "file"), "new"), { code: "EISDIR" });
  t.equal(readFileSync(join(folder, "file"), "utf8"), "old");
  rmSync(join(folder, "file.new"), { recursive: true, force: true });
  t.throws(() => writeFileAtomic(join(folder, "file/below"), "new"), { code: "EEXIST" });
});

t.test("updateFile writes only when the text differs", async (t) => {
  const path = join(t.testdir(), "file");
  t.equal(updateFile(path, "a"), true);
  const { ino } = statSync(path);
  t.equal(updateFile(path, "a"), false);
  t.equal(statSync(path).ino, ino);
  t.equal(updateFile(path, "b"), true);
  t.equal(readFileIfThere(join(path, "..", "none")), undefined);
});

t.test("killed -9 at any moment: the file is one of those written, and whole", async (t) => {
  const folder = t.testdir();
  const path = join(folder, "state.json");
  const program = join(folder, "writer.mts");
  const module = pathToFileURL(join(import.meta.dirname, "state-file.ts")).href;
  writeFileSync(
    program,
    `import { writeFileAtomic } from ${JSON.stringify(module)};
     console.log("writing");
     for (let i = 0; ; i++) writeFileAtomic(${JSON.stringify(path)}, JSON.stringify({ i, filler: "x".repeat(300_000), end: i }));`,
  );
  for (let round = 0; round < 4; round++) {
    const writer = spawn(process.execPath, ["--import=tsx", program], {
      cwd: join(import.meta.dirname, ".."),
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(writer.stdout, "data");
    await sleep(20 + Math.random() * 80);
    writer.kill("SIGKILL");
    await once(writer, "exit");
    const text = readFileIfThere(path);
    if (text === undefined) continue; // killed before the first was whole
    const { i, end } = JSON.parse(text);
    t.equal(i, end);
  }
});
