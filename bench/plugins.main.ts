import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { parseArgs } from "node:util";
import { runOk } from "../test/netns/harness/exec.ts";
import type { Node } from "../test/netns/harness/node.ts";
import { startUnderlay } from "../test/netns/harness/underlay.ts";
import { Agent } from "./calls/agent.ts";
import { Launcher } from "./calls/launcher.ts";
import { measurePlugin, obstacle, PLUGINS } from "./calls/plugins.ts";
import { contents, DEFAULT_BIN, makeStand } from "./calls/stand.ts";
import { type Row, ratioRow, shown, tableOf } from "./calls/table.ts";
import { bench, count, type Machine, type Stage, watchMachine } from "./measure.ts";

const { values } = parseArgs({
  options: {
    calls: { type: "string", default: "100" },
    only: { type: "string", default: Object.keys(PLUGINS).join(",") },
    bin: { type: "string", default: DEFAULT_BIN },
    out: { type: "string" },
    agent: { type: "boolean", default: true },
  },
  allowNegative: true,
});
const CALLS = count("bench/plugins", "--calls", values.calls, 1000);
const PODS = 50;
const PEER_PACKAGE = "containernetworking-plugins";
const WHAT = "ms a call, whole process, medians";

interface Report {
  readonly calls: number;
  readonly agent: boolean;
  readonly rows: readonly Row[];
  /** Plugins that were not measured, and why. */
  readonly left: Readonly<Record<string, string>>;
  readonly peer: object;
  readonly machine: Machine;
}

function chosen(): readonly string[] {
  const names = values.only.split(",");
  const wrong = names.find((name) => PLUGINS[name] === undefined);
  if (wrong === undefined) return names;
  console.error(`bench/plugins: --only ${wrong}: there are ${Object.keys(PLUGINS).join(", ")}`);
  process.exit(2);
}

async function measure(stage: Stage): Promise<Report> {
  const machine = watchMachine();
  const version = (await runOk(["dpkg-query", "-W", PEER_PACKAGE])).split("\t")[1]?.trim();
  const iptables = (await runOk(["iptables", "--version"])).trim();
  const names = chosen();
  const launcher = await Launcher.make(stage);
  const { nodes } = await startUnderlay(stage, 2);
  const [ours, peer] = nodes as [Node, Node];
  const bin = resolve(values.bin);
  const pods = Math.min(CALLS, PODS);
  const stands = [await makeStand("ours", ours, bin, pods), await makeStand("peer", peer, bin, pods)] as const;
  if (values.agent) await Agent.start(ours, bin);
  const rows: Row[] = [];
  const left: Record<string, string> = {};
  for (const name of names) {
    const reason = await obstacle(name, stands);
    console.error(`bench/plugins: ${name}${reason === undefined ? "" : `: ${reason}`}`);
    if (reason !== undefined) {
      left[name] = reason;
      continue;
    }
    const { ADD, DEL } = await measurePlugin(launcher, stands, name, CALLS);
    rows.push(
      ratioRow(`${name} ADD`, 1, ADD.ours, ADD.peer, WHAT),
      ratioRow(`${name} DEL`, 1, DEL.ours, DEL.peer, WHAT),
    );
    for (const stand of stands) {
      const forgotten = await contents(stand);
      if (forgotten !== "") throw new Error(`${name}: ${stand.side} left behind:\n${forgotten}`);
    }
  }
  return {
    calls: CALLS,
    agent: values.agent,
    rows,
    left,
    peer: { package: PEER_PACKAGE, version, iptables },
    machine: machine(),
  };
}

function markdown({ calls, agent, rows, left, peer, machine }: Report): string {
  const [before, after] = machine.load;
  const head = `# bench/plugins

${machine.date.slice(0, 16).replace("T", " ")} UTC, kernel ${machine.kernel}, ${machine.cores} cores (${machine.cpu}), Node.js ${machine.node}.
One-minute load ${before} before and ${after} after; above ${machine.cores}, others kept the machine busy.
Medians of ${calls} calls of each side, the sides interleaved call by call, ours ${agent ? "by way of the agent" : "without an agent"}; peer: ${Object.values(peer).join(", ")}.
How it is measured: bench/README.md.
`;
  const cells = rows.map(({ work, ours, peer, measured, quick }) => [
    work,
    ...[ours, peer, measured, quick].map(shown),
  ]);
  const columns = ["call", "ours, ms", "peer, ms", "ours ÷ peer", "of the quickest tenth"];
  const unmeasured = Object.entries(left).map(([name, reason]) => `- ${name}: ${reason}`);
  const rest = unmeasured.length === 0 ? [] : [`\nNot measured:\n\n${unmeasured.join("\n")}`];
  return `${[head, tableOf(columns, cells), ...rest].join("\n")}\n`;
}

await bench(values.out, async (stage) => {
  const report = await measure(stage);
  const text = markdown(report);
  process.stderr.write(`\n${text}\n`);
  if (values.out !== undefined) {
    mkdirSync(dirname(values.out), { recursive: true });
    writeFileSync(values.out.replace(/(\.json)?$/, ".md"), text);
  }
  return { bench: "plugins", ...report };
});
