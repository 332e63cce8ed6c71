import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Finished } from "./harness/exec.ts";
import { BIN, type Node } from "./harness/node.ts";
import type { Pod } from "./harness/pod.ts";

/** A bridge network with everything that leaves a trace: links, addresses, routes, rules and reservations. */
export const KILL_CONF = {
  type: "bridge",
  cniVersion: "1.0.0",
  name: "kill",
  bridge: "kill0",
  isGateway: true,
  ipMasq: true,
  ipam: {
    type: "host-local",
    ranges: [[{ subnet: "10.22.0.0/16" }], [{ subnet: "fd00:22::/64" }]],
    routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }],
  },
} as const;

/** Whose plugins are killed. */
export interface Contestant {
  readonly label: string;
  /** The folder of its executables. */
  readonly bin: string;
  /** GC is a way to clean up too. */
  readonly collects: boolean;
  /** What of the configuration is another plugin's. */
  readonly keys?: { readonly type: string; readonly [key: string]: unknown };
}

export const PEER: Contestant = { label: "Go plugins", bin: "/usr/lib/cni", collects: false };
/** What a call is without an agent: the plugins that Node.js runs. */
export const STANDALONE: Contestant = {
  label: "podwire, standalone",
  bin: existsSync(join(BIN, ".podwire/bridge")) ? join(BIN, ".podwire") : BIN,
  collects: true,
};
/** What runtimes start where an agent runs. */
export const SHIM: Contestant = { label: "podwire, the shim", bin: BIN, collects: true };

/** Each node has a /run of its own. */
export const LOG = "/run/strace";

/** The `ordinal`th time (from 1) that a thread makes this system call. */
export interface Point {
  readonly call: string;
  readonly ordinal: number;
}

/** A line of strace's. */
export interface Traced extends Point {
  readonly thread: number;
  readonly text: string;
}

/**
 * What a language runtime does for itself, as often as it likes. None of them changes anything, so a kill at one is a
 * kill at the next system call that is not listed here.
 */
const RUNTIME =
  /^(futex|nanosleep|clock_nanosleep|sched_\w+|madvise|mmap|munmap|mprotect|brk|epoll_\w+|poll|rt_sig\w+|sigaltstack|getpid|gettid|tgkill|gete?[ug]id|clock_gettime|getrandom|prctl|arch_prctl|membarrier|rseq|capget|restart_syscall|exit)$/;

