import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { Phase } from "../../cni/phases.ts";
import { type Call, JOURNAL_PATH } from "../../journal/call.ts";
import { JournalFollower } from "../../journal/reader.ts";
import { eventually } from "../../test/netns/harness/eventually.ts";
import type { Daemon } from "../../test/netns/harness/exec.ts";
import type { Node } from "../../test/netns/harness/node.ts";
import { quantile, round } from "../measure.ts";

/** Kernel clock ticks a second in /proc/PID/stat, on every Linux there is (sysconf _SC_CLK_TCK). */
const TICKS = 100;
const HEALTH = "http://127.0.0.1:7446";
/** The journal is written a moment after the answer. */
const JOURNAL_DELAY_MS = 500;

/** What the agent's journal says of the calls of one verb. */
export interface AgentTimes {
  /** Median milliseconds of a call inside the agent, from its arrival to its answer; undefined when there was none. */
  readonly call: number | undefined;
  readonly calls: number;
  /** Median milliseconds that each phase of a call takes. */
  readonly phases: Readonly<Record<string, number>>;
}

/** The podwire-agent of a node. */
export class Agent {
  readonly #daemon: Daemon;
  readonly #journal: JournalFollower;

  private constructor(daemon: Daemon, journal: JournalFollower) {
    this.#daemon = daemon;
    this.#journal = journal;
  }

  /** Starts it as a machine of its own and waits until pods can be attached, and the agent has rehearsed that. */
  static async start(node: Node, bin: string): Promise<Agent> {
    const daemon = node.spawn([`${bin}/podwire-agent`, "--standalone", "--rehearse=250"]);
    await daemon.prints(/"msg":"conflist written"/);
    await eventually(
      async () => (await node.run(["curl", "-sf", `${HEALTH}/readyz`])).code === 0 || undefined,
      "ready",
    );
    await daemon.prints(/"msg":"rehearsed"/);
    return new Agent(daemon, new JournalFollower(node.path(JOURNAL_PATH)));
  }

  get pid(): number {
    return this.#daemon.process.pid ?? 0;
  }

  /** VmRSS in MB (10^6 bytes). */
  get resident(): number {
    return round((this.#status("VmRSS") * 1024) / 1e6);
  }

  /** VmHWM in MB (10^6 bytes). */
  get peak(): number {
    return round((this.#status("VmHWM") * 1024) / 1e6);
  }

  /** Milliseconds of CPU that it has used, to 10 ms. */
  get cpu(): number {
    return this.#ticks() * (1000 / TICKS);
  }

  /** Percent of one CPU that it uses while nobody asks it for anything. */
  async idleCpu(seconds: number): Promise<number> {
    const before = this.#ticks();
    const start = performance.now();
    await sleep(seconds * 1000);
    return round(((this.#ticks() - before) / TICKS / ((performance.now() - start) / 1000)) * 100);
  }

  /** What the journal says of the calls for the network that came during the work. */
  async timesOf<T>(
    network: string,
    work: () => Promise<T>,
  ): Promise<{ readonly result: T; readonly times: Record<"ADD" | "DEL", AgentTimes> }> {
    this.#journal.next();
    const result = await work();
    await sleep(JOURNAL_DELAY_MS);
    const calls = this.#journal.next().map(({ call }) => call);
    const of = (verb: "ADD" | "DEL") => timesOf(calls.filter((call) => call.verb === verb && call.network === network));
    return { result, times: { ADD: of("ADD"), DEL: of("DEL") } };
  }

  #status(key: string): number {
    const text = readFileSync(`/proc/${this.pid}/status`, "utf8");
    return Number(new RegExp(`^${key}:\\s+(\\d+) kB`, "m").exec(text)?.[1]);
  }

  /** User and system time of all its threads. */
  #ticks(): number {
    const text = readFileSync(`/proc/${this.pid}/stat`, "utf8");
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return Number(fields[11]) + Number(fields[12]);
  }
}

function timesOf(calls: readonly Call[]): AgentTimes {
  const names = new Set(calls.flatMap(({ phases }) => Object.keys(phases) as Phase[]));
  const phases = [...names].map((name) => [name, precise(calls.map((call) => call.phases[name] ?? 0))] as const);
  return {
    call: calls.length === 0 ? undefined : precise(calls.map(({ ms }) => ms)),
    calls: calls.length,
    phases: Object.fromEntries(phases),
  };
}

/** The median in microseconds' precision. */
function precise(values: readonly number[]): number {
  return Math.round(quantile(values.map((value) => value * 1000))) / 1000;
}
