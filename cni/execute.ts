import { type ChildProcess, spawn } from "node:child_process";
import { setTimeout as delay } from "node:timers/promises";
import type { Env } from "./environment.ts";
import { CniError, Code, messageOf, NotStartedError } from "./error.ts";
import { LARGEST_DOCUMENT } from "./json.ts";

export interface Execution {
  /** The exit code; undefined when a signal ended the process. */
  readonly exitCode: number | undefined;
  readonly signal: string | undefined;
  readonly stdout: Uint8Array;
  /** The beginning of what it wrote there. */
  readonly stderr: string;
}

export interface ExecuteOptions {
  readonly env: Env;
  readonly input: string;
  /** Milliseconds after which the process and its children are killed. */
  readonly limit: number;
}

/** As libcni does while an installer still has the file open for writing. */
const BUSY_RETRIES = 5;
const BUSY_PAUSE = 1000;
const LARGEST_STDERR = 64 * 1024;

/**
 * Runs a plugin that is not ours: this is how the protocol delegates. The process gets a group of its own, so that the
 * limit ends its children too.
 * @throws NotStartedError (code 5) when it cannot be executed; CniError 11 when the limit has passed ("try again later"),
 * 6 when it writes more than a document may hold.
 */
export async function execute(file: string, options: ExecuteOptions): Promise<Execution> {
  for (let retries = BUSY_RETRIES; ; retries--) {
    try {
      return await executeOnce(file, options);
    } catch (error) {
      if (error instanceof CniError) throw error;
      const busy = error instanceof Error && "code" in error && error.code === "ETXTBSY";
      if (!busy || retries === 0) {
        throw new NotStartedError(Code.ioFailure, `${file} could not be started: ${messageOf(error)}`, {
          cause: error,
        });
      }
      await delay(BUSY_PAUSE);
    }
  }
}

function executeOnce(file: string, { env, input, limit }: ExecuteOptions): Promise<Execution> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, [], { env: { ...env }, stdio: ["pipe", "pipe", "pipe"], detached: true });
    const stop = (error: CniError) => {
      clearTimeout(timer);
      killGroup(child);
      reject(error);
    };
    const timer = setTimeout(() => {
      stop(new CniError(Code.tryAgainLater, `${file} did not end within ${limit} ms and was killed`));
    }, limit);

    const stdout: Buffer[] = [];
    let length = 0;
    child.stdout.on("data", (chunk: Buffer) => {
      length += chunk.length;
      if (length <= LARGEST_DOCUMENT) stdout.push(chunk);
      else stop(new CniError(Code.decodingFailure, `${file} wrote more than ${LARGEST_DOCUMENT} bytes to stdout`));
    });
    let stderr = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text.slice(0, LARGEST_STDERR - stderr.length);
    });
    child.stdin.on("error", () => {}); // it may end without reading
    child.stdin.end(input);

    child.on("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.on("close", (exitCode, signal) => {
      clearTimeout(timer);
      resolve({
        exitCode: exitCode ?? undefined,
        signal: signal ?? undefined,
        stdout: Buffer.concat(stdout),
        stderr,
      });
    });
  });
}

function killGroup(child: ChildProcess): void {
  child.stdout?.destroy();
  child.stderr?.destroy();
  child.unref();
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch {
    // the group has already ended
  }
}
