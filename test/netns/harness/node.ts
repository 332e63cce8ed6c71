import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { Daemon, type Finished, type RunOptions, run, runOk } from "./exec.ts";
import { Pod } from "./pod.ts";
import { Runtime } from "./runtime.ts";
import { type SnapshotOptions, snapshot } from "./snapshot.ts";

/** What a test needs of tap to clean up after itself; anything with a teardown serves (the demo has its own). */
export interface Owner {
  teardown(work: () => Promise<void> | void): void;
}

const REPOSITORY = resolve(dirname(fileURLToPath(import.meta.url)), "../../..");
/** Whether every node has an agent that serves the plugins' calls. */
export const HOSTED = process.env.PODWIRE_TEST_HOST === "agent";
/** Where hack/build puts the executables. */
export const BIN = join(REPOSITORY, "dist/bin");

/** Makes the node's own /run, /var/lib, /etc and boot id, says so, and stays until its stdin closes. */
const HOLD = `
set -e
mount -t tmpfs -o mode=755 run /run
mkdir -p /run/netns /run/etc /run/etc-work
mount -t overlay -o lowerdir=/etc,upperdir=/run/etc,workdir=/run/etc-work etc /etc
mount -t tmpfs -o mode=755 lib /var/lib
mkdir -p /etc/cni/net.d /var/lib/cni
cat /proc/sys/kernel/random/uuid >/run/boot-id
mount --bind /run/boot-id /proc/sys/kernel/random/boot_id
ip link set lo up
echo ready
exec cat
`;

/**
 * A machine of a cluster, played by a network namespace and a mount namespace with its own /run, /var/lib and /etc.
 * Goes away with the test, or with the test's process.
 */
export class Node implements Owner {
  readonly name: string;
  readonly #holder: ChildProcess;
  readonly #teardowns: (() => Promise<void> | void)[] = [];
  readonly runtime: Runtime;

  constructor(name: string, holder: ChildProcess) {
    this.name = name;
    this.#holder = holder;
    this.runtime = new Runtime(this);
  }

  /** The process that keeps the namespaces alive. */
  get pid(): number {
    return this.#holder.pid ?? 0;
  }

  /** Path of the network namespace, for openNetns and nsenter. */
  get netns(): string {
    return `/proc/${this.pid}/ns/net`;
  }

  /** A path inside the node, as this process sees it. */
  path(inside: string): string {
    return `/proc/${this.pid}/root${inside}`;
  }

  /** The words to put before a command so that it runs inside the node. */
  get enter(): readonly string[] {
    return ["nsenter", `--net=${this.netns}`, `--mount=/proc/${this.pid}/ns/mnt`, "--"];
  }

  /** Runs a program inside the node. A non-zero exit is no error. */
  run(argv: readonly string[], options?: RunOptions): Promise<Finished> {
    return run([...this.enter, ...argv], options);
  }

  /** Runs a program inside the node and returns its stdout. @throws Error when it fails. */
  runOk(argv: readonly string[], options?: RunOptions): Promise<string> {
    return runOk([...this.enter, ...argv], options);
  }

  /** `node.sh("ip link set eth0 up && …")`: a shell line inside the node. @throws Error when it fails. */
  sh(line: string): Promise<string> {
    return this.runOk(["sh", "-ec", line]);
  }

  /** Starts a program that goes on running inside the node; ended with the node. */
  spawn(argv: readonly string[], env?: Record<string, string>): Daemon {
    // An agent would make pods for practice, and the tests want the processor.
    const daemon = new Daemon([...this.enter, ...argv], { PODWIRE_REHEARSE: "0", ...process.env, ...env });
    this.teardown(() => daemon.stop("SIGKILL"));
    return daemon;
  }

  /** Makes a pod: a named network namespace in the node, as a runtime does before ADD. */
  async pod(name: string): Promise<Pod> {
    const unique = `${name}-${randomBytes(3).toString("hex")}`;
    await this.runOk(["ip", "netns", "add", unique]);
    return new Pod(this, name, unique);
  }

  /**
   * Executes a built plugin as a runtime does. `conf` is one plugin's configuration; a missing cniVersion or name is
   * filled in. For chains and cached results see {@link runtime}.
   */
  cni(verb: Verb, pod: Pod, conf: object, env: Record<string, string> = {}): Promise<Called> {
    return this.runtime.call(verb, pod, { cniVersion: "1.0.0", name: "test", ...conf }, env);
  }

  /** The node's links, addresses, routes, neighbours, rules and nft ruleset as text, random parts removed. */
  snapshot(options?: SnapshotOptions): Promise<string> {
    return snapshot(this, options);
  }

  teardown(work: () => Promise<void> | void): void {
    this.#teardowns.unshift(work);
  }

  async stop(): Promise<void> {
    for (const work of this.#teardowns) await work();
    if (this.#holder.exitCode !== null || this.#holder.signalCode !== null) return;
    const exit = once(this.#holder, "exit");
    this.#holder.stdin?.end();
    await exit;
  }
}

export type Verb = "ADD" | "DEL" | "CHECK" | "GC" | "STATUS" | "VERSION";

/** What one execution of a plugin answered. */
export interface Called extends Finished {
  /** stdout as JSON: a result, an error or nothing. */
  readonly json: Record<string, unknown> | undefined;
}

/** A fresh node, gone after the test. */
export async function startNode(owner: Owner, name = "node"): Promise<Node> {
  if (!existsSync(join(BIN, "bridge"))) throw new Error(`${BIN} holds no plugins: run hack/build first`);
  const holder = spawn("unshare", ["--net", "--mount", "--propagation=private", "sh", "-c", HOLD], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const node = new Node(name, holder);
  owner.teardown(() => node.stop());
  const [text] = (await once(holder.stdout, "data")) as [Buffer];
  if (!text.toString().includes("ready")) throw new Error(`the namespaces of ${name} could not be made`);
  if (HOSTED) await startPluginHost(node);
  return node;
}

/**
 * An agent that never hears of a controller, and so does nothing but serve the plugins' calls. With
 * PODWIRE_TEST_HOST=agent every node has one: the tests of the plugins then run through it.
 */
export async function startPluginHost(node: Node): Promise<Daemon> {
  const agent = node.spawn([`${BIN}/podwire-agent`, "--controller=127.0.0.1:1", "--health-listen="]);
  await agent.prints(/"msg":"serving CNI calls"/);
  return agent;
}
