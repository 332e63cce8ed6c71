import { type Machine, round } from "../measure.ts";
import type { AgentTimes } from "./agent.ts";

/** A row of the table: what must be shown, and what was. */
export interface Row {
  readonly work: string;
  /** What the measured value is: a ratio of ours to the peer's unless it says something else. */
  readonly of: string;
  readonly limit: number;
  readonly measured: number | null;
  readonly met: boolean | null;
  readonly ours: number | null;
  readonly peer: number | null;
  /** As `measured`, of what one call in ten is quicker than. */
  readonly quick: number | null;
}

/** The median, and what one call in ten is quicker than: other programs on the machine disturb that less. */
export interface Typical {
  readonly median: number;
  readonly quick: number;
}

/** @param ours and @param peer in one unit; the measured value is their quotient */
export function ratioRow(
  work: string,
  limit: number,
  ours: Typical | number | undefined,
  peer: Typical | number | undefined,
  of: string,
): Row {
  const [a, b] = [numbers(ours), numbers(peer)];
  const row = { ...plain(work, limit, quotient(a.median, b.median), of), ours: tidy(a.median), peer: tidy(b.median) };
  return { ...row, quick: quotient(a.quick, b.quick) };
}

function numbers(value: Typical | number | undefined): Partial<Typical> {
  return typeof value === "object" ? value : value === undefined ? {} : { median: value };
}

function quotient(a = Number.NaN, b = Number.NaN): number | null {
  return Number.isFinite(a / b) ? Math.round((a / b) * 1000) / 1000 : null;
}

/** The measured value stands for itself. */
export function valueRow(work: string, limit: number, value: number | undefined, of: string): Row {
  return { ...plain(work, limit, tidy(value), of), ours: tidy(value), peer: null, quick: null };
}

function plain(work: string, limit: number, measured: number | null, of: string) {
  return { work, of, limit, measured, met: measured === null ? null : measured <= limit };
}

function tidy(value: number | undefined): number | null {
  return value === undefined || !Number.isFinite(value) ? null : round(value);
}

export interface Report {
  readonly runs: number;
  readonly rows: readonly Row[];
  /** Inside the agent, by what was called. */
  readonly phases: Readonly<Record<string, AgentTimes>>;
  readonly details: Readonly<Record<string, unknown>>;
  readonly peer: object;
  readonly machine: Machine;
}

/** For people: the rows, then the phases, then the rest. */
export function markdown({ runs, rows, phases, details, peer, machine }: Report): string {
  const [before, after] = machine.load;
  const head = `# bench/attach

${machine.date.slice(0, 16).replace("T", " ")} UTC, kernel ${machine.kernel}, ${machine.cores} cores (${machine.cpu}), Node.js ${machine.node}.
One-minute load ${before} before and ${after} after; above ${machine.cores}, others kept the machine busy.
Medians of ${runs} calls of each side, the sides interleaved call by call; peer: ${Object.values(peer).join(", ")}.
How it is measured: bench/README.md.
`;
  const table = rows.map(({ work, of, limit, measured, met, ours, peer, quick }) => [
    work,
    shown(ours),
    shown(peer),
    shown(measured),
    `≤ ${limit}`,
    met === null ? "not measured" : met ? "yes" : "**no**",
    shown(quick),
    of,
  ]);
  const parts = [
    head,
    tableOf(["work", "ours", "peer", "measured", "limit", "met", "of the quickest tenth", "what"], table),
    "\n## Where a call's time goes, inside the agent\n",
    phasesTable(phases),
    "\n## Details\n",
    tableOf(["what", "value"], flatten(details)),
  ];
  return `${parts.join("\n")}\n`;
}

function phasesTable(phases: Report["phases"]): string {
  const timed = Object.entries(phases).filter(([, { call }]) => call !== undefined);
  if (timed.length === 0) return "There was no agent, or it kept no journal.";
  const names = [...new Set(timed.flatMap(([, { phases }]) => Object.keys(phases)))];
  const rows = timed.map(([what, { call, calls, phases }]) => [
    what,
    String(calls),
    shown(tidy(call)),
    ...names.map((name) => shown(phases[name] ?? null)),
  ]);
  return `Median milliseconds a call, from the agent's journal.\n\n${tableOf(["call", "calls", "all", ...names], rows)}`;
}

function flatten(value: unknown, path = ""): string[][] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return [[path, Array.isArray(value) ? value.join("; ") : String(value)]];
  }
  return Object.entries(value).flatMap(([key, each]) => flatten(each, path === "" ? key : `${path}, ${key}`));
}

/** A number of a table's cell. */
export function shown(value: number | null): string {
  return value === null ? "–" : String(value);
}

/** A table in Markdown. */
export function tableOf(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}
