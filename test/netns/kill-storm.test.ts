import t, { type Test } from "tap";
import { addressOf, result } from "./bridge-fixture.ts";
import type { Daemon, Finished } from "./harness/exec.ts";
import { type Node, startNode } from "./harness/node.ts";
import type { Pod } from "./harness/pod.ts";
import { spoolDrained, startAgent } from "./kill-agent-fixture.ts";
import { callOk, callPlugin, quietState, remains, SHIM, stateOf } from "./kill-fixture.ts";

const PODS = process.env.PODWIRE_TEST_LONG === "1" ? 300 : 60;
/** So many at a time, for what only looks. */
const AT_ONCE = 10;
const GATEWAYS = ["10.22.0.1", "fd00:22::1"] as const;

interface Ended {
  readonly pod: Pod;
  readonly called: Finished;
}

interface Storm {
  readonly node: Node;
  /** The agent that is killed; another one runs afterwards. */
  readonly agent: Daemon;
  readonly verb: "ADD" | "DEL";
  readonly pods: readonly Pod[];
  /** Another PATH for the shims. */
  readonly path: string | undefined;
  /** How many of the calls (0 to 1) have ended when the agent is killed. */
  readonly share: number;
}

/** All calls at once; in the middle the agent is killed and started again. */
async function storm({ node, agent, verb, pods, path, share }: Storm) {
  let count = 0;
  let next: Promise<Daemon> | undefined;
  const restart = async () => {
    await agent.stop("SIGKILL");
    return await startAgent(node);
  };
  const ended = await Promise.all(
    pods.map(async (pod): Promise<Ended> => {
      const called = await callPlugin(node, SHIM, verb, pod, {}, [], path);
      if (++count >= share * pods.length) next ??= restart();
      return { pod, called };
    }),
  );
  const successor = (await next) ?? agent;
  await spoolDrained(node);
  return { ended, agent: successor };
}

async function inGroups<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  for (let i = 0; i < items.length; i += AT_ONCE) await Promise.all(items.slice(i, i + AT_ONCE).map(work));
}

async function survives(t: Test, path?: string): Promise<void> {
  const node = await startNode(t);
  const first = await startAgent(node);
  const keeper = await node.pod("keeper");
  await callOk(node, SHIM, "ADD", keeper);
  const warm = await node.pod("warm");
  await callOk(node, SHIM, "ADD", warm);
  await callOk(node, SHIM, "DEL", warm);
  const quiet = await quietState(node);
  const pods: Pod[] = [];
  for (let i = 0; i < PODS; i++) pods.push(await node.pod(`pod-${i}`));

  const { ended: added, agent } = await storm({ node, agent: first, verb: "ADD", pods, path, share: 0.3 });
  const attached = added.filter(({ called }) => called.code === 0);
  const failed = added.filter(({ called }) => called.code !== 0);
  t.comment(`${attached.length} attached, ${failed.length} failed`);
  t.ok(attached.length > 0, "some were attached");
  const answers = attached.map(({ pod, called }) => ({ pod, answer: result(json(called)) }));
  for (const family of [4, 6] as const) {
    const addresses = answers.map(({ answer }) => addressOf(answer, family));
    t.equal(new Set(addresses).size, attached.length, `no IPv${family} address twice`);
  }
  await inGroups(answers, async ({ pod }) => {
    for (const gateway of GATEWAYS) t.ok(await pod.pings(gateway), `${pod.name} reaches ${gateway}`);
  });
  await inGroups(failed, async ({ pod, called }) => {
    t.match(JSON.parse(called.stdout), { code: 11 }, `${pod.name} is to be tried again`);
    t.match(await callPlugin(node, SHIM, "DEL", pod), { code: 0 });
  });
  const absent = remains(quiet, await stateOf(node)).filter((line) =>
    failed.some(({ pod }) => line.includes(pod.containerId)),
  );
  t.strictSame(absent, [], "who is not attached has nothing on the node");
  await inGroups(failed, async ({ pod }) => {
    t.equal((await pod.runOk(["ip", "-o", "link"])).trim().split("\n").length, 1, `${pod.name} has only lo`);
  });
  const links = (state: readonly string[]) => state.filter((line) => line.startsWith("link pw")).length;
  t.equal(links(await stateOf(node)), links(quiet) + attached.length, "a link for each that is attached");

  const deleted = await storm({ node, agent, verb: "DEL", pods, path, share: 0.5 });
  for (const { pod, called } of deleted.ended) if (called.code !== 0) t.fail(`DEL of ${pod.name}: ${called.stdout}`);
  t.strictSame(remains(quiet, await stateOf(node)), [], "nothing is left after DEL of all");
  t.ok(await keeper.pings("10.22.0.1"), "and who was there before is untouched");
}

function json(called: Finished) {
  return { ...called, json: JSON.parse(called.stdout) };
}

t.test(`an agent killed in the middle of ${PODS} pods, and started again; no Node.js for the shims`, (t) =>
  survives(t, "/nonexistent"),
);

t.test(`an agent killed in the middle of ${PODS} pods, whose plugins then run in processes of their own`, (t) =>
  survives(t),
);
