import { parseArgs } from "node:util";
import { createAuthority } from "../test/cluster/harness/certificates.ts";
import { Cluster } from "../test/cluster/harness/cluster.ts";
import type { Daemon } from "../test/netns/harness/exec.ts";
import { BIN, type Node } from "../test/netns/harness/node.ts";
import type { Pod } from "../test/netns/harness/pod.ts";
import { startUnderlay } from "../test/netns/harness/underlay.ts";
import { bench, count, quantile, type Stage, watchMachine } from "./measure.ts";

const { values } = parseArgs({ options: { nodes: { type: "string", default: "3" }, out: { type: "string" } } });
const NODES = count("bench/cluster", "--nodes", values.nodes, 30);

/** Milliseconds from the exec of the agent until each step was done. */
interface Steps {
  /** The agent's own log says so. */
  readonly started: number;
  readonly connected: number;
  readonly lease: number;
  readonly kernel_programmed: number;
  readonly conflist: number;
  /** ADD of the pod has answered; it began when the agent had printed that the conflist is there. */
  readonly added: number;
  /** A pod on another node has answered the new pod's ping. */
  readonly first_ping: number;
}

/** Log messages of the agent by the step that they end. */
const LOGGED = {
  started: "started",
  connected: "connected",
  lease: "lease",
  kernel_programmed: "kernel state changed",
  conflist: "conflist written",
} as const;

/** When the agent first said each message, in milliseconds since 1970. */
function firstSaid({ output }: Daemon): ReadonlyMap<string, number> {
  const said = new Map<string, number>();
  for (const line of output.split("\n").filter((text) => text.startsWith("{"))) {
    const { msg, time } = JSON.parse(line) as { msg: string; time: string };
    if (!said.has(msg)) said.set(msg, Date.parse(time));
  }
  return said;
}

/** What is there before an agent starts: the node, its certificate, and a pod's sandbox with `lo` up. */
interface Newcomer {
  readonly node: Node;
  readonly index: number;
  readonly pod: Pod;
  readonly tls: readonly string[];
}

async function prepare(cluster: Cluster, index: number): Promise<Newcomer> {
  const node = cluster.node(index);
  const pod = await node.pod("first");
  await node.runtime.loopback(pod);
  return { node, index, pod, tls: await cluster.clientTls(node.name) };
}

/** Starts the node's agent, adds a pod as soon as there is a conflist, and pings until the target answers. */
async function join(cluster: Cluster, { node, index, pod, tls }: Newcomer, target: string): Promise<Steps> {
  const start = Date.now();
  const agent = node.spawn([
    `${BIN}/podwire-agent`,
    `--controller=${cluster.endpoint}`,
    `--node-name=${node.name}`,
    "--rehearse=250", // as it comes
    ...tls,
  ]);
  await agent.prints(/"msg":"conflist written"/);
  const called = await node.runtime.add(cluster.conflist(index), pod);
  if (called.code !== 0) throw new Error(`ADD on ${node.name}: ${called.stdout}${called.stderr}`);
  const added = Date.now() - start;
  // With a deadline, -c counts answers: it sends every 10 ms until the first comes.
  await pod.runOk(["ping", "-n", "-q", "-i", "0.01", "-c", "1", "-w", "20", target]);
  const firstPing = Date.now() - start;
  await agent.prints(/"msg":"rehearsed"/); // all nodes are on one machine here: the next must not start meanwhile

  const said = firstSaid(agent);
  const at = (step: keyof typeof LOGGED): number => {
    const time = said.get(LOGGED[step]);
    if (time === undefined) throw new Error(`${node.name} did not log "${LOGGED[step]}":\n${agent.output}`);
    return time - start;
  };
  return {
    started: at("started"),
    connected: at("connected"),
    lease: at("lease"),
    kernel_programmed: at("kernel_programmed"),
    conflist: at("conflist"),
    added,
    first_ping: firstPing,
  };
}

/** A controller, and one node with a pod that the others can ping. */
async function startSeed(stage: Stage): Promise<{ readonly cluster: Cluster; readonly target: string }> {
  const underlay = await startUnderlay(stage, NODES + 1);
  const cluster = new Cluster(underlay, await createAuthority(stage), { nodes: NODES + 1 });
  await cluster.startController();
  await (await cluster.startAgent(0)).prints(/"msg":"conflist written"/);
  const [target] = (await cluster.addPod(0, "target")).addresses;
  if (target === undefined) throw new Error("the first node's pod has no address");
  return { cluster, target };
}

type Way = "one after another" | "all at once";

async function measure(stage: Stage, way: Way): Promise<object> {
  console.error(`${way}: a controller and ${NODES + 1} nodes`);
  const { cluster, target } = await startSeed(stage);
  const newcomers: Newcomer[] = [];
  for (let index = 1; index <= NODES; index++) newcomers.push(await prepare(cluster, index));
  const steps: Steps[] = [];
  if (way === "all at once") steps.push(...(await Promise.all(newcomers.map((each) => join(cluster, each, target)))));
  else for (const each of newcomers) steps.push(await join(cluster, each, target));
  for (const node of [...cluster.nodes, cluster.underlay.hub]) await node.stop();
  const names = Object.keys(steps[0] ?? {}) as (keyof Steps)[];
  return {
    start: way,
    nodes: steps.length,
    since_exec_ms: Object.fromEntries(names.map((name) => [name, quantile(steps.map((each) => each[name]))])),
    first_ping_range_ms: [0, 1].map((q) =>
      quantile(
        steps.map((each) => each.first_ping),
        q,
      ),
    ),
  };
}

await bench(values.out, async (stage) => {
  const machine = watchMachine();
  const cases = [await measure(stage, "one after another"), await measure(stage, "all at once")];
  return { bench: "cluster", cases, peer: null, peer_note: "flannel is not in Debian", machine: machine() };
});
