import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Cluster } from "../../test/cluster/harness/cluster.ts";
import { eventually } from "../../test/netns/harness/eventually.ts";
import type { Stage } from "../measure.ts";
import type { Joined } from "./sessions.main.ts";

/** Sessions without a kernel, in a program of their own. */
export class Sessions {
  readonly joined = new Map<number, Joined>();
  readonly #input: NodeJS.WritableStream;
  /** Ends the program. */
  readonly stop: () => void;

  /** @param underlay what they have addresses of */
  constructor(stage: Stage, cluster: Cluster, tls: readonly string[], underlay: "IPv4" | "both families" = "IPv4") {
    const program = new URL("sessions.main.ts", import.meta.url).pathname;
    const node = [process.execPath, "--no-deprecation", "--import", import.meta.resolve("tsx"), program];
    const argv = [
      "setpriv",
      "--pdeathsig",
      "KILL",
      ...node,
      cluster.endpoint,
      ...tls.filter((word) => word.startsWith("/")),
      underlay,
    ];
    const [command = "", ...args] = [...cluster.underlay.hub.enter, ...argv];
    const child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
    this.stop = () => void child.kill("SIGKILL");
    stage.teardown(this.stop);
    this.#input = child.stdin;
    createInterface({ input: child.stdout }).on("line", (line) => {
      const joined = JSON.parse(line) as Joined;
      this.joined.set(joined.node, joined);
    });
  }

  async join(nodes: readonly number[]): Promise<Joined[]> {
    this.#input.write(nodes.map((node) => `${node}\n`).join(""));
    return eventually(() => {
      const all = nodes.map((node) => this.joined.get(node)).filter((each) => each !== undefined);
      return all.length === nodes.length ? all : undefined;
    }, `${nodes.length} sessions hold a subnet`);
  }
}
