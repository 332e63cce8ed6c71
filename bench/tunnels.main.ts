import { spawn } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { bench, type Stage, watchMachine } from "./measure.ts";
import { measureJoin } from "./overlay/join.ts";
import { measureObjects } from "./overlay/objects.ts";
import { type KernelResult, type Report, table } from "./overlay/table.ts";
import { measureTraffic } from "./overlay/traffic.ts";

const SECTIONS = ["traffic", "objects", "join"] as const;

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    only: { type: "string", default: SECTIONS.join() },
    kernel: { type: "string", default: existsSync(".cache/guest/linux") ? "uml" : "none" },
    guest: { type: "boolean", default: false }, // set by ourselves, in the guest
    out: { type: "string" },
  },
});
const only = values.only.split(",");
const size = values.quick
  ? { rounds: 3, peers: 1000, applies: 3, joined: 100, joins: 5 }
  : { rounds: values.guest ? 9 : 15, peers: 5000, applies: 9, joined: 1000, joins: 30 };

/** What is measured on this machine's kernel and in the guest alike; objects only of kinds that the other has not. */
async function onKernel(stage: Stage): Promise<KernelResult> {
  const machine = watchMachine();
  const traffic = only.includes("traffic") ? await measureTraffic(stage, size.rounds) : undefined;
  const backends = values.guest
    ? [{ type: "gre", mode: "flow" }]
    : [
        { type: "vxlan", mode: "flow" },
        { type: "vxlan", mode: "static" },
      ];
  const objects = [];
  if (only.includes("objects")) {
    for (const backend of backends) objects.push(await measureObjects(stage, backend, size.peers, size.applies));
  }
  return { where: values.guest ? "guest" : "machine", traffic, objects, machine: machine() };
}

/** The same program in a guest. Its stderr is ours, its stdout the result. */
async function inGuest(): Promise<KernelResult> {
  const argv = ["--kernel", values.kernel, "--memory", "3072", "--", process.execPath, "--import=tsx"];
  const flags = ["--guest", `--only=${values.only}`, ...(values.quick ? ["--quick"] : [])];
  const child = spawn("hack/guest", [...argv, "bench/tunnels.main.ts", ...flags], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  for await (const chunk of child.stdout.setEncoding("utf8")) text += chunk;
  const [last = ""] = text.trim().split("\n").slice(-1);
  if (last === "") throw new Error("the guest gave no result; it says why above");
  return JSON.parse(last);
}

await bench(values.out, async (stage) => {
  if (values.guest) return onKernel(stage);
  const kernels = [await onKernel(stage)];
  const join = [];
  if (only.includes("join")) {
    for (const mode of ["flow", "static"] as const) join.push(await measureJoin(stage, mode, size.joined, size.joins));
  }
  if (values.kernel !== "none" && (only.includes("traffic") || only.includes("objects"))) kernels.push(await inGuest());
  const report: Report = { bench: "tunnels", kernels, join };
  const text = table(report);
  console.error(`\n${text}`);
  if (values.out !== undefined) writeFileSync(values.out.replace(/(\.json)?$/, ".md"), text);
  return report;
});
