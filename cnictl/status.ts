import type { Admin } from "./connection.ts";
import type { Context } from "./context.ts";
import { CommandError, ExitCode, notFound } from "./exit.ts";
import { listOf, parseFormat, renderValue } from "./format.ts";
import {
  behind,
  failingProbes,
  formatBehind,
  isNode,
  type NodeItem,
  nodes,
  probePair,
  unmet,
} from "./resources/node.ts";
import { type Column, printable, renderTable } from "./table.ts";

export interface StatusOptions {
  readonly output: string;
  readonly headers: boolean;
  /** Milliseconds to wait for convergence. */
  readonly wait?: number;
  /** How many nodes there have to be. */
  readonly nodes: number;
}

/** Breaks between two attempts to watch through a controller that is up but not ready, in milliseconds; the last one repeats. */
const RETRY_AFTER = [50, 100, 200, 500, 1000] as const;

const COLUMNS: readonly Column<NodeItem>[] = [
  { title: "NODE", cell: ({ node }) => node.name },
  { title: "CONNECTED", cell: ({ node }) => String(node.connected) },
  { title: "APPLIED", cell: ({ node }) => String(node.appliedRevision) },
  { title: "BEHIND", cell: formatBehind },
  { title: "FAILURES", cell: ({ node }) => String(node.failures.length) },
  {
    title: "CONDITIONS",
    cell: ({ node }) => [...new Set(node.conditions.map(({ type, status }) => (status ? type : `!${type}`)))].join(","),
  },
];

/** `cnictl status`: who has applied which revision. Exits 0 when all nodes asked for have converged, 2 when not. */
export async function status(context: Context, names: readonly string[], options: StatusOptions): Promise<ExitCode> {
  const format = parseFormat(options.output, ["table", "json", "yaml"] as const);
  using admin = await context.connect();
  const items =
    options.wait === undefined
      ? await list(admin)
      : await waitFor(context, admin, options.wait, (found) => isConverged(found, names, options.nodes));
  const selected = choose(items, names);
  const problems = selected.flatMap((item) => describeProblems(item, items));
  const lacking = options.nodes - items.length;
  if (lacking > 0) problems.push(`${lacking} more nodes are expected: ${items.length} of ${options.nodes} have joined`);

  if (format === "table") {
    if (selected.length === 0) context.note("No resources found.\n");
    else context.out(renderTable(COLUMNS, selected, { now: context.now(), headers: options.headers }));
    for (const problem of problems) context.note(`${printable(problem)}\n`);
  } else {
    context.out(
      await renderValue({ ...listOf(selected.map(nodes.toObject)), converged: problems.length === 0 }, format),
    );
  }
  return problems.length === 0 ? ExitCode.ok : ExitCode.notConverged;
}

function list(admin: Admin): Promise<readonly NodeItem[]> {
  return nodes.list(admin, {});
}

/** The named nodes, or all. @throws CommandError for a name that no node has. */
function choose(items: readonly NodeItem[], names: readonly string[]): readonly NodeItem[] {
  const missing = names.find((name) => !items.some(({ node }) => isNode(node, name)));
  if (missing !== undefined) throw notFound("node", missing);
  return names.length === 0 ? items : items.filter(({ node }) => names.some((name) => isNode(node, name)));
}

function isConverged(items: readonly NodeItem[], names: readonly string[], count: number): boolean {
  if (items.length < count || names.some((name) => !items.some(({ node }) => isNode(node, name)))) return false;
  return choose(items, names).every((item) => describeProblems(item, items).length === 0);
}

/**
 * Why the node has not converged, a sentence each; none when it has. A way to a peer that fails is one.
 * @param all nodes, to tell whether a peer is there at all
 */
export function describeProblems(item: NodeItem, all: readonly NodeItem[]): string[] {
  const { node, newest } = item;
  const problems: string[] = [];
  if (!node.connected) problems.push("is not connected");
  if (behind(item) > 0) problems.push(`has applied revision ${node.appliedRevision} of ${newest}`);
  for (const { type, reason, message } of unmet(node)) {
    problems.push(`is not ${type}${reason && ` (${reason})`}${message && `: ${message}`}`);
  }
  for (const failure of node.failures) problems.push(`failed: ${failure}`);
  const isConnected = (nodeId: string) => all.some(({ node: peer }) => peer.id === nodeId && peer.connected);
  const failing = failingProbes(node, isConnected).map((probe) => `${probePair(node, probe)}: ${probe.message}`);
  return [...problems.map((problem) => `${node.name} ${problem}`), ...failing];
}

/**
 * Lists whenever the controller says that nodes changed, until `done` or the time is over; the last list then. A
 * controller that is not there yet, or restarts, is waited for.
 */
async function waitFor(
  context: Context,
  admin: Admin,
  milliseconds: number,
  done: (items: readonly NodeItem[]) => boolean,
): Promise<readonly NodeItem[]> {
  const deadline = context.now() + milliseconds;
  let items: readonly NodeItem[] | undefined;
  for (let attempt = 0; ; attempt++) {
    try {
      for await (const _ of admin.watch(["nodes"], { waitForServer: true, deadline })) {
        attempt = 0;
        items = await list(admin);
        if (done(items)) return items;
      }
    } catch (error) {
      if (!(error instanceof CommandError) || error.exitCode !== ExitCode.unreachable) throw error;
      const left = deadline - context.now();
      if (left <= 0 && items === undefined) throw error;
      if (left <= 0) return items ?? [];
      const pause = RETRY_AFTER[Math.min(attempt, RETRY_AFTER.length - 1)] ?? 0;
      await new Promise((resolve) => setTimeout(resolve, Math.min(pause, left)));
    }
  }
}
