import t, { type Test } from "tap";
import { startNode } from "./harness/node.ts";
import { AgentKillMatrix, startAgent } from "./kill-agent-fixture.ts";
import {
  CLEANUPS,
  type Cleanup,
  describeKilled,
  type Killed,
  KillMatrix,
  type Point,
  SHIM,
  STANDALONE,
  thinned,
  type Verb,
} from "./kill-fixture.ts";

const LONG = process.env.PODWIRE_TEST_LONG === "1";
/** Every n-th system call, from another one with each seed; all of them in the long form. */
const turn = LONG ? 0 : Number(process.env.PODWIRE_TEST_SEED ?? 0);
const MOST = LONG ? Number.POSITIVE_INFINITY : 6;

/** Both verbs on one node, each at every n-th of its points. */
async function killAll<P extends Point>(
  t: Test,
  matrix: { points(verb: Verb): Promise<readonly P[]>; kill(verb: Verb, point: P, cleanup: Cleanup): Promise<Killed> },
  cleanups: readonly Cleanup[],
  most = MOST,
): Promise<void> {
  for (const verb of ["ADD", "DEL"] as const) {
    const points = await matrix.points(verb);
    const killed: Killed[] = [];
    const chosen = thinned(points, most, turn);
    const others = points.filter((point) => !chosen.includes(point));
    for (const [i, point] of [...chosen, ...others].entries()) {
      // Two calls do not make the same system calls: the others' turn comes only when none of the chosen was made.
      if (i >= chosen.length && killed.some(({ reached }) => reached)) break;
      killed.push(await matrix.kill(verb, point, cleanups[(i + turn) % cleanups.length] ?? "DEL"));
    }
    for (const each of killed) t.notOk(each.left.length > 0 || each.failure !== undefined, describeKilled(each));
    const reached = killed.filter((each) => each.reached);
    const deep = reached.filter(({ found }) => found.length > 0);
    t.comment(
      `${verb}: ${points.length} points, ${killed.length} tried, ${reached.length} killed, ${deep.length} half-way`,
    );
    t.ok(reached.length > 0, "some calls were killed");
  }
}

t.test(`the standalone plugins killed at system calls: DEL or GC leaves nothing (turn ${turn})`, async (t) => {
  const matrix = await KillMatrix.prepare(await startNode(t), STANDALONE);
  await killAll(t, matrix, ["DEL", "GC"]);
});

t.test(`the shim killed at system calls: DEL or GC leaves nothing (turn ${turn})`, async (t) => {
  const node = await startNode(t);
  await startAgent(node);
  const matrix = await KillMatrix.prepare(node, SHIM);
  await killAll(t, matrix, ["DEL", "GC"]);
});

t.test(`the agent killed at system calls: DEL or GC leaves nothing (turn ${turn})`, async (t) => {
  const matrix = await AgentKillMatrix.prepare(await startNode(t));
  await killAll(t, matrix, CLEANUPS);
});

for (const [type, cleanups, keys, inShort] of [
  ["ptp", ["DEL", "GC"], {}, true],
  ["macvlan", ["DEL"], { master: "eth0" }, false],
  ["tap", ["DEL"], {}, false],
] as const) {
  if (!inShort && !LONG) continue;
  t.test(`${type} killed at system calls: ${cleanups.join(" or ")} leaves nothing (turn ${turn})`, async (t) => {
    const node = await startNode(t);
    await node.sh("ip link add eth0 type veth peer name wire; ip link set eth0 up; ip link set wire up");
    const matrix = await KillMatrix.prepare(node, { ...STANDALONE, keys: { type, ...keys } });
    await killAll(t, matrix, cleanups, LONG ? MOST : 3);
  });
}
