import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import t from "tap";
import { record, storeContract } from "./contract.ts";
import { EmbeddedStore } from "./embedded.ts";

const folder = mkdtempSync(join(tmpdir(), "podwire-store-"));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));
let count = 0;
const newFolder = () => join(folder, String(count++));

storeContract(t, { open: () => EmbeddedStore.open(newFolder()) });

t.test("reopening finds entries and revisions as they were, and history is not made up", async (t) => {
  const directory = newFolder();
  const store = await EmbeddedStore.open(directory);
  const first = await store.transact({ when: [], change: [{ put: "k", value: "v" }] });
  await store.transact({ when: [], change: [{ put: "gone", value: "v" }] });
  const last = await store.transact({ when: [], change: [{ delete: "gone" }] });
  await store.close();
  const again = await EmbeddedStore.open(directory);
  const entry = { key: "k", value: "v", createRevision: first.revision, modRevision: first.revision };
  t.same(await again.range(""), { revision: last.revision, entries: [entry] });
  const heard = record(again, "", first.revision);
  await heard.untilLost();
  t.same(heard.events, [], "a watch from before must list again");
  t.equal((await again.transact({ when: [], change: [{ put: "k", value: "w" }] })).revision, last.revision + 1);
  await again.close();
});

t.test("a second opener is refused in words, and gets in once the first is gone", async (t) => {
  const directory = newFolder();
  const store = await EmbeddedStore.open(directory);
  await t.rejects(EmbeddedStore.open(directory), {
    code: "LOCKED",
    message: /the store is in use by another controller; stop it/,
  });
  t.equal(statSync(directory).mode & 0o777, 0o700);
  await store.close();
  await (await EmbeddedStore.open(directory)).close();
});

t.test("of many that open a store over a dead one's lock at one instant, exactly one gets it", async (t) => {
  const directory = newFolder();
  for (let round = 0; round < 2; round++) {
    const openers = Array.from({ length: 3 }, () => spawnOpener(directory));
    await Promise.all(openers.map((child) => once(child, "message")));
    const answers = openers.map((child) => once(child, "message").then(([answer]) => answer as string));
    for (const child of openers) child.send("now");
    t.same((await Promise.all(answers)).sort(), ["LOCKED", "LOCKED", "open"]);
    await Promise.all(openers.map((child) => [once(child, "exit"), child.kill("SIGKILL")][0]));
  }
  const sockets = readdirSync(directory).filter((name) => name.endsWith(".sock"));
  t.equal(sockets.length, 1, "of those before, no file is left");
});

t.test("a folder name longer than a socket's address works", async () => {
  const directory = join(newFolder(), "x".repeat(120));
  await (await EmbeddedStore.open(directory)).close();
});

t.test("kill -9 while writing: everything acknowledged is there, counted once, and the lock is free", async (t) => {
  const directory = newFolder();
  for (let round = 0; round < 3; round++) {
    const writer = spawnWriter(directory);
    const acknowledged = await killAfter(writer, 150 + round * 100);
    const store = await EmbeddedStore.open(directory);
    const { entries, revision } = await store.range("");
    const byKey = new Map(entries.map((entry) => [entry.key, entry]));
    const lost = acknowledged.filter(({ key, value, revision: written }) => {
      const entry = byKey.get(key);
      return entry?.value !== value || entry.modRevision !== written;
    });
    t.same(lost, [], `${acknowledged.length} acknowledged writes are there`);
    t.ok(revision >= (acknowledged.at(-1)?.revision ?? 0));
    t.ok(acknowledged.length >= 100);
    const counter = Number(byKey.get("counter")?.value ?? 0);
    t.equal(
      counter,
      entries.filter((entry) => entry.key.startsWith("w/")).length,
      "pairs written together are there together",
    );
    await store.close();
  }
});

/** Loads everything, says so, and opens the store when told to. */
function spawnOpener(directory: string): ChildProcess {
  const module = new URL("./embedded.ts", import.meta.url).href;
  const program = `
    import { EmbeddedStore } from ${JSON.stringify(module)};
    process.on("message", () => EmbeddedStore.open(${JSON.stringify(directory)}).then(
      () => process.send("open"), (error) => process.send(error.code ?? String(error))));
    process.send("ready");`;
  return spawn(process.execPath, ["--import=tsx", "--input-type=module", "--eval", program], {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
}

interface Acknowledged {
  readonly key: string;
  readonly value: string;
  readonly revision: number;
}

/** Writes pairs in a loop, several at once, and prints each after it was answered. */
function spawnWriter(directory: string): ChildProcess {
  const module = new URL("./embedded.ts", import.meta.url).href;
  const program = `
    import { EmbeddedStore } from ${JSON.stringify(module)};
    const store = await EmbeddedStore.open(${JSON.stringify(directory)});
    const [counter] = (await store.range("counter")).entries;
    let n = Number(counter?.value ?? 0);
    const one = async () => {
      const key = "w/" + String(++n).padStart(6, "0"), value = "value " + n;
      const { revision } = await store.transact({ when: [], change: [{ put: key, value }, { put: "counter", value: String(n) }] });
      console.log(JSON.stringify({ key, value, revision }));
    };
    for (;;) await Promise.all([one(), one(), one()]);`;
  return spawn(process.execPath, ["--import=tsx", "--input-type=module", "--eval", program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
}

async function killAfter(child: ChildProcess, lines: number): Promise<Acknowledged[]> {
  const acknowledged: Acknowledged[] = [];
  if (child.stdout === null) return acknowledged;
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.endsWith("}")) acknowledged.push(JSON.parse(line) as Acknowledged);
    if (acknowledged.length === lines) child.kill("SIGKILL");
  }
  return acknowledged;
}
