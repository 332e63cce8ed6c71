import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { delimiter } from "node:path";
import { BIN, type Called, type Node, type Verb } from "./node.ts";
import type { Pod } from "./pod.ts";

/** A network configuration list (conflist). */
export interface ConfList {
  readonly cniVersion: string;
  readonly name: string;
  readonly plugins: readonly Record<string, unknown>[];
}

export interface CallOptions {
  readonly ifName?: string;
  readonly args?: string;
  /** Values for the capabilities that plugins declare: portMappings, ips, mac, … */
  readonly runtimeConfig?: Record<string, unknown>;
}

/** Executes plugins as libcni does: chain order, prevResult, cached results, reverse order on DEL. */
export class Runtime {
  readonly #node: Node;
  readonly #bin: string;

  /** @param bin the folder of plugins that comes first */
  constructor(node: Node, bin = BIN) {
    this.#node = node;
    this.#bin = bin;
  }

  /** One execution of one plugin. */
  async call(verb: Verb, pod: Pod | undefined, conf: object, env: Record<string, string> = {}): Promise<Called> {
    const type = "type" in conf ? String(conf.type) : "";
    const attachment =
      pod === undefined ? {} : { CNI_CONTAINERID: pod.containerId, CNI_NETNS: pod.netns, CNI_IFNAME: "eth0" };
    const finished = await this.#node.run([`${this.#bin}/${type}`], {
      input: JSON.stringify(conf),
      env: {
        PATH: process.env.PATH ?? "",
        CNI_COMMAND: verb,
        CNI_PATH: [this.#bin, "/usr/lib/cni"].join(delimiter),
        ...attachment,
        ...env,
      },
    });
    const text = finished.stdout.trim();
    return { ...finished, json: text === "" ? undefined : JSON.parse(text) };
  }

  /** Brings `lo` of the pod up, which containerd does as a network of its own before any other. */
  async loopback(pod: Pod): Promise<void> {
    const conf = { cniVersion: "1.0.0", name: "cni-loopback", type: "loopback" };
    const { code, stdout } = await this.call("ADD", pod, conf, { CNI_IFNAME: "lo" });
    if (code !== 0) throw new Error(`loopback: ${stdout}`);
  }

  /** Runs the chain and caches the last result. Like libcni, it leaves cleaning up after a failure to DEL. */
  async add(list: ConfList, pod: Pod, options: CallOptions = {}): Promise<Called> {
    let last: Called | undefined;
    for (const plugin of list.plugins) {
      const called = await this.call("ADD", pod, conf(list, plugin, options, last?.json), environment(options));
      if (called.code !== 0) return called;
      last = called;
    }
    if (last === undefined) throw new Error(`${list.name} lists no plugin`);
    mkdirSync(this.#node.path("/var/lib/cni/results"), { recursive: true });
    const cached = { kind: "cniCacheV1", containerId: pod.containerId, networkName: list.name, result: last.json };
    writeFileSync(this.#cachePath(list, pod, options), JSON.stringify(cached));
    return last;
  }

  async check(list: ConfList, pod: Pod, options: CallOptions = {}): Promise<Called | undefined> {
    const prevResult = this.#cached(list, pod, options);
    let last: Called | undefined;
    for (const plugin of list.plugins) {
      last = await this.call("CHECK", pod, conf(list, plugin, options, prevResult), environment(options));
      if (last.code !== 0) return last;
    }
    return last;
  }

  /** Reverse order, prevResult from the cache; stops at the first failure, as libcni does. */
  async del(list: ConfList, pod: Pod, options: CallOptions = {}): Promise<Called | undefined> {
    const prevResult = this.#cached(list, pod, options);
    let last: Called | undefined;
    for (const plugin of list.plugins.toReversed()) {
      last = await this.call("DEL", pod, conf(list, plugin, options, prevResult), environment(options));
      if (last.code !== 0) return last;
    }
    rmSync(this.#cachePath(list, pod, options), { force: true });
    return last;
  }

  /** Removes everything but what these pods hold. */
  async gc(list: ConfList, valid: readonly Pod[], ifName = "eth0"): Promise<Called | undefined> {
    const attachments = valid.map(({ containerId }) => ({ containerID: containerId, ifname: ifName }));
    let last: Called | undefined;
    for (const plugin of list.plugins) {
      const keys = { "cni.dev/valid-attachments": attachments, "cni.dev/attachments": attachments };
      last = await this.call("GC", undefined, { ...conf(list, plugin, {}), ...keys });
      if (last.code !== 0) return last;
    }
    return last;
  }

  async status(list: ConfList): Promise<Called | undefined> {
    let last: Called | undefined;
    for (const plugin of list.plugins) {
      last = await this.call("STATUS", undefined, conf(list, plugin, {}));
      if (last.code !== 0) return last;
    }
    return last;
  }

  #cachePath(list: ConfList, pod: Pod, { ifName = "eth0" }: CallOptions): string {
    return this.#node.path(`/var/lib/cni/results/${list.name}-${pod.containerId}-${ifName}`);
  }

  #cached(list: ConfList, pod: Pod, options: CallOptions): unknown {
    try {
      return JSON.parse(readFileSync(this.#cachePath(list, pod, options), "utf8")).result;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
  }
}

function conf(list: ConfList, plugin: Record<string, unknown>, options: CallOptions, prevResult?: unknown): object {
  const capabilities = (plugin.capabilities ?? {}) as Record<string, boolean>;
  const offered = Object.entries(options.runtimeConfig ?? {}).filter(([key]) => capabilities[key] === true);
  return {
    ...plugin,
    cniVersion: list.cniVersion,
    name: list.name,
    ...(offered.length === 0 ? {} : { runtimeConfig: Object.fromEntries(offered) }),
    ...(prevResult === undefined ? {} : { prevResult }),
  };
}

function environment({ ifName, args }: CallOptions): Record<string, string> {
  return { ...(ifName === undefined ? {} : { CNI_IFNAME: ifName }), ...(args === undefined ? {} : { CNI_ARGS: args }) };
}