/** What strace -f wrote, numbered by thread and system call. */
export function parseTrace(text: string): readonly Traced[] {
  const counts = new Map<string, number>();
  return text.split("\n").flatMap((line) => {
    const [, thread, call] = /^(\d+) +(\w+)\(/.exec(line) ?? [];
    if (thread === undefined || call === undefined) return [];
    const key = `${thread} ${call}`;
    const ordinal = (counts.get(key) ?? 0) + 1;
    counts.set(key, ordinal);
    return [{ thread: Number(thread), call, ordinal, text: line }];
  });
}

/** Each point once, in the order in which they came, without what the runtime does for itself. */
export function pointsOf(trace: readonly Traced[]): readonly Point[] {
  const points = trace.filter(({ call }) => !RUNTIME.test(call));
  return [...new Map(points.map(({ call, ordinal }) => [`${call} ${ordinal}`, { call, ordinal }])).values()];
}

/** Every `step`th, the first of them turning with `turn`. */
export function thinned<T>(points: readonly T[], most: number, turn = 0): readonly T[] {
  const step = Math.max(1, Math.ceil(points.length / most));
  return points.filter((_, i) => i % step === turn % step);
}

/** One call of a plugin, by itself or under another program. @param path another PATH for the plugin */
export function callPlugin(
  node: Node,
  { bin, keys: own }: Pick<Contestant, "bin" | "keys">,
  verb: Verb | "CHECK" | "GC",
  pod: Pod | undefined,
  keys: object = {},
  wrapper: readonly string[] = [],
  path?: string,
): Promise<Finished> {
  const conf = { ...KILL_CONF, ...own, ...keys };
  const program = [...(path === undefined ? [] : ["env", `PATH=${path}`]), `${bin}/${conf.type}`];
  return node.run([...wrapper, ...program], {
    input: JSON.stringify(conf),
    env: {
      PATH: process.env.PATH ?? "",
      CNI_COMMAND: verb,
      CNI_PATH: bin,
      ...(pod && { CNI_CONTAINERID: pod.containerId, CNI_NETNS: pod.netns, CNI_IFNAME: "eth0" }),
    },
  });
}

/** As {@link callPlugin}; gives the answer. @throws Error with it when the call fails */
export async function callOk(...args: Parameters<typeof callPlugin>): Promise<Record<string, unknown> | undefined> {
  const { code, stdout, stderr } = await callPlugin(...args);
  if (code !== 0) throw new Error(`${args[2]} by ${args[1].bin}: exit ${code}: ${stdout}${stderr}`);
  return stdout.trim() === "" ? undefined : JSON.parse(stdout);
}

/** The plugin's system calls from the first that has to do with the attachment; before it, nothing can be left. */
export async function traceOf(
  node: Node,
  contestant: Contestant,
  verb: Verb,
  pod: Pod,
  keys: object = {},
): Promise<readonly Traced[]> {
  await callOk(node, contestant, verb, pod, keys, ["strace", "-f", "-qq", "-s", "200", "-o", LOG]);
  const trace = parseTrace(readFileSync(node.path(LOG), "utf8"));
  rmSync(node.path(LOG));
  const touches = new RegExp(`${pod.containerId}|/var/lib/cni|AF_NETLINK, SOCK_RAW|cni\\.sock`);
  const first = trace.findIndex(({ call, text }) => call !== "execve" && call !== "read" && touches.test(text));
  return trace.slice(Math.max(0, first - 1));
}

/** strace that kills the program when it enters the system call for the so-manieth time. */
export function killerAt({ call, ordinal }: Point): readonly string[] {
  const inject = `inject=${call}:signal=KILL:when=${ordinal}`;
  return ["strace", "-f", "-qq", "-o", LOG, "-e", `trace=${call}`, "-e", inject];
}

/**
 * One line for each thing on the node or in the pod that an attachment can leave there: `kind what`. IPAM's index (.podwire)
 * is not counted: it has at most 256 files, whatever comes and goes, and the reservations have the last word.
 */
const STATE = `
names() { sed -n "s/^[0-9]*: \\([^:@]*\\).*/$1 \\1/p"; }
ip -o link | names link
[ -n "$POD" ] && ip -n "$POD" -o link | names "link-of-pod"
ip -o address | sed -E '/fe80::/d; s/^[0-9]+: (\\S+) +(\\S+ \\S+).*/address \\1 \\2/'
for f in 4 6; do ip -$f route show table all | sed -E '/fe80::|ff00::/d; s/ (linkdown|dead|expires \\S+)//g; s/^/route /'; done
ip rule | sed 's/^/rule /'
nft -s list ruleset 2>/dev/null | tr ',' '\\n' | sed -E 's/^[[:space:]]*(elements = \\{)?[[:space:]]*/nft /; s/[[:space:]]*\\}?$//'
find /var/lib/cni /var/lib/podwire /run/podwire -type f ! -path '*/networks/*/.podwire/*' 2>/dev/null | sed 's/^/file /'
find /var/lib/cni /var/lib/podwire /run/podwire -type s 2>/dev/null | sed 's/^/socket /'
awk '$4 == "00010000" { print "listening", $NF }' /proc/net/unix
`;

/** What is there now. */
export async function stateOf(node: Node, pod?: Pod): Promise<readonly string[]> {
  const text = await node.runOk(["bash", "-c", STATE], {
    env: { PATH: process.env.PATH ?? "", POD: pod?.containerId ?? "" },
  });
  return text.split("\n").filter((line) => line !== "" && line !== "nft" && line !== "link-of-pod lo");
}

/** What is there after and was not before. */
export function remains(before: readonly string[], after: readonly string[]): readonly string[] {
  const counts = new Map<string, number>();
  for (const line of before) counts.set(line, (counts.get(line) ?? 0) + 1);
  return after.filter((line) => {
    const count = counts.get(line) ?? 0;
    counts.set(line, count - 1);
    return count <= 0;
  });
}

/** A pod that stays attached, while others come and go. */
export async function keepPod(node: Node, contestant: Contestant): Promise<Pod> {
  const keeper = await node.pod("keeper");
  await callOk(node, contestant, "ADD", keeper);
  return keeper;
}

/** What is there when the kernel has ended what it does by itself after a change, such as looking for duplicates. */
export async function quietState(node: Node): Promise<readonly string[]> {
  let last = await stateOf(node);
  for (let same = 0; same < 3; ) {
    await sleep(500);
    const now = await stateOf(node);
    same = now.join("\n") === last.join("\n") ? same + 1 : 0;
    last = now;
  }
  return last;
}

/** GC with only the keeper being valid. */
export function collectAll(node: Node, contestant: Contestant, keeper: Pod): Promise<Finished> {
  const valid = [{ containerID: keeper.containerId, ifname: "eth0" }];
  return callPlugin(node, contestant, "GC", undefined, { cniVersion: "1.1.0", "cni.dev/valid-attachments": valid });
}

export type Verb = "ADD" | "DEL";

/** What follows the kill: DEL or GC by way of the next agent, or a DEL while there is none, with and without Node.js. */
export const CLEANUPS = ["DEL", "GC", "DEL before the restart", "DEL before the restart, put off"] as const;
export type Cleanup = (typeof CLEANUPS)[number];

/** What came of killing at one point. */
export interface Killed {
  readonly verb: Verb;
  readonly point: Point;
  readonly cleanup: Cleanup;
  /** False when the call ended before it came to the point. */
  readonly reached: boolean;
  /** What was there although the call was killed: how deep the kill cut. */
  readonly found: readonly string[];
  /** What was there after the cleanup. */
  readonly left: readonly string[];
  /** The cleanup's answer when it failed. */
  readonly failure?: string;
}

/** Kills calls of one contestant's plugins on a node of its own. */
export class KillMatrix {
  readonly #node: Node;
  readonly #contestant: Contestant;
  readonly #keeper: Pod;
  #quiet: readonly string[] = [];

  private constructor(node: Node, contestant: Contestant, keeper: Pod) {
    this.#node = node;
    this.#contestant = contestant;
    this.#keeper = keeper;
  }

  /** One pod stays attached all the time: the bridge and what belongs to the network are there, and must stay. */
  static async prepare(node: Node, contestant: Contestant): Promise<KillMatrix> {
    const matrix = new KillMatrix(node, contestant, await keepPod(node, contestant));
    await matrix.points("ADD"); // what a first attachment makes for good is there from now on
    matrix.#quiet = await quietState(node);
    return matrix;
  }

  /** All points of a call, found by tracing one. */
  async points(verb: Verb): Promise<readonly Point[]> {
    const pod = await this.#node.pod("traced");
    const traced = verb === "ADD" ? await traceOf(this.#node, this.#contestant, "ADD", pod) : [];
    const prevResult = verb === "DEL" ? await this.#call("ADD", pod) : undefined;
    const trace = verb === "DEL" ? await traceOf(this.#node, this.#contestant, "DEL", pod, { prevResult }) : traced;
    if (verb === "ADD") await this.#call("DEL", pod);
    await pod.deleteNetns();
    return pointsOf(trace);
  }

  /** Kills a call at the point, cleans up by a call that nobody disturbs, and looks for what is left. */
  async kill(verb: Verb, point: Point, cleanup: Cleanup): Promise<Killed> {
    const pod = await this.#node.pod("pod");
    const prevResult = verb === "DEL" ? await this.#call("ADD", pod) : undefined;
    const keys = prevResult === undefined ? {} : { prevResult };
    await callPlugin(this.#node, this.#contestant, verb, pod, keys, killerAt(point));
    const reached = readFileSync(this.#node.path(LOG), "utf8").includes("+++ killed by SIGKILL");
    const found = remains(this.#quiet, await stateOf(this.#node, pod));
    const cleaned = await this.#clean(cleanup, pod, keys);
    const after = await stateOf(this.#node, pod);
    const left = remains(this.#quiet, after);
    const lost = remains(after, this.#quiet).map((line) => `gone: ${line}`);
    await pod.deleteNetns();
    if (left.length + lost.length > 0) this.#quiet = await stateOf(this.#node); // not to be counted again
    const failure = cleaned.code === 0 ? {} : { failure: cleaned.stdout };
    return { verb, point, cleanup, reached, found, left: [...left, ...lost], ...failure };
  }

  async #clean(cleanup: Cleanup, pod: Pod, keys: object): Promise<Finished> {
    if (cleanup === "GC") {
      // An agent may still be at the call whose shim was killed. CHECK waits for its turn; runtimes run GC alone.
      await callPlugin(this.#node, this.#contestant, "CHECK", pod, keys);
      return collectAll(this.#node, this.#contestant, this.#keeper);
    }
    return callPlugin(this.#node, this.#contestant, "DEL", pod, keys);
  }

  #call(verb: Verb, pod: Pod): Promise<Record<string, unknown> | undefined> {
    return callOk(this.#node, this.#contestant, verb, pod);
  }
}

/** A few words for a test's message. */
export function describeKilled({ verb, point, cleanup, left, failure }: Killed): string {
  const what = left.length === 0 ? "" : `: ${left.join("; ")}`;
  return `${verb} killed at ${point.call} ${point.ordinal}, then ${cleanup}${what}${failure ?? ""}`;
}
