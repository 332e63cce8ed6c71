import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { parseArgs } from "node:util";
import { runOk } from "../test/netns/harness/exec.ts";
import type { Node } from "../test/netns/harness/node.ts";
import { startUnderlay } from "../test/netns/harness/underlay.ts";
import { Agent, type AgentTimes } from "./calls/agent.ts";
import { Launcher } from "./calls/launcher.ts";
import * as sections from "./calls/sections.ts";
import { contents, DEFAULT_BIN, makeStand, type Stand } from "./calls/stand.ts";
import { markdown, type Report, type Row } from "./calls/table.ts";
import { bench, count, type Stage, watchMachine } from "./measure.ts";

const SECTIONS = {
  plain: sections.plain,
  masq: sections.masqueraded,
  burst: sections.manyAtOnce,
  dual: sections.dualStack,
  resident: sections.resident,
  full: sections.full,
} as const;
type Name = keyof typeof SECTIONS;

const { values } = parseArgs({
  options: {
    pods: { type: "string", default: "200" },
    only: { type: "string", default: Object.keys(SECTIONS).join(",") },
    bin: { type: "string", default: DEFAULT_BIN },
    out: { type: "string" },
    agent: { type: "boolean", default: true },
  },
  allowNegative: true,
});
const RUNS = count("bench/attach", "--pods", values.pods, 1000);
const QUICK = RUNS < 50;
const PEER_PACKAGE = "containernetworking-plugins";

function chosen(): readonly Name[] {
  const names = values.only.split(",");
  const wrong = names.find((name) => !(name in SECTIONS));
  if (wrong === undefined) return names as Name[];
  console.error(`bench/attach: --only ${wrong}: there are ${Object.keys(SECTIONS).join(", ")}`);
  process.exit(2);
}

async function measure(stage: Stage): Promise<Report> {
  const machine = watchMachine();
  const version = (await runOk(["dpkg-query", "-W", PEER_PACKAGE])).split("\t")[1]?.trim();
  const iptables = (await runOk(["iptables", "--version"])).trim();
  const names = chosen();
  const setup = await prepare(stage);
  const found = { rows: [] as Row[], phases: {} as Record<string, AgentTimes>, details: {} as Record<string, unknown> };
  for (const name of names) {
    console.error(`bench/attach: ${name}`);
    const { rows, phases, details } = await SECTIONS[name](setup);
    found.rows.push(...rows);
    Object.assign(found.phases, phases);
    Object.assign(found.details, details);
  }
  for (const stand of Object.values(setup.stands)) await refuseLeftovers(stand);
  return { runs: RUNS, ...found, peer: { package: PEER_PACKAGE, version, iptables }, machine: machine() };
}

async function prepare(stage: Stage): Promise<sections.Bench> {
  const launcher = await Launcher.make(stage);
  const { nodes } = await startUnderlay(stage, 3);
  const [ours, peer, own] = nodes as [Node, Node, Node];
  const resident = QUICK ? RUNS : 250;
  const atOnce = QUICK ? RUNS : 110;
  const most = Math.min(Math.max(RUNS, resident, 8), 250);
  console.error(`bench/attach: making ${3 * most} pod namespaces`);
  const bin = resolve(values.bin);
  const stands = { ours: await makeStand("ours", ours, bin, most), peer: await makeStand("peer", peer, bin, most) };
  const bare = await makeStand("peer", own, bin, most);
  const agent = values.agent ? await Agent.start(ours, bin) : undefined;
  return {
    launcher,
    stands,
    bare,
    agent,
    runs: RUNS,
    rounds: QUICK ? 1 : 7,
    atOnce,
    resident,
    idleSeconds: QUICK ? 2 : 30,
  };
}

/** A fast DEL that forgets half is no DEL. @throws Error that lists what is left of the pods */
async function refuseLeftovers(stand: Stand): Promise<void> {
  const left = await contents(stand);
  if (left !== "") throw new Error(`${stand.side} left behind:\n${left}`);
}

await bench(values.out, async (stage) => {
  const report = await measure(stage);
  const text = markdown(report);
  process.stderr.write(`\n${text}\n`);
  if (values.out !== undefined) {
    mkdirSync(dirname(values.out), { recursive: true });
    writeFileSync(values.out.replace(/(\.json)?$/, ".md"), text);
  }
  return { bench: "attach", ...report };
});
