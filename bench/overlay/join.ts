import { openMonitor, RtnlGroup } from "../../kernel/rtnetlink/monitor.ts";
import { createAuthority } from "../../test/cluster/harness/certificates.ts";
import { Cluster } from "../../test/cluster/harness/cluster.ts";
import { eventually } from "../../test/netns/harness/eventually.ts";
import type { Node } from "../../test/netns/harness/node.ts";
import { startUnderlay } from "../../test/netns/harness/underlay.ts";
import { quantile, type Stage } from "../measure.ts";
import { Sessions } from "./sessions.ts";

const AGENTS = 3;

/** Milliseconds. */
export interface JoinResult {
  readonly backend: string;
  /** Nodes that were there before; all but the agents are sessions without a kernel. */
  readonly nodes: number;
  readonly agents: number;
  /** Nodes that joined one after another; the time from its hello until the last agent's kernel had its route. */
  readonly joins: number;
  readonly join_ms: { readonly median: number; readonly p95: number; readonly most: number };
  /** One more real agent: from its exec until its lease, until its kernel has a route to every other, and all others' to it. */
  readonly newcomer: { readonly lease_ms: number; readonly own_routes_ms: number; readonly others_routes_ms: number };
}

/** When a node's kernel first had a route to each destination, milliseconds since 1970. */
class RouteWatch {
  readonly seen = new Map<string, number>();
  readonly #monitor: Disposable;

  constructor(stage: Stage, node: Node) {
    this.#monitor = openMonitor({
      netns: node.netns,
      groups: [RtnlGroup.ipv4Route],
      onMessages: (events) => {
        const now = performance.timeOrigin + performance.now();
        for (const event of events) {
          if (event.type === "route" && !this.seen.has(event.route.dst)) this.seen.set(event.route.dst, now);
        }
      },
      onOverrun: () => {
        throw new Error(`notifications of ${node.name} were lost`);
      },
    });
    stage.teardown(() => this.close());
  }

  /** It keeps a thread of libuv's few. */
  close(): void {
    this.#monitor[Symbol.dispose]();
  }

  /** When all of them were there; undefined as long as one is missing. */
  sawAll(subnets: readonly string[]): number | undefined {
    const times = subnets.map((subnet) => this.seen.get(subnet));
    return times.every((time) => time !== undefined) ? Math.max(0, ...times) : undefined;
  }
}

export async function measureJoin(
  stage: Stage,
  mode: "flow" | "static",
  before: number,
  joins: number,
): Promise<JoinResult> {
  const underlay = await startUnderlay(stage, AGENTS + 1);
  const controllerFlags = ["--network-cidr=10.128.0.0/9", `--network-mode=${mode}`];
  const cluster = new Cluster(underlay, await createAuthority(stage), { nodes: AGENTS + 1, controllerFlags });
  await cluster.startController();
  const watches = cluster.nodes.map((node) => new RouteWatch(stage, node));
  const [newcomer, others] = [watches[AGENTS], watches.slice(0, AGENTS)];
  for (let i = 0; i < AGENTS; i++) await (await cluster.startAgent(i)).prints(/"msg":"conflist written"/);
  const sessions = new Sessions(stage, cluster, await cluster.clientTls("sessions"));

  console.error(`join: ${before - AGENTS} sessions and ${AGENTS} agents, vxlan ${mode}`);
  await sessions.join(numbers(1, before - AGENTS));
  await everywhere(others, sessions);
  const times: number[] = [];
  for (const node of numbers(before, joins)) {
    const [joined] = await sessions.join([node]);
    if (joined === undefined) throw new Error("nobody joined");
    const seen = await everywhere(others, sessions, [joined.subnet]);
    times.push(seen - joined.hello);
  }
  console.error(`join: ${joins} more, median ${quantile(times)} ms; now one more agent`);

  const start = Date.now();
  const agent = await cluster.startAgent(AGENTS);
  const leased = await agent.prints(/"time":"([^"]+)"[^\n]*"msg":"lease"[^\n]*/);
  const own = await everywhere(newcomer ? [newcomer] : [], sessions);
  const subnet = /(\d+\.\d+\.\d+\.0\/24)/.exec(leased[0])?.[1] ?? "";
  const theirs = await everywhere(others, sessions, [subnet]);
  sessions.stop();
  for (const watch of watches) watch.close();
  for (const node of [...cluster.nodes, underlay.hub]) await node.stop();
  return {
    backend: `vxlan ${mode}`,
    nodes: before,
    agents: AGENTS,
    joins,
    join_ms: { median: quantile(times), p95: quantile(times, 0.95), most: quantile(times, 1) },
    newcomer: {
      lease_ms: Date.parse(leased[1] ?? "") - start,
      own_routes_ms: Math.round(own - start),
      others_routes_ms: Math.round(theirs - start),
    },
  };
}

/** Waits until each of the kernels has routes to the subnets, to those of all sessions when none are given. @returns when the last one got the last */
function everywhere(
  watches: readonly RouteWatch[],
  { joined }: Sessions,
  subnets?: readonly string[],
): Promise<number> {
  const wanted = subnets ?? Array.from(joined.values(), ({ subnet }) => subnet);
  return eventually(() => {
    const times = watches.map((watch) => watch.sawAll(wanted));
    return times.every((time) => time !== undefined) ? Math.max(...times) : undefined;
  }, `${watches.length} kernels have ${wanted.length} routes`);
}

function numbers(from: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => from + i);
}
