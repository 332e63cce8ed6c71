import type { Daemon, Finished, RunOptions } from "./exec.ts";
import type { Node } from "./node.ts";

/** A pod's sandbox on a node: a named network namespace and a container ID. */
export class Pod {
  readonly node: Node;
  readonly name: string;
  readonly containerId: string;

  constructor(node: Node, name: string, containerId: string) {
    this.node = node;
    this.name = name;
    this.containerId = containerId;
  }

  /** CNI_NETNS, a path inside the node. */
  get netns(): string {
    return `/run/netns/${this.containerId}`;
  }

  /** The same namespace, as the test's own process can open it. */
  get netnsFromOutside(): string {
    return this.node.path(this.netns);
  }

  run(argv: readonly string[], options?: RunOptions): Promise<Finished> {
    return this.node.run(["ip", "netns", "exec", this.containerId, ...argv], options);
  }

  runOk(argv: readonly string[], options?: RunOptions): Promise<string> {
    return this.node.runOk(["ip", "netns", "exec", this.containerId, ...argv], options);
  }

  /** A program that goes on running inside the pod; ended with the node. */
  spawn(argv: readonly string[]): Daemon {
    return this.node.spawn(["ip", "netns", "exec", this.containerId, ...argv]);
  }

  /**
   * The round-trip time of one ping in milliseconds, undefined when none of `tries` was answered. The last is waited for
   * long: on a slow machine ping may not be there when the answer is.
   */
  async ping(address: string, tries = 3): Promise<number | undefined> {
    const wait = tries > 1 ? "1" : "10";
    const { stdout } = await this.run(["ping", "-n", "-c", "1", "-W", wait, address]);
    const [, time] = /time[=<]([\d.]+) ms/.exec(stdout) ?? [];
    if (time !== undefined) return Number(time);
    return tries > 1 ? this.ping(address, tries - 1) : undefined;
  }

  async pings(address: string, tries = 3): Promise<boolean> {
    return (await this.ping(address, tries)) !== undefined;
  }

  /** Whether one ping has no answer within a second. */
  async cannotPing(address: string): Promise<boolean> {
    const { stdout } = await this.run(["ping", "-n", "-c", "1", "-W", "1", address]);
    return !/time[=<]/.test(stdout);
  }

  /** Takes the namespace away, as a runtime does, or as a crash does before DEL. */
  async deleteNetns(): Promise<void> {
    await this.node.run(["ip", "netns", "del", this.containerId]);
  }
}
