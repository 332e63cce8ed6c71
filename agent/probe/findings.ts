import type { Target } from "./targets.ts";
import type { Fault } from "./verdict.ts";

/** So many examinations in a row have to agree before anybody is told. */
const EXAMINATIONS = 2;
/** More failing pairs say nothing new; the node's own network is broken then. */
export const MOST_FINDINGS = 64;

/** What is told of a pair: a fault, or what was done about one. */
export interface Finding {
  readonly network: string;
  readonly nodeId: string;
  readonly nodeName: string;
  readonly family: 4 | 6;
  readonly verdict: Fault | "remedied";
  readonly message: string;
  /** Milliseconds since the Unix epoch. */
  readonly since: number;
}

interface Suspect {
  readonly target: Target;
  readonly examinations: number;
  readonly finding: Finding;
  readonly largest?: number | undefined;
}

/** What is known of failing pairs: suspected first, told when it repeats, forgotten when it passes or the peer goes. */
export class Findings {
  readonly #suspects = new Map<string, Suspect>();

  failed(
    target: Target,
    fault: Fault,
    {
      message,
      largest,
      now,
    }: { readonly message: string; readonly largest?: number | undefined; readonly now: number },
  ): void {
    const before = this.#suspects.get(target.key);
    if (before === undefined && this.#suspects.size >= MOST_FINDINGS) return;
    const { network, nodeId, nodeName, family } = target;
    const since = before?.finding.verdict === fault ? before.finding.since : now;
    this.#suspects.set(target.key, {
      target,
      examinations: (before?.examinations ?? 0) + 1,
      finding: { network, nodeId, nodeName, family, verdict: fault, message, since },
      largest,
    });
  }

  passed({ key }: Pick<Target, "key">): void {
    this.#suspects.delete(key);
  }

  /** The largest packet that passed at the last examination. */
  largest({ key }: Pick<Target, "key">): number | undefined {
    return this.#suspects.get(key)?.largest;
  }

  /** Forgets all but these. */
  keep(isCurrent: (key: string) => boolean): void {
    for (const key of this.#suspects.keys()) if (!isCurrent(key)) this.#suspects.delete(key);
  }

  /** Keys of what is asked again each time. */
  keys(): string[] {
    return [...this.#suspects.keys()];
  }

  /** Whether something is about to be told. */
  get hasNews(): boolean {
    return [...this.#suspects.values()].some(({ examinations }) => examinations < EXAMINATIONS);
  }

  /** What is told, in a steady order. */
  told(): Finding[] {
    return [...this.#suspects.entries()]
      .filter(([, { examinations }]) => examinations >= EXAMINATIONS)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([, { finding }]) => finding);
  }
}
