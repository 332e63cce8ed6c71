import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { OUR_MARK } from "../../cni/delegate.ts";
import { JournalWriter } from "../../journal/writer.ts";
import { createNetns, currentNetns, enterNetns, type Netns } from "../../kernel/netns.ts";
import { makePlugins, THIS_MACHINE } from "../../plugins/all.ts";
import { makeResidentMachine as makeResidentIpamMachine } from "../../plugins/host-local/machine.ts";
import { makeResidentMachine as makeResidentNode } from "../../plugins/node/resident.ts";
import { checkPodNetns } from "../../plugins/pod-netns.ts";
import { PluginHost } from "./host.ts";
import { journalled } from "./journalled.ts";
import { CallMetrics } from "./metrics.ts";
import { decodeRequest, encodeAnswer, encodeRequest } from "./wire.ts";

/** On slow boards fewer must do. */
const LONGEST_MS = 3_000;

export interface RehearsalOptions {
  /** How many at most. After 200 V8 has compiled what matters: the first takes 65 ms, the hundredth 5, the thousandth 3. */
  readonly pods: number;
  /** Made and removed. */
  readonly folder: string;
  /** Resolves when no call is under way, and not before the next turn of the event loop. */
  readonly idle: () => Promise<void>;
  /** Whether a call is under way. Asked at the very moment before this thread leaves its namespace. */
  readonly isBusy: () => boolean;
  /** Told of every round; calls that come must wait for it, because this thread is elsewhere until then. */
  readonly onRound: (round: Promise<void>) => void;
  readonly signal: AbortSignal;
}

/**
 * Adds and deletes pods that nobody has asked for, in namespaces of its own, while nothing else is to do: V8 compiles
 * what runs often, and a node's first real pods are not to wait for that.
 * @returns how many pods it was @throws Error with the answer of a call that failed: a pod would fare no better
 */
export async function rehearse({ pods, folder, idle, isBusy, onRound, signal }: RehearsalOptions): Promise<number> {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  writeFileSync(join(folder, "host-local"), `#!/bin/false\n${OUR_MARK}\n`); // to be found on CNI_PATH, and not executed
  using home = currentNetns();
  using node = createNetns();
  using pod = createNetns();
  try {
    await using stage = new Stage(folder); // its sockets are opened in the first round, and stay where that is
    const end = performance.now() + LONGEST_MS;
    let rounds = 0;
    while (rounds < pods && performance.now() < end) {
      await idle();
      if (signal.aborted) break;
      if (isBusy()) continue;
      const round = within(node, home, () => stage.play(rounds, pod));
      onRound(round.catch(() => {}));
      await round;
      rounds += 1;
    }
    return rounds;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Runs the work with this thread in the namespace. Nothing else of this thread may ask the kernel until it has ended. */
async function within<T>(netns: Netns, home: Netns, work: () => Promise<T>): Promise<T> {
  enterNetns(netns);
  try {
    return await work();
  } finally {
    enterNetns(home);
  }
}

/** A plugin host whose files and kernel objects are nobody's. */
class Stage implements AsyncDisposable {
  readonly #folder: string;
  readonly #node = makeResidentNode();
  readonly #ipam = makeResidentIpamMachine(() => {});
  readonly #journal: JournalWriter;
  readonly #host: PluginHost;

  constructor(folder: string) {
    this.#folder = folder;
    this.#journal = new JournalWriter(join(folder, "calls"), { capacity: 1 << 16, log: { warn() {} } });
    const metrics = new CallMetrics(() => 0);
    this.#host = new PluginHost({
      plugins: makePlugins({ ...THIS_MACHINE, node: this.#node, ipam: this.#ipam }),
      env: {},
      checkNetns: checkPodNetns,
      record: (call) => {
        this.#journal.append(journalled(call));
        metrics.observe(call);
      },
    });
  }

  /** One pod comes and goes: with IPv4 alone, or with both families and rules. */
  async play(round: number, pod: Netns): Promise<void> {
    const full = round % 2 === 1;
    const ranges = [[{ subnet: "10.0.0.0/24" }], ...(full ? [[{ subnet: "fd00::/64" }]] : [])];
    const conf = {
      cniVersion: "1.0.0",
      name: full ? "full" : "plain",
      type: "bridge",
      bridge: full ? "full" : "plain",
      isDefaultGateway: true,
      ipMasq: full,
      ipam: { type: "host-local", dataDir: join(this.#folder, "networks"), ranges },
    };
    const loopback = { cniVersion: "1.0.0", name: "loopback", type: "loopback" };
    for (const verb of ["ADD", "DEL"]) {
      await this.#call(verb, round, pod, "lo", loopback);
      await this.#call(verb, round, pod, "eth0", conf);
    }
  }

  async #call(verb: string, round: number, pod: Netns, ifName: string, conf: { readonly type: string }): Promise<void> {
    const env = {
      CNI_COMMAND: verb,
      CNI_CONTAINERID: `rehearsal-${round}`,
      CNI_NETNS: `/proc/self/fd/${pod.fd}`,
      CNI_IFNAME: ifName,
      CNI_ARGS: "IgnoreUnknown=1;K8S_POD_NAMESPACE=rehearsal;K8S_POD_NAME=pod",
      CNI_PATH: this.#folder,
    };
    const frame = encodeRequest({ plugin: conf.type, env, stdin: Buffer.from(JSON.stringify(conf)) });
    const answer = await this.#host.answer(decodeRequest(frame.subarray(4)), { gone: false });
    if (answer?.exitCode !== 0) throw new Error(answer?.stdout ?? `there is no plugin ${conf.type}`);
    encodeAnswer(answer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ipam[Symbol.dispose]();
    this.#node[Symbol.dispose]();
    this.#journal[Symbol.dispose]();
  }
}
