import { quantile } from "../measure.ts";
import type { Launcher } from "./launcher.ts";
import { type Attachment, addAndDelete, type Network, nothing, type Stand } from "./stand.ts";
import type { Typical } from "./table.ts";

/** One thing to be compared: a network on a side. */
export interface Case {
  readonly label: string;
  readonly stand: Stand;
  readonly network: Network;
}

/** Milliseconds of every call of a case, from before vfork until it was waited for. */
export interface Samples {
  readonly ADD: number[];
  readonly DEL: number[];
}

export type Sampled = ReadonlyMap<string, Samples>;

/**
 * Calls one after another, the cases interleaved call by call in an order that turns from pod to pod: `runs` ADDs of
 * each case, then their DELs, in rounds that fit into the pods there are. Two calls of each case come first, uncounted.
 */
export async function sequence(launcher: Launcher, cases: readonly Case[], runs: number): Promise<Sampled> {
  const samples = new Map(cases.map(({ label }) => [label, { ADD: [], DEL: [] } as Samples]));
  const most = Math.min(...cases.map(({ stand }) => share(cases, stand)));
  await round(launcher, cases, Math.min(2, most), () => {});
  for (let done = 0; done < runs; done += most) {
    await round(launcher, cases, Math.min(most, runs - done), (label, verb, milliseconds) =>
      samples.get(label)?.[verb].push(milliseconds),
    );
  }
  return samples;
}

/** How many pods each of the stand's cases may use at a time. */
function share(cases: readonly Case[], stand: Stand): number {
  return Math.floor(stand.pods.length / cases.filter((each) => each.stand === stand).length);
}

type Note = (label: string, verb: "ADD" | "DEL", milliseconds: number) => void;

async function round(launcher: Launcher, cases: readonly Case[], pods: number, note: Note): Promise<void> {
  const free = new Map(cases.map(({ stand }) => [stand, [...stand.pods]]));
  const labels: string[] = [];
  const attachments: Attachment[] = [];
  for (let i = 0; i < pods; i++) {
    const turned = [...cases.slice(i % cases.length), ...cases.slice(0, i % cases.length)];
    for (const { label, stand, network } of turned) {
      const pod = free.get(stand)?.shift();
      if (pod === undefined) throw new Error(`${label}: no pod is free`);
      attachments.push({ stand, network, pod });
      labels.push(label);
    }
  }
  const ended = await addAndDelete(launcher, attachments);
  for (const verb of ["ADD", "DEL"] as const) {
    for (const [i, { milliseconds }] of ended[verb].entries()) note(labels[i] ?? "", verb, milliseconds);
  }
}

/** A case's calls in two numbers. */
export function typical(sampled: Sampled, label: string, verb: "ADD" | "DEL"): Typical {
  const values = sampled.get(label)?.[verb] ?? [];
  return { median: quantile(values), quick: quantile(values, 0.1) };
}

/** Milliseconds of `true` through the same path, median of so many. */
export async function launchCost(launcher: Launcher, stand: Stand, runs: number): Promise<number> {
  const ended = await launcher.serially(Array.from({ length: runs }, () => nothing(stand)));
  return quantile(ended.map(({ milliseconds }) => milliseconds));
}

/** Lets both sides load what they load once, and the agent's compiler see the code: uncounted. */
export async function warmUp(launcher: Launcher, cases: readonly Case[], pods: number): Promise<void> {
  await round(launcher, cases, Math.min(pods, ...cases.map(({ stand }) => share(cases, stand))), () => {});
}
