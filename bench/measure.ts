import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, loadavg, release } from "node:os";
import { dirname } from "node:path";
import type { Owner } from "../test/netns/harness/node.ts";

/** Cleans up in reverse order, whatever ends the benchmark. */
export class Stage implements Owner {
  readonly #work: (() => Promise<void> | void)[] = [];
  teardown(work: () => Promise<void> | void): void {
    this.#work.unshift(work);
  }
  async clear(): Promise<void> {
    for (const work of this.#work.splice(0)) await work();
  }
}

/** Runs the benchmark, prints its result as one JSON line, writes it indented into `out`, cleans up and exits. */
export async function bench(out: string | undefined, work: (stage: Stage) => Promise<object>): Promise<never> {
  const stage = new Stage();
  let status = 1;
  try {
    const result = await work(stage);
    process.stdout.write(`${JSON.stringify(result)}\n`);
    if (out !== undefined) {
      mkdirSync(dirname(out), { recursive: true });
      writeFileSync(out, indented(result));
    }
    status = 0;
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
  } finally {
    await stage.clear();
  }
  process.exit(status);
}

/** JSON as the project's formatter has it: a key a line, short lists on one. */
function indented(value: object): string {
  const text = JSON.stringify(value, null, 2);
  return `${text.replace(/\[\s+([^[\]{}]*?)\s+\]/g, (_, items: string) => `[${items.replace(/\s*\n\s*/g, " ")}]`)}\n`;
}

/** The value below which the share `q` (0 to 1) of the values lies; 0.5 is the median. Rounded to 0.01. */
export function quantile(values: readonly number[], q = 0.5): number {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (sorted.length - 1) * q;
  const [low, high] = [sorted[Math.floor(at)] ?? Number.NaN, sorted[Math.ceil(at)] ?? Number.NaN];
  return round(low + (high - low) * (at - Math.floor(at)));
}

export function round(value: number): number {
  return Math.round(value * 100) / 100;
}

export interface Machine {
  readonly date: string;
  readonly kernel: string;
  readonly cpu: string;
  readonly cores: number;
  readonly node: string;
  /** One-minute load averages: above the number of cores, others kept the machine busy. */
  readonly load: readonly [before: number, after: number];
}

/** What the numbers were measured on. Call the answer at the end. */
export function watchMachine(): () => Machine {
  const date = new Date().toISOString();
  const [before = 0] = loadavg();
  return () => {
    const [{ model } = { model: "unknown" }] = cpus();
    const [after = 0] = loadavg();
    return {
      date,
      kernel: release(),
      cpu: model,
      cores: cpus().length,
      node: process.version,
      load: [round(before), round(after)],
    };
  };
}

/** A flag's whole number from 1 to `max`. Ends the program with a sentence when it is none. */
export function count(program: string, flag: string, text: string, max: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1 && value <= max) return value;
  console.error(`${program}: ${flag} ${text}: a number from 1 to ${max} is needed`);
  process.exit(2);
}
