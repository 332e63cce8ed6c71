import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { OUR_MARK } from "../../cni/delegate.ts";
import { JournalWriter } from "../../journal/writer.ts";
import { createNetns, currentNetns, enterNetns, type Netns } from "../../kernel/netns.ts";
import { makePlugins } from "../../plugins/all.ts";
import { makeResidentMachine as makeResidentBridgeMachine } from "../../plugins/bridge/resident.ts";
import { makeResidentMachine as makeResidentIpamMachine } from "../../plugins/host-local/machine.ts";
import { checkPodNetns } from "../../plugins/pod-netns.ts";
import { PluginHost } from "./host.ts";
import { journalled } from "./journalled.ts";
import { CallMetrics } from "./metrics.ts";
import { ShimServer } from "./server.ts";
import { decodeAnswer, encodeRequest, type ShimAnswer, type ShimRequest } from "./wire.ts";

/** On slow boards fewer must do. */
const LONGEST_MS = 3_000;
/** Calls at once are code of their own. */
const PODS_A_ROUND = 2;
const SOCKET = "cni.sock";

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
    await using stage = await Stage.open(folder); // its netlink sockets are opened in the first round, and stay where that is
    const end = performance.now() + LONGEST_MS;
    let played = 0;
    while (played < pods && performance.now() < end) {
      await idle();
      if (signal.aborted) break;
      if (isBusy()) continue;
      const round = within(node, home, () => stage.play(played, pod));
      onRound(round.catch(() => {}));
      await round;
      played += PODS_A_ROUND;
    }
    return played;
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

/** A plugin host with a socket, whose files and kernel objects are nobody's. */
class Stage implements AsyncDisposable {
  readonly #folder: string;
  readonly #server: ShimServer;
  readonly #resources: readonly Disposable[];

  private constructor(folder: string, server: ShimServer, resources: readonly Disposable[]) {
    this.#folder = folder;
    this.#server = server;
    this.#resources = resources;
  }

  static async open(folder: string): Promise<Stage> {
    const bridge = makeResidentBridgeMachine();
    const ipam = makeResidentIpamMachine(() => {});
    const journal = new JournalWriter(join(folder, "calls"), { capacity: 1 << 16, log: { warn() {} } });
    const metrics = new CallMetrics(() => 0);
    const host = new PluginHost({
      plugins: makePlugins({ bridge, ipam }),
      env: {},
      checkNetns: checkPodNetns,
      record: (call) => {
        journal.append(journalled(call));
        metrics.observe(call);
      },
    });
    const server = await ShimServer.listen({
      path: join(folder, SOCKET),
      answer: (request, caller) => host.answer(request, caller),
      onRefused() {},
    });
    return new Stage(folder, server, [ipam, bridge, journal]);
  }

  /** Two pods come and go at once: one with IPv4 alone, one with both families and rules. */
  async play(round: number, pod: Netns): Promise<void> {
    const loopback = { cniVersion: "1.0.0", name: "loopback", type: "loopback" };
    for (const verb of ["ADD", "DEL"]) {
      await this.#call(verb, round, pod, "lo", loopback);
      await Promise.all([
        this.#call(verb, round, pod, "eth0", this.#network(false)),
        this.#call(verb, round, pod, "eth1", this.#network(true)),
      ]);
    }
  }

  #network(full: boolean) {
    const ranges = [[{ subnet: full ? "10.1.0.0/24" : "10.0.0.0/24" }], ...(full ? [[{ subnet: "fd00::/64" }]] : [])];
    return {
      cniVersion: "1.0.0",
      name: full ? "full" : "plain",
      type: "bridge",
      bridge: full ? "full" : "plain",
      isDefaultGateway: true,
      ipMasq: full,
      ipam: { type: "host-local", dataDir: join(this.#folder, "networks"), ranges },
    };
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
    const answer = await ask(join(this.#folder, SOCKET), {
      plugin: conf.type,
      env,
      stdin: Buffer.from(JSON.stringify(conf)),
    });
    if (answer.exitCode !== 0) throw new Error(answer.stdout);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.close();
    for (const resource of this.#resources) resource[Symbol.dispose]();
  }
}

/** What the shim does. */
function ask(path: string, request: ShimRequest): Promise<ShimAnswer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = connect(path);
    socket.write(encodeRequest(request));
    socket.on("data", (chunk) => chunks.push(chunk));
    socket.on("error", reject);
    socket.on("end", () => {
      try {
        resolve(decodeAnswer(Buffer.concat(chunks)));
      } catch (error) {
        reject(error);
      }
    });
  });
}
