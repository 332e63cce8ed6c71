import type { Env } from "../../cni/environment.ts";
import { type HostOptions, type Outcome, runPlugin } from "../../cni/host.ts";
import { type Phase, PhaseTimer } from "../../cni/phases.ts";
import type { Plugin } from "../../cni/plugin.ts";
import { Slots, Turns } from "./turns.ts";
import type { Caller, ShimAnswer, ShimRequest } from "./wire.ts";

/**
 * How many pods are made at a time. The kernel makes links one after the other, under the rtnl lock, and this thread
 * asks it for one at a time; a few more overlap what is not that: answers, and waiting for the kernel to forward.
 */
const ADDS_AT_ONCE = 4;

/** A call that has ended. */
export interface EndedCall extends Outcome {
  readonly plugin: string;
  readonly verb: string;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  /** As the runtime named them, valid or not. */
  readonly containerId: string;
  readonly ifName: string;
  /** Milliseconds. */
  readonly phases: Readonly<Partial<Record<Phase, number>>>;
}

export interface PluginHostOptions {
  readonly plugins: Readonly<Record<string, Plugin>>;
  /** What delegates that are executed get besides the caller's `CNI_*`: PATH, for instance. */
  readonly env: Env;
  readonly checkNetns: NonNullable<HostOptions["checkNetns"]>;
  /** Waited for before a call does anything; the call counts as one that waits meanwhile. */
  readonly gate?: () => Promise<void>;
  /** Told of each call, a moment after its answer. */
  readonly record: (call: EndedCall) => void;
  /** Also log debug lines. */
  readonly debug?: boolean;
}

/**
 * Serves many calls in one process with the code that serves one call in a process of its own. Calls of different
 * attachments run at the same time, those of one attachment one after the other. Who waits for a delegate of somebody
 * else's holds up nobody.
 */
export class PluginHost {
  readonly #options: PluginHostOptions;
  readonly #turns = new Turns();
  readonly #adds = new Slots(ADDS_AT_ONCE);
  #calls = 0;
  /** Who waits for {@link idle}. */
  readonly #onIdle: (() => void)[] = [];

  constructor(options: PluginHostOptions) {
    this.#options = options;
  }

  /** Calls that run or wait. */
  get calls(): number {
    return this.#calls;
  }

  /**
   * Runs the call. An ADD that nobody waits for any more is not begun, or undone: its runtime takes it for failed.
   * @returns undefined for a plugin that is not among ours
   */
  async answer(request: ShimRequest, caller: Caller): Promise<ShimAnswer | undefined> {
    const { plugins } = this.#options;
    const plugin = Object.hasOwn(plugins, request.plugin) ? plugins[request.plugin] : undefined;
    if (plugin === undefined) return undefined;
    this.#calls += 1;
    try {
      return await this.#inTurn(plugin, request, caller);
    } finally {
      this.#calls -= 1;
      if (this.#calls === 0) for (const resolve of this.#onIdle.splice(0)) resolve();
    }
  }

  /** Resolves when no call runs or waits; one may have come when the caller goes on. */
  async idle(): Promise<void> {
    if (this.#calls > 0) await new Promise<void>((resolve) => this.#onIdle.push(resolve));
  }

  async #inTurn(plugin: Plugin, request: ShimRequest, caller: Caller): Promise<ShimAnswer> {
    const phases = new PhaseTimer("queue", () => performance.now());
    const call = () => this.#run(plugin, request, phases);
    const { CNI_COMMAND: verb, CNI_CONTAINERID: containerId = "", CNI_IFNAME: ifName = "" } = request.env;
    const attachment = `${containerId}\n${ifName}`;
    await this.#options.gate?.();
    if (verb === "DEL") return await this.#turns.take(attachment, call);
    if (verb === "CHECK") return await this.#turns.take(attachment, () => this.#adds.hold(call));
    if (verb !== "ADD") return await call();
    return await this.#turns.take(attachment, () =>
      this.#adds.hold(async () => {
        if (caller.gone) return NOBODY_WAITS;
        const answer = await call();
        if (answer.exitCode === 0 && caller.gone) await this.#undo(plugin, request);
        return answer;
      }),
    );
  }

  async #undo(plugin: Plugin, { env, ...request }: ShimRequest): Promise<void> {
    const phases = new PhaseTimer("queue", () => performance.now());
    await this.#run(plugin, { ...request, env: { ...env, CNI_COMMAND: "DEL" } }, phases);
  }

  async #run(plugin: Plugin, { env, stdin }: ShimRequest, phases: PhaseTimer): Promise<ShimAnswer> {
    const { plugins, checkNetns, record, debug = false } = this.#options;
    const startedAt = Date.now();
    let stdout = "";
    let stderr = "";
    const collect = (outcome: Outcome) => {
      const { CNI_COMMAND: verb = "", CNI_CONTAINERID: containerId = "", CNI_IFNAME: ifName = "" } = env;
      const call = { ...outcome, plugin: plugin.name, verb, startedAt, containerId, ifName, phases: phases.read() };
      setImmediate(() => record(call)); // the answer first
    };
    phases.enter("decode");
    const exitCode = await runPlugin(plugin, {
      env: { ...this.#options.env, ...env },
      stdin,
      stdout: { write: (text) => (stdout += text) },
      stderr: { write: (text) => (stderr += text) },
      builtins: plugins,
      checkNetns,
      phases,
      aside: (work) => (env.CNI_COMMAND === "ADD" || env.CNI_COMMAND === "CHECK" ? this.#adds.aside(work) : work()),
      observe: collect,
      debug,
    });
    return { exitCode, stdout, stderr };
  }
}

const NOBODY_WAITS: ShimAnswer = { exitCode: 1, stdout: "", stderr: "" };
