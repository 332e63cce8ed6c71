import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type ChannelCredentials, type ClientDuplexStream, credentials } from "@grpc/grpc-js";
import type { ControllerMessage__Output as ControllerMessage } from "../../proto/gen/podwire/v1/ControllerMessage.ts";
import type { Hello } from "../../proto/gen/podwire/v1/Hello.ts";
import type { NodeMessage } from "../../proto/gen/podwire/v1/NodeMessage.ts";
import { loadProto } from "../../proto/load.ts";

const ROOT = join(import.meta.dirname, "../..");

const BUILT = join(ROOT, "dist/bin/cnictl");
/** The words that run cnictl: as hack/build made it, or else from its source, which takes ten times as long to start. */
export const CNICTL: readonly string[] = existsSync(BUILT)
  ? [process.execPath, BUILT]
  : [process.execPath, "--import=tsx", join(ROOT, "cnictl/main.ts")];

interface Test {
  teardown(end: () => unknown): void;
}

/** Starts the real controller with its memory store on a free loopback port; it ends with the test. */
export async function startController(
  t: Test,
  ...flags: readonly string[]
): Promise<{ address: string; process: ChildProcess }> {
  const words = ["--store", "memory", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", ...flags];
  const controller = spawn(process.execPath, ["--import=tsx", "controller/main.ts", ...words], {
    cwd: ROOT,
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.teardown(() => stop(controller));
  for await (const line of createInterface({ input: controller.stdout })) {
    const { msg, address } = JSON.parse(line) as { msg: string; address: string };
    if (msg !== "listening") continue;
    controller.stdout.resume();
    return { address, process: controller };
  }
  throw new Error("the controller ended before it listened");
}

/** Ends a process that the test started, and waits for it. */
export async function stop(child: ChildProcess, signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill(signal);
  await once(child, "exit");
}

export interface Outcome {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs the real cnictl to its end. */
export async function cnictl(server: string, ...words: readonly string[]): Promise<Outcome> {
  const child = startCnictl(server, ...words);
  let [out, err] = ["", ""];
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    out += text;
  });
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    err += text;
  });
  await once(child, "close");
  return { code: child.exitCode, out, err };
}

/** Starts the real cnictl; the controller's address comes by the environment. */
export function startCnictl(server: string, ...words: readonly string[]): ChildProcess {
  const [program = "", ...first] = CNICTL;
  return spawn(program, [...first, ...words], {
    cwd: ROOT,
    env: { ...process.env, CNICTL_SERVER: server },
    stdio: ["ignore", "pipe", "pipe"],
  });
}

/** A node's end of a session: what an agent says, without an agent. */
export interface FakeNode {
  send(message: NodeMessage): void;
  /** The next message of that kind; those of other kinds are dropped. */
  next<K extends "lease" | "snapshot" | "delta">(kind: K): Promise<NonNullable<ControllerMessage[K]>>;
  leave(): void;
}

/** Joins as a node. It acknowledges nothing by itself. */
export function joinNode(
  t: Test,
  address: string,
  name: string,
  hello: Hello = {},
  channel: ChannelCredentials = credentials.createInsecure(),
): FakeNode {
  const { Nodes } = loadProto();
  const client = new Nodes(address, channel);
  const stream: ClientDuplexStream<NodeMessage, ControllerMessage> = client.session();
  const messages: ControllerMessage[] = [];
  let wake = () => {};
  stream.on("data", (message: ControllerMessage) => {
    messages.push(message);
    wake();
  });
  let failure: Error | undefined;
  stream.on("error", (error) => {
    failure = error;
    wake();
  });
  const leave = () => {
    stream.cancel();
    client.close();
  };
  t.teardown(leave);
  stream.write({
    hello: {
      nodeId: `id-${name}`,
      nodeName: name,
      backends: ["vxlan/flow", "vxlan/static", "host-gw"],
      version: "0.1.0",
      bootId: `boot-${name}`,
      ...hello,
    },
  });
  return {
    send: (message) => void stream.write(message),
    leave,
    async next(kind) {
      for (;;) {
        const message = messages.shift();
        const found = message?.[kind];
        if (found) return found as never;
        if (message === undefined && failure !== undefined) throw failure;
        if (message === undefined) {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
    },
  };
}
