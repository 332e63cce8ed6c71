import { type HostOptions, runPlugin } from "./host.ts";
import type { Plugin } from "./plugin.ts";
import type { Result } from "./result.ts";

/** What a call wrote and how it ended. */
export interface Called {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  /** stdout as JSON; undefined when it is empty. */
  readonly answer: Record<string, unknown> | undefined;
}

export interface CallInput {
  readonly command?: string;
  /** An object becomes JSON. */
  readonly stdin?: string | Uint8Array | object;
  readonly env?: Readonly<Record<string, string>>;
}

/** Calls a plugin in this process as a runtime does, with variables that are right unless `env` says otherwise. */
export async function callPlugin(
  plugin: Plugin,
  { command, stdin = "", env = {} }: CallInput,
  options: Partial<HostOptions> = {},
): Promise<Called> {
  let stdout = "";
  let stderr = "";
  const exitCode = await runPlugin(plugin, {
    env: {
      CNI_CONTAINERID: "container-1",
      CNI_NETNS: "/run/netns/red",
      CNI_IFNAME: "eth0",
      CNI_PATH: "/nonexistent",
      ...(command === undefined ? {} : { CNI_COMMAND: command }),
      ...env,
    },
    stdin: once(stdin),
    stdout: { write: (text: string) => (stdout += text) },
    stderr: { write: (text: string) => (stderr += text) },
    builtins: {},
    ...options,
  });
  return { exitCode, stdout, stderr, answer: stdout === "" ? undefined : JSON.parse(stdout) };
}

async function* once(stdin: string | Uint8Array | object): AsyncGenerator<Uint8Array> {
  if (stdin instanceof Uint8Array) yield stdin;
  else yield Buffer.from(typeof stdin === "string" ? stdin : JSON.stringify(stdin));
}

export interface Recorded {
  readonly verb: string;
  readonly request: unknown;
}

/** A plugin that notes what it is asked and answers ADD with the result. */
export function recordingPlugin(
  name: string,
  result: Result | (() => Result),
  overrides: Partial<Plugin> = {},
): Plugin & { readonly calls: Recorded[] } {
  const calls: Recorded[] = [];
  const note = (verb: string) => async (request: unknown) => void calls.push({ verb, request });
  return {
    name,
    calls,
    async add(request) {
      calls.push({ verb: "ADD", request });
      return typeof result === "function" ? result() : result;
    },
    del: note("DEL"),
    check: note("CHECK"),
    gc: note("GC"),
    status: note("STATUS"),
    ...overrides,
  };
}

/**
 * Milliseconds of processor time. What takes a step for each byte of a MiB takes some fifty; what takes a step for each
 * pair of bytes takes hours, and nothing in between happens on a slow machine.
 */
export const HOSTILE_MS = 5000;

/**
 * Milliseconds of processor time that the fastest of up to ten runs takes; stops at the first under `enough`. Processor
 * time, because other tests run beside this one.
 */
export async function fastest(run: () => Promise<void>, enough = HOSTILE_MS): Promise<number> {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 10 && best >= enough; round++) {
    const start = process.cpuUsage();
    await run();
    const { user, system } = process.cpuUsage(start);
    best = Math.min(best, (user + system) / 1000);
  }
  return best;
}
