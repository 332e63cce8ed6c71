/** A network (key: its name) or subnet (key: the store's) that changed in a way that nodes must hear of. */
export interface Change {
  readonly kind: "network" | "subnet";
  readonly key: string;
}

/** Changes that are kept for streams that are behind; one further behind gets a snapshot. */
const LIMIT = 50_000;

/** Which objects changed at which revision, newest last. Holds no values: whoever reads it looks up the newest. */
export class ChangeLog {
  #revisions: number[] = [];
  #changes: Change[] = [];
  #start = 0;
  #newest = 0;

  /** The revision of the last change. */
  get newest(): number {
    return this.#newest;
  }

  add(revision: number, change: Change): void {
    this.#revisions.push(revision);
    this.#changes.push(change);
    this.#newest = Math.max(this.#newest, revision);
    if (this.#changes.length <= LIMIT * 1.5) return;
    const dropped = this.#changes.length - LIMIT;
    this.#start = this.#revisions[dropped - 1] ?? this.#start;
    this.#revisions = this.#revisions.slice(dropped);
    this.#changes = this.#changes.slice(dropped);
  }

  /** What changed after that revision, each object once; undefined when that is too long ago to know. */
  since(revision: number): Change[] | undefined {
    if (revision < this.#start) return undefined;
    const found = new Map<string, Change>();
    for (let i = this.#changes.length - 1; i >= 0 && (this.#revisions[i] ?? 0) > revision; i--) {
      const change = this.#changes[i];
      if (change !== undefined) found.set(`${change.kind} ${change.key}`, change);
    }
    return [...found.values()];
  }
}
