import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, linkSync, mkdirSync, writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { dirname, join } from "node:path";
import { buffer } from "node:stream/consumers";
import { SHIM_FLAGS } from "../../hack/shim.ts";
import { BIN, type Node } from "./harness/node.ts";

export const SOCKET = "/run/podwire/cni.sock";
export const SPOOL = "/var/lib/podwire/spool";
/** A folder of the node's own with a shim in it, and beside it a plugin that only tells how it was called. */
export const FOLDER = "/run/shim";

/** Prints what it was called with, after PAUSE milliseconds, and ends with exit code 3, which nobody else here does. */
const RECORDER = `
const { CNI_COMMAND: command, MARK: mark, PAUSE: pause } = process.env;
if (pause) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Number(pause));
const stdin = require("fs").readFileSync(0, "latin1");
console.log(JSON.stringify({ plugin: process.argv[1], command, mark, length: stdin.length, stdin: stdin.slice(0, 100) }));
process.exit(3);
`;

export interface ShimCall {
  readonly command?: string | undefined;
  readonly env?: Record<string, string>;
  readonly stdin?: string | Uint8Array;
  /** Without it no Node.js can be found. */
  readonly withNode?: boolean;
  /** Leaves stdin open after what was written to it. */
  readonly open?: boolean;
}

export interface ShimAnswer {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
}

export const CONF = '{"cniVersion":"0.4.0","name":"net","type":"bridge"}';
export const ATTACHMENT = { CNI_CONTAINERID: "c-1", CNI_IFNAME: "eth0", CNI_NETNS: "/run/netns/x", CNI_PATH: "/b" };

/** Puts a shim into {@link FOLDER}, with the recorder beside it. */
export function placeShim(node: Node, shim = join(BIN, "bridge"), folder = FOLDER): string {
  mkdirSync(node.path(folder), { recursive: true });
  copyFileSync(shim, node.path(join(folder, "bridge")));
  placeRecorder(node, folder);
  return join(folder, "bridge");
}

export function placeRecorder(node: Node, folder: string): void {
  mkdirSync(node.path(join(folder, ".podwire")), { recursive: true });
  writeFileSync(node.path(join(folder, ".podwire/bridge")), RECORDER);
}

/** Executes a shim inside the node with exactly this environment, and collects the bytes it writes. */
export async function callShim(node: Node, path: string, call: ShimCall): Promise<ShimAnswer> {
  const { command, env = ATTACHMENT, stdin = CONF, withNode = false, open = false } = call;
  const PATH = withNode ? dirname(process.execPath) : "/nonexistent";
  const variables = { ...env, ...(command === undefined ? {} : { CNI_COMMAND: command }), PATH };
  const [, ...words] = node.enter;
  const child = spawn("/usr/bin/nsenter", [...words, path], { env: variables, stdio: "pipe" });
  child.stdin.on("error", () => {}); // who refuses a call need not read it
  child.stdin.write(stdin);
  if (!open) child.stdin.end();
  const [stdout, stderr] = [buffer(child.stdout), buffer(child.stderr)];
  const [code] = (await once(child, "exit")) as [number | null];
  child.stdin.destroy();
  return { code, stdout: await stdout, stderr: await stderr };
}

/** The answer as JSON with the exit code: an error, or what the recorder tells. */
export async function jsonOfShim(node: Node, path: string, call: ShimCall): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await callShim(node, path, call);
  const text = stdout.toString();
  if (!text.endsWith("}\n")) throw new Error(`exit ${code}, stdout ${JSON.stringify(text)}, stderr ${stderr}`);
  return { exit: code, ...JSON.parse(text) };
}

/** An answer as it goes over the wire. */
export function answerFrame(code: number, stdout: string | Uint8Array, stderr: string | Uint8Array = ""): Buffer {
  const [out, err] = [Buffer.from(stdout as string), Buffer.from(stderr as string)];
  const head = Buffer.alloc(9);
  head.writeUInt32LE(5 + out.length + err.length, 0);
  head.writeUInt8(code, 4);
  head.writeUInt32LE(out.length, 5);
  return Buffer.concat([head, out, err]);
}

/**
 * Plays the agent on the node's socket: calls `reply` with each whole request. Like the agent, it gives a call up when
 * the shim closes its end.
 */
export class FakeAgent {
  readonly requests: Buffer[] = [];
  readonly server: Server;

  constructor(reply: (socket: Socket) => void) {
    this.server = createServer({ allowHalfOpen: true }, (socket) => {
      let frame = Buffer.alloc(0);
      socket.on("error", () => {});
      socket.on("end", () => socket.end());
      socket.on("data", (chunk) => {
        frame = Buffer.concat([frame, chunk]);
        if (frame.length < 4 || frame.length < 4 + frame.readUInt32LE(0)) return;
        this.requests.push(frame);
        reply(socket);
      });
    });
  }

  /** Listens inside the node; gone with the node. */
  async listen(node: Node): Promise<this> {
    mkdirSync(node.path(dirname(SOCKET)), { recursive: true, mode: 0o700 });
    this.server.listen(node.path(SOCKET));
    await once(this.server, "listening");
    node.teardown(() => this.stop());
    return this;
  }

  async stop(): Promise<void> {
    if (!this.server.listening) return;
    this.server.close();
    await once(this.server, "close");
  }

  /** The last whole request, its length included. */
  last(): Buffer {
    const request = this.requests.at(-1);
    if (request === undefined) throw new Error("no request arrived");
    return request;
  }
}

export const COMPILERS = ["musl-gcc", "cc", "clang", "aarch64-linux-gnu-gcc"] as const;

/** Compiles the shim with further flags into the node's {@link FOLDER}, and the recorder beside it. */
export function compileShim(node: Node, flags: readonly string[]): string {
  mkdirSync(node.path(FOLDER), { recursive: true });
  const target = node.path(join(FOLDER, "bridge"));
  const { status, stderr } = spawnSync("cc", [...SHIM_FLAGS, ...flags, "-o", target, "plugins/shim/shim.c"], {
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`cc: ${stderr}`);
  placeRecorder(node, FOLDER);
  return join(FOLDER, "bridge");
}

/** A second name for a shim, in the same folder. */
export function nameShim(node: Node, path: string, name: string): string {
  const second = join(dirname(path), name);
  linkSync(node.path(path), node.path(second));
  return second;
}
