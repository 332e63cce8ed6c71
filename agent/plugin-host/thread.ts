import { Worker } from "node:worker_threads";
import type { Logger } from "pino";
import type { FromPluginHost, PluginHostData, ToPluginHost } from "./messages.ts";

/** Far above what thousands of pods take; an endless loop of allocations ends the thread, not the node. */
const LIMITS = { maxOldGenerationSizeMb: 256, maxYoungGenerationSizeMb: 2 } as const;
const FIRST_RESTART_MS = 100;
const LONGEST_RESTART_MS = 10_000;

/** The plugin host in its thread, started again when it ends by itself. */
export class PluginHostThread {
  readonly #file: string;
  readonly #data: PluginHostData;
  readonly #log: Logger;
  readonly #questions = new Map<number, (text: string) => void>();
  #worker: Worker;
  #listening = false;
  #stopping = false;
  #restartMs = FIRST_RESTART_MS;
  #asked = 0;
  #problem = "the plugin host has not started yet";

  /** @param file runs the plugin host when it is a thread's */
  constructor(file: string, data: PluginHostData, log: Logger) {
    this.#file = file;
    this.#data = data;
    this.#log = log;
    this.#worker = this.#start();
  }

  /** Why calls are not served by the agent now; undefined while they are. */
  notReady(): string | undefined {
    return this.#listening ? undefined : `CNI calls are not served at ${this.#data.socket}: ${this.#problem}`;
  }

  /** The thread's metrics in Prometheus' text format; nothing while it is not there. */
  metrics(): Promise<string> {
    if (!this.#listening) return Promise.resolve("");
    const id = ++this.#asked;
    return new Promise((resolve) => {
      this.#questions.set(id, resolve);
      this.#tell({ type: "metrics", id });
    });
  }

  /** Lets the calls that are under way end. */
  async stop(): Promise<void> {
    this.#stopping = true;
    if (!this.#listening) return;
    const ended = new Promise((resolve) => this.#worker.once("exit", resolve));
    this.#tell({ type: "stop" });
    await ended;
  }

  #tell(message: ToPluginHost): void {
    this.#worker.postMessage(message);
  }

  #start(): Worker {
    const worker = new Worker(this.#file, {
      workerData: this.#data,
      resourceLimits: LIMITS,
      trackUnmanagedFds: false, // netlink sockets and namespaces are opened by the system call itself
    });
    worker.on("message", (message: FromPluginHost) => this.#hear(message));
    worker.on("error", (error) => {
      this.#problem = error instanceof Error ? error.message : String(error);
      this.#log.error({ err: error }, "the plugin host failed");
    });
    worker.on("exit", () => this.#ended());
    return worker;
  }

  #hear(message: FromPluginHost): void {
    switch (message.type) {
      case "listening":
        this.#listening = true;
        this.#restartMs = FIRST_RESTART_MS;
        this.#log.info({ socket: this.#data.socket }, "serving CNI calls");
        return;
      case "log":
        this.#log[message.level](message.details, message.message);
        return;
      case "metrics":
        this.#questions.get(message.id)?.(message.text);
        this.#questions.delete(message.id);
        return;
      case "stopped":
        return;
    }
  }

  #ended(): void {
    this.#listening = false;
    for (const resolve of this.#questions.values()) resolve("");
    this.#questions.clear();
    if (this.#stopping) return;
    this.#log.error({ restartInMs: this.#restartMs }, "the plugin host ended, and is started again");
    setTimeout(() => {
      if (!this.#stopping) this.#worker = this.#start();
    }, this.#restartMs);
    this.#restartMs = Math.min(2 * this.#restartMs, LONGEST_RESTART_MS);
  }
}
