import { eventually } from "./eventually.ts";
import type { Daemon } from "./exec.ts";
import type { Pod } from "./pod.ts";

/** So many answers later, one that is still missing is lost. */
const LATE = 20;

/** A ping that goes on, however long what happens meanwhile takes. */
export class Pinging {
  readonly #ping: Daemon;

  private constructor(ping: Daemon) {
    this.#ping = ping;
  }

  /** Resolves when the first one was answered. @param interval in seconds */
  static async start(pod: Pod, address: string, interval: number): Promise<Pinging> {
    const pinging = new Pinging(pod.spawn(["ping", "-n", "-i", String(interval), address]));
    await eventually(() => pinging.#answered().length > 0, `${pod.name} pings ${address}`);
    return pinging;
  }

  /** Ends it; which of those sent until now had no answer, as numbers from 1. */
  async lost(): Promise<readonly number[]> {
    const newest = Math.max(...this.#answered());
    await eventually(() => Math.max(...this.#answered()) >= newest + LATE, "the pings after it");
    await this.#ping.stop("SIGKILL");
    const answered = new Set(this.#answered());
    return Array.from({ length: newest }, (_, i) => i + 1).filter((number) => !answered.has(number));
  }

  #answered(): number[] {
    return [...this.#ping.output.matchAll(/icmp_seq=(\d+) ttl=/g)].map(([, number]) => Number(number));
  }
}
