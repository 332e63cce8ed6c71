import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { BREAKAGES, overlayState, seeded } from "../test/cluster/harness/breakage.ts";
import { startCluster } from "../test/cluster/harness/cluster.ts";
import { eventually } from "../test/netns/harness/eventually.ts";
import { bench, count, quantile, type Stage, watchMachine } from "./measure.ts";

const { values } = parseArgs({ options: { removals: { type: "string", default: "200" }, out: { type: "string" } } });
const REMOVALS = count("bench/healing", "--removals", values.removals, 100_000);
/** So long that only the kernel's own notifications can make the agent look again. */
const NO_RESYNC = "--resync-interval=3600";

/** Milliseconds from the start of the command that broke something until a look had found all as before, by kind. */
type Times = Map<string, number[]>;

async function breakAndWait(stage: Stage, mode: string, removals: number, times: Times): Promise<void> {
  const controllerFlags = ["--network-cidr=10.244.0.0/16,fd00:10:244::/56", `--network-mode=${mode}`];
  const cluster = await startCluster(stage, { nodes: 3, controllerFlags, agentFlags: [NO_RESYNC] });
  const node = cluster.node(0);
  await cluster.addPod(0, "pod");
  const whole = await overlayState(node);
  const pick = seeded(removals);
  const kinds = Object.entries(BREAKAGES);
  for (let done = 0, next = 0; done < removals; next++) {
    const [kind, breakage] = kinds[next % kinds.length] ?? [];
    const command = await breakage?.(node, pick);
    if (kind === undefined || command === undefined) continue;
    const start = performance.now();
    await node.sh(command);
    let end = start;
    await eventually(async () => {
      const found = await overlayState(node);
      end = performance.now();
      return found === whole;
    }, `${kind}: ${command}`);
    times.set(kind, [...(times.get(kind) ?? []), end - start]);
    done++;
  }
  for (const each of [...cluster.nodes, cluster.underlay.hub]) await each.stop();
}

function row(all: readonly number[]) {
  return { removals: all.length, median_ms: quantile(all), p99_ms: quantile(all, 0.99), worst_ms: quantile(all, 1) };
}

await bench(values.out, async (stage) => {
  const machine = watchMachine();
  const times: Times = new Map();
  for (const mode of ["static", "flow"]) {
    console.error(`vxlan ${mode}: ${REMOVALS / 2} removals`);
    await breakAndWait(stage, mode, Math.ceil(REMOVALS / 2), times);
  }
  const kinds = Object.fromEntries([...times].map(([kind, all]) => [kind, row(all)]));
  const result = {
    bench: "healing",
    all: row([...times.values()].flat()),
    kinds,
    goal_ms: 1000,
    peer: null,
    machine: machine(),
  };
  const table = [
    "# Healing",
    "",
    `Milliseconds from the start of the command that takes something away until a look at everything has found it whole, which itself takes 50 to 300 ms. Measured ${result.machine.date}, load ${result.machine.load.join(" → ")}.`,
    "",
    "| kind | removals | median | p99 | worst |",
    "| --- | --- | --- | --- | --- |",
    ...[...Object.entries(kinds), ["all", result.all] as const].map(
      ([kind, each]) => `| ${kind} | ${each.removals} | ${each.median_ms} | ${each.p99_ms} | ${each.worst_ms} |`,
    ),
    "",
  ].join("\n");
  console.error(table);
  if (values.out !== undefined) writeFileSync(values.out.replace(/\.json$/, ".md"), table);
  return result;
});
