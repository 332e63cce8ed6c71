import type { Call } from "../journal/call.ts";
import { type JournalEntry, JournalFollower, readJournal, watchJournal } from "../journal/reader.ts";
import { callColumns, callObject, concernsPod, podOf } from "./call-columns.ts";
import type { Context } from "./context.ts";
import { CommandError, ExitCode } from "./exit.ts";
import { FORMATS, type Format, listOf, parseFormat, renderValue } from "./format.ts";
import { printable, TableLayout } from "./table.ts";

export interface CallsOptions {
  readonly output: string;
  readonly headers: boolean;
  readonly watch?: boolean;
  readonly failed?: boolean;
  readonly verb?: string;
  /** Milliseconds. */
  readonly since?: number;
  /** How many at most; 0: all. */
  readonly limit: number;
  /** The journal's path. */
  readonly file: string;
}

/** `cnictl calls`: the CNI calls of this machine, from the journal that the agent writes. Asks neither agent nor controller. */
export async function calls(context: Context, pod: string | undefined, options: CallsOptions): Promise<ExitCode> {
  const format = parseFormat(options.output, FORMATS);
  const print = printer(context, format, options.headers);
  try {
    if (options.watch === true) await follow(context, pod, options, print);
    else await list(context, pod, options, print);
  } catch (error) {
    throw explain(error, options.file);
  }
  return ExitCode.ok;
}

async function list(context: Context, pod: string | undefined, options: CallsOptions, print: Printer): Promise<void> {
  const limit = options.limit || Number.POSITIVE_INFINITY;
  const chosen: JournalEntry[] = [];
  let more = false;
  let known = pod === undefined;
  for (const entry of readJournal(options.file)) {
    if (pod !== undefined && !concernsPod(entry.call, pod)) continue;
    known = true;
    if (!passes(entry.call, options, context.now())) continue;
    more = chosen.length >= limit;
    if (more) break;
    chosen.push(entry);
  }
  if (!known) throw new CommandError(`error: no call for "${pod}" in ${options.file}; it keeps some 10,000 calls`);
  await print.all(chosen);
  if (more && print.forPeople) context.note("There are older ones: --limit 0 shows all.\n");
}

/** Runs until the process is told to stop. */
async function follow(context: Context, pod: string | undefined, options: CallsOptions, print: Printer): Promise<void> {
  const follower = new JournalFollower(options.file);
  const chosen = ({ call }: JournalEntry) =>
    (pod === undefined || concernsPod(call, pod)) && passes(call, options, context.now());
  let started = false;
  let waiting = false;
  for await (const _ of watchJournal(options.file)) {
    const entries = nextOf(follower)?.filter(chosen);
    if (entries !== undefined) await print.more(started ? entries : entries.slice(-options.limit));
    started ||= entries !== undefined;
    if (!waiting && (entries ?? []).length === 0 && print.forPeople) {
      context.note(
        entries === undefined
          ? `There is no call journal at ${options.file} yet; waiting.\n`
          : "No calls found; waiting.\n",
      );
    }
    waiting = true;
  }
}

/** Undefined while there is no journal. */
function nextOf(follower: JournalFollower): JournalEntry[] | undefined {
  try {
    return follower.next();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

function passes(call: Call, { failed, verb, since }: CallsOptions, now: number): boolean {
  if (failed === true && call.code === 0) return false;
  if (verb !== undefined && call.verb !== verb) return false;
  return since === undefined || call.startedAt >= now - since;
}

interface Printer {
  all(entries: readonly JournalEntry[]): Promise<void>;
  /** Those that came while watching. */
  more(entries: readonly JournalEntry[]): Promise<void>;
  /** Whether remarks are of use: no program reads it. */
  readonly forPeople: boolean;
}

function printer(context: Context, format: Format, headers: boolean): Printer {
  const layout = new TableLayout(callColumns(format === "wide"));
  let pending = headers;
  const printTable = (entries: readonly JournalEntry[]) => {
    context.out(
      layout.render(
        entries.map(({ call }) => call),
        { now: context.now(), headers: pending && entries.length > 0 },
      ),
    );
    pending &&= entries.length === 0;
  };
  const names = (entries: readonly JournalEntry[]) =>
    entries.flatMap(({ call }) => (podOf(call) === "" ? [] : [`pod/${printable(podOf(call))}\n`]));
  return {
    forPeople: format === "table" || format === "wide",
    async all(entries) {
      if (format === "name") return context.out([...new Set(names(entries))].join(""));
      if (format === "json" || format === "yaml")
        return context.out(await renderValue(listOf(entries.map(callObject)), format));
      if (entries.length === 0) return context.note("No calls found.\n");
      printTable(entries);
    },
    async more(entries) {
      if (format === "name") return context.out(names(entries).join(""));
      if (format === "table" || format === "wide") return printTable(entries);
      for (const entry of entries) context.out(await renderValue(callObject(entry), format, true));
    },
  };
}

/** A sentence for what a system call said of the journal's file; any other error as it is. */
function explain(error: unknown, file: string): unknown {
  const { code, message } = error as NodeJS.ErrnoException;
  if (error instanceof CommandError || code === undefined) return error;
  const cause = { cause: error };
  if (code === "ENOENT") {
    const text = `error: there is no call journal at ${file}; podwire-agent writes it on each node: run this there, or name another with --file`;
    return new CommandError(text, ExitCode.failure, cause);
  }
  const advice = code === "EACCES" ? "; only root may read it" : "";
  return new CommandError(`error: cannot read the call journal: ${message}${advice}`, ExitCode.failure, cause);
}
