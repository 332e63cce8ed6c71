import { parseArgs } from "node:util";
import { BACKEND_TYPES } from "../backends/backend.ts";
import { availableBackends } from "../dataplane/backends.ts";
import { type Cluster, startCluster, type WiredPod } from "../test/cluster/harness/cluster.ts";
import { installSwitches } from "../test/cluster/harness/open-vswitch.ts";
import type { Owner } from "../test/netns/harness/node.ts";

const { values } = parseArgs({
  options: {
    nodes: { type: "string", default: "3" },
    pods: { type: "string", default: "2" },
    store: { type: "string", default: "embedded" },
    backend: { type: "string", default: "vxlan" },
    mode: { type: "string", default: "" },
    tunnel: { type: "string", default: "" },
    ipv6: { type: "boolean", default: false },
    keep: { type: "boolean", default: false },
  },
});

function count(flag: string, text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1 && value <= 50) return value;
  console.error(`hack/demo: ${flag} ${text}: a number from 1 to 50 is needed`);
  process.exit(2);
}

const nodeCount = count("--nodes", values.nodes);
const podCount = count("--pods", values.pods);
if (values.store !== "embedded" && values.store !== "etcd") {
  console.error(`hack/demo: --store ${values.store}: embedded or etcd`);
  process.exit(2);
}

/** The backend as the controller's flags say it. Ends the program where this kernel cannot do it. */
function backendFlags(): string[] {
  const { backend, mode, tunnel } = values;
  if (!BACKEND_TYPES.includes(backend)) {
    console.error(`hack/demo: --backend ${backend}: ${BACKEND_TYPES.join(", ")}`);
    process.exit(2);
  }
  const able = availableBackends();
  const same = (name: string) => name === backend || name.startsWith(`${backend}/`);
  if (backend !== "ovs" && !able.some(same)) {
    const again = process.argv.slice(2).join(" ");
    console.error(`hack/demo: --backend ${backend}: this machine's kernel cannot do it; it can do ${able.join(", ")}.
On a full kernel: hack/guest hack/demo ${again}`);
    process.exit(3);
  }
  return [
    `--network-backend=${backend}`,
    ...(mode === "" ? [] : [`--network-mode=${mode}`]),
    ...(tunnel === "" ? [] : [`--network-tunnel=${tunnel}`]),
  ];
}

/** Cleans up in reverse order, whatever ends the demo. */
class Stage implements Owner {
  readonly #work: (() => Promise<void> | void)[] = [];
  teardown(work: () => Promise<void> | void): void {
    this.#work.unshift(work);
  }
  async clear(): Promise<void> {
    for (const work of this.#work.splice(0)) await work();
  }
}

/** One round trip of every ordered pair, v6 too where pods have it; undefined: no answer. */
async function pingMatrix(pods: readonly WiredPod[]): Promise<(number | undefined)[][]> {
  const rows: (number | undefined)[][] = [];
  for (const from of pods) {
    const row: (number | undefined)[] = [];
    for (const to of pods) {
      const times: (number | undefined)[] = [];
      for (const address of to.addresses) times.push(await from.pod.ping(address));
      row.push(times.includes(undefined) ? undefined : Math.max(...times.map(Number)));
    }
    rows.push(row);
  }
  return rows;
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]?.map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0))) ?? [];
  return rows
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join("   ")
        .trimEnd(),
    )
    .join("\n");
}

async function show(cluster: Cluster): Promise<void> {
  for (const resource of ["networks", "nodes", "subnets", "pods"]) {
    const { stdout, stderr } = await cluster.cnictl("get", resource);
    console.log(`\n$ cnictl get ${resource}\n${stdout}${stderr}`.trimEnd());
  }
}

async function main(stage: Stage): Promise<number> {
  const flags = backendFlags();
  const started = Date.now();
  const progress = (line: string) => console.log(`[${((Date.now() - started) / 1000).toFixed(1)} s] ${line}`);
  const cidrs = values.ipv6 ? "10.244.0.0/16,fd00:10:244::/56" : "10.244.0.0/16";
  const cluster = await startCluster(stage, {
    nodes: nodeCount,
    store: values.store as "embedded" | "etcd",
    controllerFlags: [`--network-cidr=${cidrs}`, ...flags],
    ...(values.backend === "ovs" && { prepare: async (underlay) => void (await installSwitches(underlay)) }),
    progress,
  });
  const pods: WiredPod[] = [];
  for (const [index] of cluster.nodes.entries()) {
    for (let i = 0; i < podCount; i++)
      pods.push(await cluster.addPod(index, `pod-${index + 1}${String.fromCharCode(97 + i)}`));
  }
  progress(`${pods.length} pods added by executing the plugins of ${cluster.conflist(0).name}'s conflist`);
  const matrix = await pingMatrix(pods);
  progress(`${pods.length * pods.length} pairs pinged`);
  await show(cluster);

  console.log("\nround trips in milliseconds, from row to column:");
  const header = ["", ...pods.map(({ pod }) => pod.name)];
  const lines = matrix.map((row, i) => [pods[i]?.pod.name ?? "", ...row.map((time) => time?.toFixed(2) ?? "FAILED")]);
  console.log(table([header, ...lines]));

  const failed = matrix.flat().filter((time) => time === undefined).length;
  if (failed > 0) {
    console.log(`\n${failed} of ${pods.length ** 2} pings were not answered. What the first node has:`);
    console.log((await cluster.node(0).runOk(["ip", "route"])) + cluster.agents[0]?.output);
  } else {
    console.log(`\nEvery pod reaches every pod.`);
  }
  if (values.keep) await keep(cluster);
  return failed === 0 ? 0 : 1;
}

async function keep(cluster: Cluster): Promise<void> {
  const [first] = cluster.nodes;
  console.log(
    `\nIt goes on running. In another terminal, as root:\n\n  alias cnictl='${await cluster.cnictlCommand()}'\n  cnictl get nodes\n`,
  );
  if (first !== undefined) console.log(`A shell on ${first.name}:\n\n  ${first.enter.join(" ")} bash\n`);
  console.log("Ctrl-C ends it.");
  await new Promise((resolve) => process.once("SIGINT", resolve).once("SIGTERM", resolve));
}

const stage = new Stage();
let status = 1;
try {
  status = await main(stage);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
} finally {
  await stage.clear();
}
process.exit(status);
