import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { bench, count, watchMachine } from "./measure.ts";
import { measureCut } from "./overlay/cut.ts";

const { values } = parseArgs({
  options: {
    removals: { type: "string", default: "50" },
    peers: { type: "string", default: "60,1000" },
    out: { type: "string" },
  },
});
const REMOVALS = count("bench/cut", "--removals", values.removals, 10_000);
const PEERS = values.peers.split(",").map((text) => count("bench/cut", "--peers", text, 20_000));

await bench(values.out, async (stage) => {
  const machine = watchMachine();
  const cases = [];
  for (const peers of PEERS) cases.push(await measureCut(stage, peers, REMOVALS));
  const result = { bench: "cut", cases, goal_ms: 1000, peer: null, machine: machine() };
  const table = [
    "# A removed peer is cut",
    "",
    `Milliseconds from the call that releases a node's subnet until the last of three other nodes' kernels has told that the node's addresses are gone from the guard's sets, IPv4 and IPv6. Measured ${result.machine.date}, load ${result.machine.load.join(" → ")}.`,
    "",
    "| peers | removals | median | p99 | worst | until committed: median | worst |",
    "| --- | --- | --- | --- | --- | --- | --- |",
    ...cases.map(
      ({ peers, removals, cut_ms, commit_ms }) =>
        `| ${[peers, removals, cut_ms.median, cut_ms.p99, cut_ms.worst, commit_ms.median, commit_ms.worst].join(" | ")} |`,
    ),
    "",
  ].join("\n");
  console.error(table);
  if (values.out !== undefined) writeFileSync(values.out.replace(/\.json$/, ".md"), table);
  return result;
});
