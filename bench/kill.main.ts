import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { parseArgs } from "node:util";
import { type Node, startNode } from "../test/netns/harness/node.ts";
import { AgentKillMatrix, startAgent } from "../test/netns/kill-agent-fixture.ts";
import {
  CLEANUPS,
  type Cleanup,
  type Killed,
  KillMatrix,
  PEER,
  type Point,
  SHIM,
  STANDALONE,
  thinned,
  type Verb,
} from "../test/netns/kill-fixture.ts";
import { bench, count, type Machine, type Stage, watchMachine } from "./measure.ts";

const { values } = parseArgs({
  options: { points: { type: "string", default: "100000" }, out: { type: "string" } },
});
const MOST = count("bench/kill", "--points", values.points, 100_000);

interface Matrix {
  points(verb: Verb): Promise<readonly Point[]>;
  kill(verb: Verb, point: Point, cleanup: Cleanup): Promise<Killed>;
}

/** Who is killed, and what may follow. */
interface Contest {
  readonly who: string;
  readonly cleanups: readonly Cleanup[];
  readonly prepare: (node: Node) => Promise<Matrix>;
}

const CONTESTS: readonly Contest[] = [
  { who: "Go plugins 1.1.1", cleanups: ["DEL"], prepare: (node) => KillMatrix.prepare(node, PEER) },
  { who: "podwire, standalone", cleanups: ["DEL", "GC"], prepare: (node) => KillMatrix.prepare(node, STANDALONE) },
  {
    who: "podwire, the shim",
    cleanups: ["DEL", "GC"],
    prepare: async (node) => {
      await startAgent(node);
      return await KillMatrix.prepare(node, SHIM);
    },
  },
  { who: "podwire, the agent", cleanups: CLEANUPS, prepare: (node) => AgentKillMatrix.prepare(node) },
];

/** One line of the table. */
interface Row {
  readonly who: string;
  readonly verb: Verb;
  /** Kinds of system calls by the so-manieth time, in a trace of one call. */
  readonly points: number;
  readonly tried: number;
  /** Calls that were killed; the others ended before they came to the point. */
  readonly killed: number;
  /** Of them, those where something differed from before when the call was dead. */
  readonly halfway: number;
  /** Cleanups that answered with an error. */
  readonly failed: number;
  /** Where something was left, or something else gone, after the cleanup. */
  readonly leaking: number;
  /** How often each kind of thing was left. */
  readonly left: Readonly<Record<string, number>>;
  readonly examples: readonly string[];
}

async function contest(stage: Stage, { who, cleanups, prepare }: Contest): Promise<readonly Row[]> {
  const node = await startNode(stage);
  const matrix = await prepare(node);
  const rows: Row[] = [];
  for (const verb of ["ADD", "DEL"] as const) {
    const points = await matrix.points(verb);
    const some = thinned(points, MOST);
    console.error(`bench/kill: ${who}: ${verb} at ${some.length} of ${points.length} points`);
    const killed: Killed[] = [];
    for (const [i, point] of some.entries()) {
      killed.push(await matrix.kill(verb, point, cleanups[i % cleanups.length] ?? "DEL"));
      if (i % 50 === 49) console.error(`bench/kill: ${who}: ${verb}, ${i + 1} of ${some.length}`);
    }
    rows.push(rowOf(who, verb, points.length, killed));
  }
  await node.stop();
  return rows;
}

function rowOf(who: string, verb: Verb, points: number, killed: readonly Killed[]): Row {
  const leaking = killed.filter(({ left }) => left.length > 0);
  const left: Record<string, number> = {};
  for (const line of leaking.flatMap((each) => each.left)) {
    const kind = line.startsWith("gone: ") ? "gone" : (line.split(" ")[0] ?? "");
    left[kind] = (left[kind] ?? 0) + 1;
  }
  return {
    who,
    verb,
    points,
    tried: killed.length,
    killed: killed.filter(({ reached }) => reached).length,
    halfway: killed.filter(({ reached, found }) => reached && found.length > 0).length,
    failed: killed.filter(({ failure }) => failure !== undefined).length,
    leaking: leaking.length,
    left,
    examples: leaking.slice(0, 3).map(({ point, cleanup, left }) => {
      return `${point.call} ${point.ordinal}, then ${cleanup}: ${left.slice(0, 3).join("; ")}`;
    }),
  };
}

function markdown(rows: readonly Row[], { date, kernel, cores, load }: Machine): string {
  const head = [
    "who is killed",
    "in",
    "points",
    "tried",
    "killed",
    "half-way",
    "cleanup failed",
    "left something",
    "what",
  ];
  const lines = rows.map(({ who, verb, points, tried, killed, halfway, failed, leaking, left }) => {
    const what = Object.entries(left).map(([kind, times]) => `${kind} ${times}`);
    return [who, verb, points, tried, killed, halfway, failed, leaking, what.join(", ") || "–"];
  });
  const examples = rows.flatMap(({ who, verb, examples }) => examples.map((text) => `- ${who}, ${verb}: ${text}`));
  return `# bench/kill

${date.slice(0, 16).replace("T", " ")} UTC, kernel ${kernel}, ${cores} cores, load ${load.join(" to ")}.
A call is killed (SIGKILL, by strace's fault injection) when it enters a system call, then one DEL or GC that nobody disturbs
follows. What was not there before is counted: links, addresses, routes, rules, nft lines, files, sockets. How: bench/README.md.

${[head, head.map(() => "---"), ...lines].map((cells) => `| ${cells.join(" | ")} |`).join("\n")}
${examples.length === 0 ? "" : `\nSome of what was left:\n\n${examples.join("\n")}\n`}`;
}

await bench(values.out, async (stage) => {
  const machine = watchMachine();
  const rows: Row[] = [];
  for (const each of CONTESTS) rows.push(...(await contest(stage, each)));
  const on = machine();
  const text = markdown(rows, on);
  process.stderr.write(`\n${text}\n`);
  if (values.out !== undefined) {
    mkdirSync(dirname(values.out), { recursive: true });
    writeFileSync(values.out.replace(/(\.json)?$/, ".md"), text);
  }
  return { bench: "kill", rows, machine: on };
});
