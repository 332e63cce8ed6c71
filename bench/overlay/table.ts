import type { Machine } from "../measure.ts";
import type { JoinResult } from "./join.ts";
import type { ObjectsResult } from "./objects.ts";
import type { TrafficResult, TrafficRow } from "./traffic.ts";

export interface KernelResult {
  readonly where: "machine" | "guest";
  readonly traffic?: TrafficResult | undefined;
  readonly objects: readonly ObjectsResult[];
  readonly machine: Machine;
}

export interface Report {
  readonly bench: "tunnels";
  readonly kernels: readonly KernelResult[];
  readonly join: readonly JoinResult[];
}

const LEAST_RATIO = 0.98;
const MOST_OBJECTS_RATIO = 1;

/** The report as a page. */
export function table({ kernels, join }: Report): string {
  const [first] = kernels;
  const objects = kernels.flatMap((kernel) => kernel.objects.map((each) => ({ ...each, kernel: kernelName(kernel) })));
  return [
    "# bench/tunnels",
    "",
    ...kernels.map(({ machine, where }) => {
      const place = where === "guest" ? `the guest, Linux ${machine.kernel}` : `Linux ${machine.kernel}`;
      return `${machine.date.slice(0, 16).replace("T", " ")} UTC: ${place}, ${machine.cores} processors, Node.js ${machine.node}, load ${machine.load.join(" before and ")} after.`;
    }),
    `${first?.machine.cpu ?? ""}. How it is measured: bench/README.md.`,
    ...kernels.flatMap(trafficTables),
    ...(objects.length === 0 ? [] : ["", "## Peers put into the kernel by one node", "", ...objectLines(objects)]),
    ...(join.length === 0 ? [] : ["", "## A node joins", "", ...joinLines(join)]),
    "",
  ].join("\n");
}

function trafficTables(kernel: KernelResult): string[] {
  const { traffic } = kernel;
  if (traffic === undefined) return [];
  const lines = traffic.rows.map((row) => [
    `${row.by === "us" ? `**${row.name}**` : `${row.kind} by hand: ${row.name}`}`,
    row.overhead_bytes,
    row.gbit_s,
    row.round_trip_us,
    row.cpu_ms_gb,
    ...(["throughput_ratio", "rate_ratio"] as const).map((name) => judged(row, name)),
    row.cpu_ratio ?? "",
  ]);
  return [
    "",
    `## Pod to pod on ${kernelName(kernel)}`,
    "",
    `Medians of ${traffic.rounds} rounds; ratios to the best by hand of the same kind, above 1 where ours is better; at least ${LEAST_RATIO} is wanted.`,
    ...(traffic.absent.length > 0 ? [`This kernel has no ${traffic.absent.join(" and no ")}.`] : []),
    "",
    ...markdown(
      [
        "tunnel",
        "bytes a packet",
        "Gbit/s",
        "round trip, µs",
        "CPU, ms/GB",
        "throughput ÷ by hand",
        "requests/s ÷ by hand",
        "GB/CPU ÷ by hand",
      ],
      lines,
    ),
  ];
}

function judged(row: TrafficRow, name: "throughput_ratio" | "rate_ratio"): string {
  const value = row[name];
  if (value === undefined) return "";
  return value >= LEAST_RATIO || !row.goal ? `${value}` : `**${value}, not met**`;
}

function objectLines(objects: readonly (ObjectsResult & { readonly kernel: string })[]): string[] {
  const lines = objects.map((each) => [
    `${each.backend}, ${each.peers} peers (${each.objects} objects)`,
    each.kernel,
    each.ours_ms,
    each.batch_ms,
    `${each.ratio <= MOST_OBJECTS_RATIO ? each.ratio : `**${each.ratio}, not met**`} (${each.ratio_range.join("–")})`,
    `${each.ours_cpu_ms} ÷ ${each.batch_cpu_ms}`,
    each.plan_ms,
    each.rules_ms,
    `${each.restart.changes + each.restart.notifications + each.restart.transactions} writes, ${each.restart.ms} ms`,
    each.idle_pass_ms,
  ]);
  return markdown(
    [
      "backend",
      "kernel",
      "ours, ms",
      "ip -batch, ms",
      "ratio, ≤ 1",
      "CPU, ms",
      "working it out, ms",
      "nft rules, ms",
      "restart, nothing changed",
      "a later pass, ms",
    ],
    lines,
  );
}

function joinLines(join: readonly JoinResult[]): string[] {
  const lines = join.map(({ backend, nodes, agents, joins, join_ms, newcomer }) => [
    `${backend}, ${nodes} nodes, ${agents} of them agents`,
    `${join_ms.median} (p95 ${join_ms.p95}, most ${join_ms.most}; ${joins} joins)`,
    newcomer.lease_ms,
    newcomer.others_routes_ms,
    newcomer.own_routes_ms,
  ]);
  return markdown(
    [
      "",
      "hello → route in all agents' kernels, ms",
      "a new agent: exec → lease, ms",
      "→ its route in the others' kernels",
      "→ routes to all in its own",
    ],
    lines,
  );
}

function kernelName({ where, machine }: KernelResult): string {
  return `Linux ${machine.kernel}${where === "guest" ? " (guest)" : ""}`;
}

function markdown(head: readonly string[], lines: readonly (readonly (string | number)[])[]): string[] {
  const line = (cells: readonly (string | number)[]) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...lines.map(line)];
}
