import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually } from "./harness/eventually.ts";
import type { Daemon } from "./harness/exec.ts";
import { BIN, type Node } from "./harness/node.ts";
import type { Pod } from "./harness/pod.ts";
import {
  type Cleanup,
  callOk,
  callPlugin,
  collectAll,
  type Killed,
  keepPod,
  LOG,
  type Point,
  parseTrace,
  pointsOf,
  quietState,
  remains,
  SHIM,
  stateOf,
  type Verb,
} from "./kill-fixture.ts";

const SPOOL = "/var/lib/podwire/spool";
/** A PATH with everything but Node.js: the shim cannot fall back to the plugins that it runs. */
const WITHOUT_NODE = "/nonexistent";

/** Starts an agent that only serves calls, and waits until it does. */
export async function startAgent(node: Node): Promise<Daemon> {
  const agent = node.spawn([`${BIN}/podwire-agent`, "--controller=127.0.0.1:1", "--health-listen="]);
  await agent.prints(/"msg":"serving CNI calls"/);
  return agent;
}

/** Waits until every DEL that was put off is done. */
export async function spoolDrained(node: Node): Promise<void> {
  const spool = node.path(SPOOL);
  await eventually(() => !existsSync(spool) || readdirSync(spool).length === 0 || undefined, "the spool is empty");
}

/** Kills the agent while it serves calls, and starts it again, as systemd would. */
export class AgentKillMatrix {
  readonly #node: Node;
  readonly #keeper: Pod;
  #agent: Daemon;
  #quiet: readonly string[] = [];

  private constructor(node: Node, keeper: Pod, agent: Daemon) {
    this.#node = node;
    this.#keeper = keeper;
    this.#agent = agent;
  }

  static async prepare(node: Node): Promise<AgentKillMatrix> {
    const agent = await startAgent(node);
    const matrix = new AgentKillMatrix(node, await keepPod(node, SHIM), agent);
    await matrix.points("ADD");
    matrix.#quiet = await quietState(node);
    return matrix;
  }

  /**
   * What the agent's threads do during a call, found by tracing one of an agent that has just started and cleaned up, as it
   * will have when a call is killed. The main thread is left out: it serves no calls.
   */
  async points(verb: Verb): Promise<readonly Point[]> {
    await this.#agent.stop("SIGKILL");
    await this.#restart();
    const pod = await this.#node.pod("traced");
    await callOk(this.#node, SHIM, "DEL", pod);
    const prevResult = verb === "DEL" ? await callOk(this.#node, SHIM, "ADD", pod) : undefined;
    const strace = await this.#attach([]);
    await callOk(this.#node, SHIM, verb, pod, { prevResult });
    await strace.stop("SIGINT");
    if (verb === "ADD") await callOk(this.#node, SHIM, "DEL", pod);
    await pod.deleteNetns();
    const trace = parseTrace(readFileSync(this.#node.path(LOG), "utf8"));
    return pointsOf(trace.filter(({ thread }) => thread !== this.#agent.process.pid));
  }

  /** Kills the agent at the point, starts it again, cleans up, and looks for what is left. */
  async kill(verb: Verb, point: Point, cleanup: Cleanup): Promise<Killed> {
    const pod = await this.#node.pod("pod");
    const prevResult = verb === "DEL" ? await callOk(this.#node, SHIM, "ADD", pod) : undefined;
    const reached = await this.#killDuring(verb, pod, point, { prevResult });
    const found = remains(this.#quiet, await stateOf(this.#node, pod));
    const failure = await this.#cleanUp(cleanup, pod, { prevResult });
    const after = await stateOf(this.#node, pod);
    const left = remains(this.#quiet, after);
    const lost = remains(after, this.#quiet).map((line) => `gone: ${line}`);
    await pod.deleteNetns();
    if (left.length + lost.length > 0) this.#quiet = await stateOf(this.#node);
    return { verb, point, cleanup, reached, found, left: [...left, ...lost], ...failure };
  }

  async #killDuring(verb: Verb, pod: Pod, { call, ordinal }: Point, keys: object) {
    const inject = `inject=${call}:signal=KILL:when=${ordinal}`;
    const strace = await this.#attach(["-e", `trace=${call}`, "-e", inject]);
    // Without Node.js the call is not done by somebody else once the agent is gone.
    await callPlugin(this.#node, SHIM, verb, pod, keys, [], WITHOUT_NODE);
    const pid = this.#agent.process.pid ?? 0;
    await sometimeDead(pid);
    await stopTracing(strace, pid);
    // Nobody injects a signal any more. Who has made so many calls was killed, also when it takes long to die.
    const made = parseTrace(readFileSync(this.#node.path(LOG), "utf8"));
    const reached = isDead(pid) || made.some((each) => each.call === call && each.ordinal >= ordinal);
    if (reached) await this.#agent.stop("SIGKILL"); // waits until it has been reaped
    return reached;
  }

  async #cleanUp(cleanup: Cleanup, pod: Pod, keys: object): Promise<{ failure?: string }> {
    if (cleanup.startsWith("DEL before")) await this.#agent.stop("SIGKILL"); // when the point was not reached
    const path = cleanup === "DEL before the restart, put off" ? WITHOUT_NODE : undefined;
    const early = cleanup.startsWith("DEL before")
      ? await callPlugin(this.#node, SHIM, "DEL", pod, keys, [], path)
      : undefined;
    await this.#restart();
    const late =
      cleanup === "GC"
        ? await collectAll(this.#node, SHIM, this.#keeper)
        : cleanup === "DEL"
          ? await callPlugin(this.#node, SHIM, "DEL", pod, keys)
          : undefined;
    await spoolDrained(this.#node);
    const { code, stdout } = late ?? early ?? { code: 0, stdout: "" };
    return code === 0 ? {} : { failure: stdout };
  }

  async #restart(): Promise<void> {
    if (this.#agent.running) return;
    this.#agent = await startAgent(this.#node);
    await spoolDrained(this.#node); // a DEL that was put off when the agent was killed
  }

  async #attach(flags: readonly string[]): Promise<Daemon> {
    rmSync(this.#node.path(LOG), { force: true });
    const strace = this.#node.spawn(["strace", "-f", "-o", LOG, ...flags, "-p", String(this.#agent.process.pid)]);
    await strace.prints(/attached/);
    return strace;
  }
}

/** Gives the process a moment to come to its point after it has answered. */
async function sometimeDead(pid: number): Promise<void> {
  for (let look = 0; look < 15 && !isDead(pid); look++) await sleep(20);
}

/** Its tracer keeps it from being reaped. */
function isDead(pid: number): boolean {
  try {
    return /\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return true;
  }
}

async function stopTracing(strace: Daemon, tracee: number): Promise<void> {
  strace.process.kill("SIGINT");
  await eventually(async () => {
    if (strace.running && isDead(tracee)) await strace.stop("SIGKILL"); // with nobody left to trace, it heeds no SIGINT
    return !strace.running;
  }, "strace ends");
}
