import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { runOk } from "../test/netns/harness/exec.ts";
import { BIN, type Node, startNode } from "../test/netns/harness/node.ts";
import type { Pod } from "../test/netns/harness/pod.ts";
import { bench, count, quantile, round, type Stage, watchMachine } from "./measure.ts";

const { values } = parseArgs({
  options: {
    pods: { type: "string", default: "100" },
    bin: { type: "string", default: BIN },
    out: { type: "string" },
  },
});
const PODS = count("bench/attach", "--pods", values.pods, 1000);
const OURS = resolve(values.bin);
const PEER = "/usr/lib/cni";
const PEER_PACKAGE = "containernetworking-plugins";
/** Pods that are attached and detached before anything counts: the bridge is made, the files are in the page cache. */
const WARM_UP = 3;
/** Further pods, whose calls are made under time(1) for what they use; wrapping the timed calls would change them. */
const USAGE_RUNS = 15;
/** bash's `time` for milliseconds of CPU, time(1) for ru_maxrss in KiB; the plugin keeps its own stderr. */
const USAGE = `TIMEFORMAT="%U %S"; { time /usr/bin/time -f %M -o /run/peak "$0" 2>&3; } 3>&2 2>/run/cpu`;

type Verb = "ADD" | "DEL";
type Side = "ours" | "peer";
const SIDES = ["ours", "peer"] as const;
/** Beside both sides, through the same path: a program that does nothing, and Node.js doing nothing. */
type Timed = Side | "launch" | "node";
type Samples = Record<Timed, number[]>;

/** One side's node: each has a namespace of its own, so that neither meets the other's rules. */
interface Stand {
  readonly node: Node;
  readonly bin: string;
  readonly conf: object;
  readonly pods: readonly Pod[];
  /** The results of ADD by container ID: a runtime passes them to DEL. */
  readonly results: Map<string, object>;
}

interface Call {
  readonly milliseconds: number;
  readonly code: number | null;
  readonly stdout: string;
}

/** Executes a program inside the node and waits until it has ended and its stdout is closed, as libcni waits. */
async function execute(
  node: Node,
  argv: readonly string[],
  input = "",
  env: Record<string, string> = {},
): Promise<Call> {
  const [command = "", ...args] = [...node.enter, ...argv];
  const start = performance.now();
  const child = spawn(command, args, {
    env: { PATH: process.env.PATH ?? "", ...env },
    stdio: ["pipe", "pipe", "inherit"],
  });
  let stdout = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stdin.on("error", () => {}); // `true` ends without reading
  child.stdin.end(input);
  const [code] = (await once(child, "close")) as [number | null];
  return { milliseconds: performance.now() - start, code, stdout };
}

/** One call of the bridge plugin. @throws Error with its answer when it fails */
async function call(stand: Stand, verb: Verb, pod: Pod, wrapper: readonly string[] = []): Promise<number> {
  const prevResult = verb === "DEL" ? stand.results.get(pod.containerId) : undefined;
  const input = JSON.stringify({ ...stand.conf, ...(prevResult === undefined ? {} : { prevResult }) });
  const { milliseconds, code, stdout } = await execute(stand.node, [...wrapper, `${stand.bin}/bridge`], input, {
    CNI_COMMAND: verb,
    CNI_CONTAINERID: pod.containerId,
    CNI_NETNS: pod.netns,
    CNI_IFNAME: "eth0",
    CNI_PATH: stand.bin,
  });
  if (code !== 0) throw new Error(`${verb} of ${pod.name} by ${stand.bin}/bridge: exit ${code}: ${stdout}`);
  if (verb === "ADD") stand.results.set(pod.containerId, JSON.parse(stdout));
  return milliseconds;
}

async function prepare(stage: Stage, side: Side, ipMasq: boolean): Promise<Stand> {
  const node = await startNode(stage, side);
  const names = Array.from({ length: PODS + WARM_UP + USAGE_RUNS }, (_, i) => `pod-${i}`);
  const pods: Pod[] = [];
  for (const name of names) pods.push(await node.pod(name));
  const conf = {
    cniVersion: "1.0.0",
    name: "bench",
    type: "bridge",
    bridge: "bench0",
    isGateway: true,
    ipMasq,
    ipam: { type: "host-local", ranges: [[{ subnet: "10.22.0.0/16" }]], routes: [{ dst: "0.0.0.0/0" }] },
  };
  return { node, bin: side === "ours" ? OURS : PEER, conf, pods, results: new Map() };
}

/** Pod by pod: both sides and both empty programs, who comes first changing from pod to pod. */
async function time(stands: Record<Side, Stand>, verb: Verb, from: number): Promise<Samples> {
  const samples: Samples = { ours: [], peer: [], launch: [], node: [] };
  for (let i = from; i < from + PODS; i++) {
    const turns: readonly Timed[] =
      i % 2 === 0 ? ["launch", "ours", "node", "peer"] : ["node", "peer", "launch", "ours"];
    for (const turn of turns) samples[turn].push(await sample(stands, turn, verb, i));
  }
  return samples;
}

