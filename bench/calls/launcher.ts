import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { runOk } from "../../test/netns/harness/exec.ts";
import type { Node, Owner } from "../../test/netns/harness/node.ts";

const SOURCE = fileURLToPath(new URL("launch.c", import.meta.url));

/** A program to be started in a node, as a runtime starts a plugin. */
export interface Start {
  readonly node: Node;
  readonly program: string;
  readonly env: Readonly<Record<string, string>>;
  readonly input: string;
}

export interface Ended {
  /** From before vfork until the parent has waited for it. */
  readonly milliseconds: number;
  /** Milliseconds of a clock that all of one job share. */
  readonly startedAt: number;
  readonly endedAt: number;
  /** The exit code; 128 + signal number when a signal ended it. */
  readonly code: number;
  /** ru_maxrss of the process and of those of its children that it has waited for, in MiB. */
  readonly peak: number;
  readonly stdout: string;
}

/** Starts programs by a small C program, so that what is measured is the programs and next to nothing of ours. */
export class Launcher {
  readonly #folder: string;
  #jobs = 0;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** Compiles the C program. @throws Error when there is no C compiler */
  static async make(owner: Owner): Promise<Launcher> {
    const folder = mkdtempSync(join(tmpdir(), "podwire-bench-"));
    owner.teardown(() => rmSync(folder, { recursive: true, force: true }));
    await runOk(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-static", "-o", join(folder, "launch"), SOURCE]);
    return new Launcher(folder);
  }

  /** One after another; each is waited for before the next is started. */
  serially(starts: readonly Start[]): Promise<readonly Ended[]> {
    return this.#run(starts.map((start) => [start]));
  }

  /** All at once, then waits for all. @param cgroup where they and the launcher count, when given */
  atOnce(starts: readonly Start[], cgroup?: string): Promise<readonly Ended[]> {
    return this.#run([starts], cgroup);
  }

  async #run(batches: readonly (readonly Start[])[], cgroup?: string): Promise<readonly Ended[]> {
    const job = `${this.#folder}/job-${this.#jobs++}`;
    const starts = batches.flat();
    const numbers = new Map(starts.map((start, i) => [start, i]));
    for (const [start, i] of numbers) writeFileSync(`${job}.${i}.in`, start.input);
    const line = (start: Start) => {
      const file = `${job}.${numbers.get(start)}`;
      const env = Object.entries(start.env).map(([key, value]) => `${key}=${value}`);
      return [start.node.pid, `${file}.in`, `${file}.out`, start.program, ...env].join("\t");
    };
    const input = batches.map((batch) => `${batch.map(line).join("\n")}\n\n`).join("");
    const argv = [join(this.#folder, "launch"), ...(cgroup === undefined ? [] : [cgroup])];
    const printed = (await runOk(argv, { input, timeout: 600_000 })).trim().split("\n");
    const ended = printed.map((text, i) => parseEnded(text, `${job}.${i}.out`));
    for (const i of numbers.values()) for (const end of ["in", "out"]) rmSync(`${job}.${i}.${end}`, { force: true });
    return ended;
  }
}

function parseEnded(line: string, output: string): Ended {
  const [started = 0, ended = 0, code = 0, peak = 0] = line.split(" ").map(Number);
  return {
    milliseconds: (ended - started) / 1e6,
    startedAt: started / 1e6,
    endedAt: ended / 1e6,
    code,
    peak: peak / 1024,
    stdout: existsSync(output) ? readFileSync(output, "utf8") : "",
  };
}
