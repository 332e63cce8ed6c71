import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { eventually, PATIENCE_MS } from "./eventually.ts";

export interface Finished {
  /** The exit code; 128 + signal number when a signal ended it, as a shell says it. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: string;
  readonly env?: Record<string, string>;
  /** Milliseconds until SIGKILL; patience for a hang when absent. */
  readonly timeout?: number;
  readonly cwd?: string;
}

/** Runs a program to its end and collects what it prints. A non-zero exit is no error. */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const [command = "", ...args] = argv;
  const child = spawn(command, args, {
    env: options.env ?? process.env,
    stdio: ["pipe", "pipe", "pipe"],
    timeout: options.timeout ?? PATIENCE_MS,
    killSignal: "SIGKILL",
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  const [stdout, stderr] = [collect(child.stdout), collect(child.stderr)];
  child.stdin.on("error", () => {}); // the program may end without reading its input
  child.stdin.end(options.input ?? "");
  const [code, signal] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];
  return { code: code ?? 128 + (signal === "SIGKILL" ? 9 : 15), stdout: await stdout, stderr: await stderr };
}

/** Runs a program and returns its stdout. @throws Error with both outputs when it fails. */
export async function runOk(argv: readonly string[], options: RunOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await run(argv, options);
  if (code !== 0) throw new Error(`${argv.join(" ")}: exit ${code}\n${stdout}${stderr}`);
  return stdout;
}

/** A program that goes on running. Ends with the process that started it, whatever happens to that. */
export class Daemon {
  readonly process: ChildProcess;
  /** Everything it printed so far, stdout and stderr in order of arrival. */
  output = "";
  #waiting: { readonly pattern: RegExp; readonly found: (match: RegExpExecArray) => void }[] = [];
  /** Resolves when it has ended and all that it printed has arrived, which may be after the news of its end. */
  readonly #closed: Promise<"closed">;

  constructor(argv: readonly string[], env: Record<string, string | undefined> = process.env) {
    this.process = spawn("setpriv", ["--pdeathsig", "KILL", ...argv], { env, stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => this.#append(text));
    }
    this.#closed = new Promise((resolve) => this.process.once("close", () => resolve("closed")));
  }

  get running(): boolean {
    return this.process.exitCode === null && this.process.signalCode === null;
  }

  /** Waits until the output matches. @throws Error with the output when the program ends or `timeout` ms pass before. */
  async prints(pattern: RegExp, timeout = PATIENCE_MS): Promise<RegExpExecArray> {
    const match = pattern.exec(this.output);
    if (match !== null) return match;
    let timer: NodeJS.Timeout | undefined;
    const silence = new Promise<"silent">((resolve) => {
      timer = setTimeout(() => resolve("silent"), timeout);
    });
    const printed = new Promise<RegExpExecArray>((found) => this.#waiting.push({ pattern, found }));
    try {
      const answer = await Promise.race([printed, this.#closed, silence]);
      if (answer === "silent") throw new Error(`no ${pattern} within ${timeout} ms in:\n${this.output}`);
      if (answer === "closed") throw new Error(`ended before printing ${pattern}:\n${this.output}`);
      return answer;
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * For a program that tells of changes, and not that it has begun to: makes a change again and again until it is told.
   * Whatever was before has been told then, too.
   */
  async hears(change: () => Promise<unknown>, pattern: RegExp): Promise<void> {
    const from = this.output.length;
    await eventually(async () => {
      await change();
      return pattern.test(this.output.slice(from));
    }, `${pattern} is heard`);
  }

  /** Sends the signal and waits for the end. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    if (!this.running) return;
    const exit = once(this.process, "exit");
    this.process.kill(signal);
    const timer = setTimeout(() => this.process.kill("SIGKILL"), PATIENCE_MS);
    await exit;
    clearTimeout(timer);
  }

  #append(text: string): void {
    this.output += text;
    this.#waiting = this.#waiting.filter(({ pattern, found }) => {
      const match = pattern.exec(this.output);
      if (match !== null) found(match);
      return match === null;
    });
  }
}

async function collect(stream: NodeJS.ReadableStream): Promise<string> {
  let text = "";
  stream.setEncoding("utf8");
  for await (const chunk of stream) text += chunk;
  return text;
}