async function sample(stands: Record<Side, Stand>, turn: Timed, verb: Verb, index: number): Promise<number> {
  if (turn === "launch") return (await execute(stands.peer.node, ["true"])).milliseconds;
  if (turn === "node") return (await execute(stands.ours.node, ["node", "-e", ""])).milliseconds;
  return await call(stands[turn], verb, podAt(stands[turn], index));
}

function podAt({ pods }: Stand, index: number): Pod {
  const pod = pods[index];
  if (pod === undefined) throw new Error(`no pod ${index}`);
  return pod;
}

/** Medians of what one call uses, its children included. */
interface Usage {
  /** User and system time of all its processes, which a busy machine stretches less than the time that passes. */
  readonly cpu: number;
  /** Peak resident memory of its largest process (ru_maxrss) in MiB. */
  readonly peak: number;
}

async function usage(stand: Stand, verb: Verb, from: number): Promise<Usage> {
  const [cpu, peak]: [number[], number[]] = [[], []];
  const read = (name: string) => readFileSync(stand.node.path(`/run/${name}`), "utf8").trim();
  for (let i = from; i < from + USAGE_RUNS; i++) {
    await call(stand, verb, podAt(stand, i), ["bash", "--norc", "-c", USAGE]);
    cpu.push(
      1000 *
        read("cpu")
          .split(" ")
          .map(Number)
          .reduce((sum, part) => sum + part, 0),
    );
    peak.push(Number(read("peak")) / 1024);
  }
  return { cpu: quantile(cpu), peak: quantile(peak) };
}

/** What a side left on the node after as many DELs as ADDs: a fast DEL that forgets half is no DEL. */
async function leftovers({ node }: Stand): Promise<string> {
  const links = await node.sh("ip -o link show type veth");
  const reservations = await node.sh("find /var/lib/cni/networks/bench -name '10.*'");
  return `${links}${reservations}`.trim();
}

async function measure(stage: Stage, ipMasq: boolean): Promise<object[]> {
  console.error(`ipMasq ${ipMasq}: making ${2 * (PODS + WARM_UP + USAGE_RUNS)} pod namespaces`);
  const stands = { ours: await prepare(stage, "ours", ipMasq), peer: await prepare(stage, "peer", ipMasq) };
  for (const verb of ["ADD", "DEL"] as const) {
    for (const side of SIDES) {
      for (let i = 0; i < WARM_UP; i++) await call(stands[side], verb, podAt(stands[side], i));
    }
  }
  const rows: object[] = [];
  for (const verb of ["ADD", "DEL"] as const) {
    console.error(`ipMasq ${ipMasq}: ${verb} of ${PODS} pods`);
    const samples = await time(stands, verb, WARM_UP);
    const used = {
      ours: await usage(stands.ours, verb, WARM_UP + PODS),
      peer: await usage(stands.peer, verb, WARM_UP + PODS),
    };
    rows.push(row(verb, ipMasq, samples, used));
  }
  for (const side of SIDES) {
    const left = await leftovers(stands[side]);
    if (left !== "") throw new Error(`${side} left behind:\n${left}`);
    await stands[side].node.stop();
  }
  return rows;
}

/** Gross: from spawn to exit. Net: without what an empty program costs through the same path. */
function row(verb: Verb, ipMasq: boolean, samples: Samples, used: Record<Side, Usage>): object {
  const [ours, peer, launch] = [quantile(samples.ours), quantile(samples.peer), quantile(samples.launch)];
  return {
    verb,
    ipMasq,
    runs: samples.ours.length,
    ours_ms: ours,
    peer_ms: peer,
    ratio: round(ours / peer),
    launch_ms: launch,
    ours_net_ms: round(ours - launch),
    peer_net_ms: round(peer - launch),
    ratio_net: round((ours - launch) / (peer - launch)),
    empty_node_net_ms: round(quantile(samples.node) - launch),
    ours_p90_ms: quantile(samples.ours, 0.9),
    peer_p90_ms: quantile(samples.peer, 0.9),
    ours_cpu_ms: used.ours.cpu,
    peer_cpu_ms: used.peer.cpu,
    ours_peak_mib: used.ours.peak,
    peer_peak_mib: used.peer.peak,
  };
}

await bench(values.out, async (stage) => {
  const machine = watchMachine();
  const version = (await runOk(["dpkg-query", "-W", PEER_PACKAGE])).split("\t")[1]?.trim();
  const iptables = (await runOk(["iptables", "--version"])).trim();
  const cases = [...(await measure(stage, false)), ...(await measure(stage, true))];
  return { bench: "attach", cases, peer: { package: PEER_PACKAGE, version, iptables }, machine: machine() };
});
