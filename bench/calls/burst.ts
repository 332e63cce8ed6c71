import { existsSync, mkdirSync, readFileSync, rmdirSync } from "node:fs";
import { quantile, round } from "../measure.ts";
import type { Ended, Launcher } from "./launcher.ts";
import { addAndDelete, type Network, type Side, type Stand, type Verb } from "./stand.ts";

const CGROUPS = "/sys/fs/cgroup/memory";

/** All pods at once, medians of the rounds. */
export interface Burst {
  /** From the start of the first until the last has ended. */
  readonly last: number;
  /** Median of the single calls. */
  readonly each: number;
  /** Peak of memory.max_usage_in_bytes of a cgroup of their own, in MiB: private memory, page tables and kernel memory. */
  readonly memory: number;
  /** The part of it that the kernel used for them (memory.kmem.max_usage_in_bytes). */
  readonly kernelMemory: number;
  /** Milliseconds of CPU that the agent used for a call, which others' work stretches less than time; 0 for the peer. */
  readonly agentCpu: number;
}

export type Bursts = Readonly<Record<Side, Readonly<Record<Verb, Burst>>>>;

interface Round {
  readonly ended: readonly Ended[];
  readonly memory: number;
  readonly kernelMemory: number;
  readonly agentCpu: number;
}

/**
 * Starts `pods` ADDs at once and waits for all, then as many DELs; side by side in turns, `rounds` times.
 * @param agentCpu milliseconds of CPU that the agent has used so far
 */
export async function burst(
  launcher: Launcher,
  stands: Readonly<Record<Side, Stand>>,
  network: Network,
  pods: number,
  rounds: number,
  agentCpu: () => number,
): Promise<Bursts> {
  const seen = { ours: { ADD: [] as Round[], DEL: [] as Round[] }, peer: { ADD: [] as Round[], DEL: [] as Round[] } };
  for (let i = 0; i < rounds; i++) {
    const order: readonly Side[] = i % 2 === 0 ? ["ours", "peer"] : ["peer", "ours"];
    for (const side of order) {
      const stand = stands[side];
      const attachments = stand.pods.slice(0, pods).map((pod) => ({ stand, network, pod }));
      await addAndDelete(launcher, attachments, async (launcher, starts, verb) => {
        const group = makeCgroup();
        const before = agentCpu();
        const ended = await launcher.atOnce(starts, group);
        const used = side === "ours" ? (agentCpu() - before) / starts.length : 0;
        seen[side][verb].push({ ended, agentCpu: used, ...readMemory(group) });
        return ended;
      });
    }
  }
  const both = (side: Side) => ({ ADD: summary(seen[side].ADD), DEL: summary(seen[side].DEL) });
  return { ours: both("ours"), peer: both("peer") };
}

function summary(rounds: readonly Round[]): Burst {
  return {
    last: quantile(rounds.map(({ ended }) => span(ended))),
    each: quantile(rounds.flatMap(({ ended }) => ended.map(({ milliseconds }) => milliseconds))),
    memory: quantile(rounds.map(({ memory }) => memory)),
    kernelMemory: quantile(rounds.map(({ kernelMemory }) => kernelMemory)),
    agentCpu: quantile(rounds.map(({ agentCpu }) => agentCpu)),
  };
}

function span(ended: readonly Ended[]): number {
  return Math.max(...ended.map(({ endedAt }) => endedAt)) - Math.min(...ended.map(({ startedAt }) => startedAt));
}

let groups = 0;

/** A memory cgroup (v1) of the bench's own; undefined where the kernel has none, and the rows say "not measured". */
function makeCgroup(): string | undefined {
  if (!existsSync(CGROUPS)) return undefined;
  const path = `${CGROUPS}/podwire-bench-${process.pid}-${groups++}`;
  mkdirSync(path);
  return path;
}

function readMemory(group: string | undefined): { memory: number; kernelMemory: number } {
  if (group === undefined) return { memory: Number.NaN, kernelMemory: Number.NaN };
  const read = (name: string) => round(Number(readFileSync(`${group}/${name}.max_usage_in_bytes`, "utf8")) / 2 ** 20);
  const peaks = { memory: read("memory"), kernelMemory: read("memory.kmem") };
  rmdirSync(group);
  return peaks;
}
