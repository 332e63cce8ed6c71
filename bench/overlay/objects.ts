import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { desiredOverlay } from "../../overlay/desired.ts";
import { ipScript } from "../../overlay/ip-script.ts";
import { runOk } from "../../test/netns/harness/exec.ts";
import { openSandbox, type Sandbox } from "../../test/netns/sandbox.ts";
import { quantile, round, type Stage } from "../measure.ts";
import type { ApplyWish, Pass } from "./apply.main.ts";
import { type Backend, clusterInput, underlayAddress } from "./peers.ts";

/** The same objects put into the kernel by us and by ip(8) and bridge(8), by turns. Milliseconds. */
export interface ObjectsResult {
  readonly backend: string;
  readonly peers: number;
  readonly objects: number;
  readonly rounds: number;
  readonly ours_ms: number;
  readonly batch_ms: number;
  /** Processor time, of all threads and of the kernel in their name; other programs on the machine disturb it less. */
  readonly ours_cpu_ms: number;
  readonly batch_cpu_ms: number;
  /** Median of the rounds' own ratios. */
  readonly ratio: number;
  readonly ratio_range: readonly number[];
  /** What comes before and after it in an agent: working the objects out, and the nft rules. */
  readonly plan_ms: number;
  readonly rules_ms: number;
  /** An agent that starts again and finds all as it should be. */
  readonly restart: {
    readonly ms: number;
    readonly changes: number;
    readonly notifications: number;
    readonly transactions: number;
  };
  /** A pass of an agent that has run for a while. */
  readonly idle_pass_ms: number;
}

/** Commands for `ip -batch` and `bridge -batch`, in their order, behind those that make the devices. */
interface Batches {
  readonly setup: string;
  readonly files: readonly { readonly program: "ip" | "bridge"; readonly path: string }[];
}

export async function measureObjects(
  stage: Stage,
  backend: Backend,
  peers: number,
  rounds: number,
): Promise<ObjectsResult> {
  const name = `${backend.type} ${backend.mode}`;
  const sandbox = openSandbox(stage);
  sandbox.sh(`sysctl -qw net.ipv6.conf.default.addr_gen_mode=1 net.ipv4.ip_forward=1
    ip link add eth0 type veth peer name wire; ip link set eth0 up; ip link set wire up
    ip address add ${underlayAddress(1)}/16 dev eth0`);
  const batches = writeBatches(stage, backend, peers);
  const wish: ApplyWish = { backend, nodes: peers + 1, passes: 1, watch: false };
  const ours: Pass[] = [];
  const theirs: Taken[] = [];
  const restarts: Pass[] = [];
  let idle: Pass[] = [];
  for (let i = -1; i < rounds; i++) {
    const both = [
      async () => {
        clear(sandbox);
        const [first] = await apply(sandbox, wish);
        const [again, ...later] = await apply(sandbox, { ...wish, passes: 4, watch: true });
        if (first === undefined || again === undefined) throw new Error("a pass gave no report");
        if (i < 0) return; // the first round warms files and the kernel's tables
        ours.push(first);
        restarts.push(again);
        idle = [...idle, ...later];
      },
      async () => {
        clear(sandbox);
        const took = runBatches(sandbox, batches);
        if (i >= 0) theirs.push(took);
      },
    ];
    for (const side of i % 2 === 0 ? both : both.toReversed()) await side();
    const [last, other] = [ours.at(-1), theirs.at(-1)];
    if (last && other)
      console.error(`${name}: ${peers} peers: ours ${round(last.overlay)} ms, ip -batch ${round(other.ms)} ms`);
  }
  clear(sandbox);
  const ratios = ours.map(({ overlay }, i) => overlay / (theirs[i]?.ms ?? Number.NaN));
  const most = (of: (pass: Pass) => number) => Math.max(...restarts.map(of));
  return {
    backend: name,
    peers,
    objects: ours[0]?.changes.added ?? 0,
    rounds,
    ours_ms: quantile(ours.map(({ overlay }) => overlay)),
    batch_ms: quantile(theirs.map(({ ms }) => ms)),
    ours_cpu_ms: quantile(ours.map(({ cpu }) => cpu)),
    batch_cpu_ms: quantile(theirs.map(({ cpu }) => cpu)),
    ratio: quantile(ratios),
    ratio_range: [quantile(ratios, 0), quantile(ratios, 1)],
    plan_ms: quantile(ours.map(({ plan }) => plan)),
    rules_ms: quantile(ours.map(({ rules }) => rules)),
    restart: {
      ms: quantile(restarts.map(({ plan, overlay, rules }) => plan + overlay + rules)),
      changes: most(({ changes }) => changes.added + changes.changed + changes.removed),
      notifications: most(({ notifications }) => notifications),
      transactions: most(({ transactions }) => transactions),
    },
    idle_pass_ms: quantile(idle.map(({ overlay, rules }) => overlay + rules)),
  };
}

/** A program of its own each time, started as the agent is: what was compiled before counts for nothing. */
async function apply(sandbox: Sandbox, wish: ApplyWish): Promise<Pass[]> {
  const flags = ["--max-semi-space-size=2", "--v8-pool-size=2", "--import", import.meta.resolve("tsx")];
  const program = new URL("apply.main.ts", import.meta.url).pathname;
  const enter = ["nsenter", `--net=${sandbox.own}`];
  return JSON.parse(await runOk([...enter, process.execPath, ...flags, program], { input: JSON.stringify(wish) }));
}

/** Milliseconds on the clock and of processor time. */
interface Taken {
  readonly ms: number;
  readonly cpu: number;
}

function runBatches(sandbox: Sandbox, { setup, files }: Batches): Taken {
  sandbox.sh(setup);
  const commands = files.map(({ program, path }) => `${program} -batch ${path}`).join("; ");
  const times = sandbox.sh(`TIMEFORMAT="%R %U %S"; { time { ${commands}; } } 2>&1`);
  const [real = 0, user = 0, system = 0] = times
    .trim()
    .split(/\s+/)
    .slice(-3)
    .map((seconds) => Number(seconds) * 1000);
  return { ms: real, cpu: user + system };
}

/** The commands of ip-script.ts; what is not for each peer is left to the setup, whose time does not count. */
function writeBatches(stage: Stage, backend: Backend, peers: number): Batches {
  const folder = mkdtempSync(join(tmpdir(), "podwire-batch-"));
  stage.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const lines = ipScript(desiredOverlay(clusterInput(backend, 1, peers + 1))).filter((line) => !line.startsWith("#"));
  const isObject = (line: string) => /^(ip neighbour|bridge fdb|ip route) /.test(line);
  const files = (["ip neighbour", "bridge fdb", "ip route"] as const).flatMap((command) => {
    const of = lines.filter((line) => line.startsWith(`${command} `));
    if (of.length === 0) return [];
    const path = join(folder, command.replace(" ", "-"));
    const [program] = command.split(" ") as ["ip" | "bridge"];
    writeFileSync(path, of.map((line) => `${line.slice(program.length + 1).replace(" replace ", " add ")}\n`).join(""));
    return [{ program, path }];
  });
  return { setup: lines.filter((line) => !isObject(line)).join("\n"), files };
}

/** Takes everything away again, and waits until the kernel has done so: what it does later would disturb who comes next. */
function clear(sandbox: Sandbox): void {
  sandbox.sh(`for device in $(ip -o link show | sed -nE 's/^[0-9]+: (pw[^:@]+).*/\\1/p'); do ip link del $device; done
    ip route flush proto 112; nft delete table inet podwire 2>/dev/null || true
    ip netns add empty; ip netns del empty`);
}
