import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import t from "tap";
import { makeNetwork, type Network } from "./fixture.ts";

const ADDS = 50;
const HOSTS = ["one-shot", "resident", "resident"] as const;

/** A process of its own that adds attachments named `prefix-0`, `prefix-1`… */
function start(net: Network, prefix: string, count: number | "endless", host: (typeof HOSTS)[number]): ChildProcess {
  const worker = fileURLToPath(new URL("testdata/worker.ts", import.meta.url));
  return spawn(process.execPath, ["--import=tsx", worker, net.dataDir, prefix, String(count), host], {
    stdio: ["pipe", "pipe", "inherit"],
  });
}

/** What each printed. Half-way they wait for one another, so that none is done before the next has begun. */
function linesOf(processes: readonly ChildProcess[]): Promise<string[][]> {
  let waiting = 0;
  const linesOfOne = async ({ stdout }: ChildProcess) => {
    const lines: string[] = [];
    if (stdout === null) return lines;
    for await (const line of createInterface({ input: stdout })) {
      if (line !== "half") lines.push(line);
      else if (++waiting === processes.length) for (const { stdin } of processes) stdin?.write("\n");
    }
    return lines;
  };
  return Promise.all(processes.map(linesOfOne));
}

t.test(`${HOSTS.length} processes with ${ADDS} ADDs each never get one address twice`, async (t) => {
  const net = makeNetwork(t);
  const runs = await linesOf(HOSTS.map((host, index) => start(net, `process${index}`, ADDS, host)));
  const addresses = runs.flat().map((line) => line.split(" ")[1]);
  t.equal(addresses.length, HOSTS.length * ADDS);
  t.equal(new Set(addresses).size, addresses.length);
  t.equal(Object.keys(net.onDisk()).length, addresses.length);
  const numbers = runs.map((run) => run.map((line) => Number(line.split(/[ ./]/)[4])));
  const interleaved = numbers.some((run) => run.some((last, at) => at > 0 && last !== (run[at - 1] ?? 0) + 1));
  t.ok(interleaved, "they ran at the same time");
});

t.test("kill -9 of a process that stays, in the middle of its work: others go on, and lose nothing", async (t) => {
  const net = makeNetwork(t);
  const [victim, other] = [start(net, "victim", "endless", "resident"), start(net, "other", ADDS, "resident")];
  const killed = once(victim, "close");
  let seen = 0;
  victim.stdout?.on("data", () => {
    if (++seen === 10) victim.kill("SIGKILL");
  });
  const [kept = []] = await linesOf([other]);
  await killed;
  const held = new Map(
    Object.entries(net.onDisk()).map(([address, holder]) => [holder.split("\r\n")[0] ?? "", address]),
  );
  for (const line of kept) {
    const [id = "", address] = line.split(/[ /]/);
    t.equal(held.get(id), address, `${id} holds what it was given`);
    held.delete(id);
  }
  for (const id of held.keys()) if (id !== "") t.equal((await net.ours("DEL", { id })).exitCode, 0);
  await net.ours("DEL", { id: "nobody" });
  t.equal(Object.keys(net.onDisk()).length, kept.length, "and nothing of the killed one's is left after DEL");
});
