import { type ChildProcess, spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** A real etcd of one member on loopback, which can be killed and started again with its data. */
export class EtcdProcess {
  readonly endpoint: string;
  readonly #folder: string;
  readonly #peer: string;
  readonly #extra: readonly string[];
  #child: ChildProcess | undefined;

  private constructor(extra: readonly string[]) {
    const scheme = extra.length > 0 ? "https" : "http";
    // An address of its own: a free port of 127.0.0.1 may be somebody else's by the time it is needed, or needed again.
    const host = `127.${randomInt(1, 255)}.${randomInt(256)}.${randomInt(1, 255)}`;
    this.endpoint = `${scheme}://${host}:2379`;
    this.#peer = `http://${host}:2380`;
    this.#folder = mkdtempSync(join(tmpdir(), "podwire-etcd-"));
    this.#extra = extra;
  }

  /** `extra`: flags such as certificates; with any, clients speak TLS. */
  static async start(extra: readonly string[] = []): Promise<EtcdProcess> {
    const etcd = new EtcdProcess(extra);
    await etcd.restart();
    return etcd;
  }

  /** Resolves when it serves clients. */
  async restart(): Promise<void> {
    const flags = {
      name: "one",
      "data-dir": this.#folder,
      "listen-client-urls": this.endpoint,
      "advertise-client-urls": this.endpoint,
      "listen-peer-urls": this.#peer,
      "initial-advertise-peer-urls": this.#peer,
      "initial-cluster": `one=${this.#peer}`,
      logger: "zap",
    };
    const list = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
    const child = spawn("/usr/bin/etcd", [...list, ...this.#extra], { stdio: ["ignore", "ignore", "pipe"] });
    this.#child = child;
    const served = new Promise<void>((resolve, reject) => {
      child.once("exit", (code) => reject(new Error(`etcd ended with ${code}`)));
      createInterface({ input: child.stderr }).on("line", (line) => {
        if (line.includes("serving") && line.includes("client")) resolve();
      });
    });
    await served;
  }

  /** kill -9. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
