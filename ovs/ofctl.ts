import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Thousands of flows take it a second on a slow machine. */
const LIMIT_MS = 30_000;

/** The flows of a bridge that are not as in the text, one line for each. None: they are. @throws Error */
export async function differingFlows(socket: string, flows: string): Promise<readonly string[]> {
  const { code, stdout, stderr } = await ofctl((file) => ["diff-flows", `unix:${socket}`, file], flows);
  if (code !== 0 && code !== 2) throw failure("diff-flows", socket, stderr);
  return stdout.split("\n").filter((line) => /^[+-]/.test(line));
}

/** Makes the bridge's flows those of the text, in one transaction that touches only those which differ. @throws Error */
export async function replaceFlows(socket: string, flows: string): Promise<void> {
  const { code, stderr } = await ofctl((file) => ["--bundle", "replace-flows", `unix:${socket}`, file], flows);
  if (code !== 0) throw failure("replace-flows", socket, stderr);
}

function failure(command: string, socket: string, stderr: string): Error {
  return new Error(`ovs-ofctl ${command} ${socket} failed: ${stderr.trim().slice(0, 400)}`);
}

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * ovs-ofctl(8) knows how to compare two flow tables and to change one within an OpenFlow 1.4 bundle. A child process of the
 * agent's pass, when flows or what is wanted of them changed; packets and pods never wait for it. It takes flows to
 * compare from files alone.
 */
async function ofctl(command: (file: string) => readonly string[], flows: string): Promise<Ended> {
  const folder = await mkdtemp(join(tmpdir(), "podwire-flows-"));
  try {
    const file = join(folder, "flows");
    await writeFile(file, flows, { mode: 0o600 });
    return await run(["-O", "OpenFlow14", ...command(file)]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function run(args: readonly string[]): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn("ovs-ofctl", args, {
      stdio: ["ignore", "pipe", "pipe"],
      timeout: LIMIT_MS,
      killSignal: "SIGKILL",
    });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    child.on("error", (cause) => {
      reject(new Error("ovs-ofctl cannot be started; install Debian's openvswitch-switch, or its like", { cause }));
    });
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
}
