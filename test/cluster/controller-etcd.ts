import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
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

  private constructor(clientPort: number, peerPort: number, extra: readonly string[]) {
    const scheme = extra.length > 0 ? "https" : "http";
    this.endpoint = `${scheme}://127.0.0.1:${clientPort}`;
    this.#peer = `http://127.0.0.1:${peerPort}`;
    this.#folder = mkdtempSync(join(tmpdir(), "podwire-etcd-"));
    this.#extra = extra;
  }

  /** `extra`: flags such as certificates; with any, clients speak TLS. */
  static async start(extra: readonly string[] = []): Promise<EtcdProcess> {
    const etcd = new EtcdProcess(await freePort(), await freePort(), extra);
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

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
