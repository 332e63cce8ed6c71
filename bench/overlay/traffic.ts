import { openSandbox } from "../../test/netns/sandbox.ts";
import { quantile, type Stage } from "../measure.ts";
import { type Flow, Stand } from "./stand.ts";
import { DEVICE_KIND, SUBJECTS, type Subject } from "./subjects.ts";

/** What was measured of one tunnel: medians of the rounds. */
export interface TrafficRow {
  readonly name: string;
  readonly kind: string;
  readonly by: Subject["by"];
  /** Whether its ratios are to reach the goal: of ours in their plain form, not of those that show what something costs. */
  readonly goal: boolean;
  /** Bytes that it adds to a packet, seen on the wire. */
  readonly overhead_bytes: number;
  readonly gbit_s: number;
  readonly round_trip_us: number;
  /** Milliseconds of processor time a gigabyte. */
  readonly cpu_ms_gb: number;
  /** Of ours only, to the best by hand of the same kind: medians of the rounds' own ratios, above 1 when ours is better. */
  readonly throughput_ratio?: number;
  readonly rate_ratio?: number;
  readonly cpu_ratio?: number;
}

export interface TrafficResult {
  readonly rounds: number;
  readonly rows: readonly TrafficRow[];
  /** Kinds of which this kernel has no devices. */
  readonly absent: readonly string[];
}

interface Sample extends Flow {
  readonly roundTrip: number;
}

/** Every subject takes its turn in every round, and another one is first each time. */
export async function measureTraffic(stage: Stage, rounds: number): Promise<TrafficResult> {
  const absent = lackingKinds(stage);
  const subjects = SUBJECTS.filter(({ kind }) => !absent.includes(kind));
  const stands: Stand[] = [];
  for (const subject of subjects) stands.push(await Stand.build(stage, subject));
  const overheads = stands.map((stand) => stand.overhead());
  const samples: Sample[][] = subjects.map(() => []);
  for (let i = -1; i < rounds; i++) {
    console.error(
      i < 0 ? `traffic: ${subjects.length} tunnels, a round to warm up` : `traffic: round ${i + 1} of ${rounds}`,
    );
    for (let turn = 0; turn < stands.length; turn++) {
      const at = (turn + Math.max(i, 0) * 3) % stands.length;
      const stand = stands[at];
      if (stand === undefined) continue;
      const sample = { ...(await stand.stream(1)), roundTrip: await stand.roundTrip(1) };
      if (i >= 0) samples[at]?.push(sample);
    }
  }
  const measured = subjects.map((subject, i) => ({
    subject,
    overhead: overheads[i] ?? Number.NaN,
    samples: samples[i] ?? [],
  }));
  return { rounds, absent, rows: measured.map((each) => row(each, measured)) };
}

interface Measured {
  readonly subject: Subject;
  readonly overhead: number;
  readonly samples: readonly Sample[];
}

function row({ subject, overhead, samples }: Measured, all: readonly Measured[]): TrafficRow {
  const { name, kind, by } = subject;
  const goal = subject.by === "us" && subject.nodes === undefined && subject.masquerade === undefined;
  const median = (of: (sample: Sample) => number) => quantile(samples.map(of));
  const plain = {
    name,
    kind,
    by,
    goal,
    overhead_bytes: overhead,
    gbit_s: median(({ throughput }) => throughput),
    round_trip_us: median(({ roundTrip }) => roundTrip),
    cpu_ms_gb: median(({ cpu }) => cpu),
  };
  if (by === "hand") return plain;
  const rivals = all.filter((each) => each.subject.by === "hand" && each.subject.kind === kind);
  const ratio = (better: (sample: Sample) => number) => {
    const [best] = rivals.toSorted((a, b) => quantile(b.samples.map(better)) - quantile(a.samples.map(better)));
    const ratios = samples.map((sample, i) => {
      const theirs = best?.samples[i];
      return theirs === undefined ? Number.NaN : better(sample) / better(theirs);
    });
    return Math.round(1000 * quantile1000(ratios)) / 1000;
  };
  return {
    ...plain,
    throughput_ratio: ratio(({ throughput }) => throughput),
    rate_ratio: ratio(({ roundTrip }) => 1 / roundTrip),
    cpu_ratio: ratio(({ cpu }) => 1 / cpu),
  };
}

/** The median, to more places than {@link quantile} gives. */
function quantile1000(values: readonly number[]): number {
  return quantile(values.map((value) => value * 1000)) / 1000;
}

function lackingKinds(stage: Stage): string[] {
  const sandbox = openSandbox(stage);
  return Object.entries(DEVICE_KIND)
    .filter(([, kind]) => !sandbox.succeeds(`ip link add probe0 type ${kind} external; ip link del probe0`))
    .map(([kind]) => kind);
}
