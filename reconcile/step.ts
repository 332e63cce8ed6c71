/**
 * One kind of object, such as "routes": how to see what there is and how to change it. `put` and `remove` must be
 * idempotent: the world may have changed since `list`.
 */
export interface Kind<T> {
  readonly name: string;
  /** What makes two items the same object, whatever their other properties. */
  key(item: T): string;
  /** Only the objects that are ours; whatever it returns and nobody wants is removed. */
  list(): readonly T[] | Promise<readonly T[]>;
  /** Whether the existing object needs no change to be the wanted one. */
  same(existing: T, wanted: T): boolean;
  /** Makes the object, or changes the existing one. */
  put(item: T, existing: T | undefined): void | Promise<void>;
  /** The same for many at once, used instead where it is given. @returns for each undefined, or why it could not be put; must not throw for one of them */
  putAll?(puts: readonly Put<T>[]): readonly unknown[] | Promise<readonly unknown[]>;
  remove(item: T): void | Promise<void>;
  /** The same for many at once, used instead where it is given, as `putAll`. */
  removeAll?(items: readonly T[]): readonly unknown[] | Promise<readonly unknown[]>;
}

/** One object to be made, or changed when it exists. */
export interface Put<T> {
  readonly item: T;
  readonly existing: T | undefined;
}

/** How many objects were changed. All zero: the world was as desired. */
export interface Changes {
  readonly added: number;
  readonly changed: number;
  readonly removed: number;
}

/** One change that could not be made. */
export interface Failure {
  readonly kind: string;
  /** Absent when the objects of that kind could not be listed. */
  readonly key?: string;
  readonly error: unknown;
}

/** Some changes failed; all others were made and are counted in `changes`. */
export class ReconcileError extends AggregateError {
  readonly failures: readonly Failure[];
  readonly changes: Changes;

  constructor(failures: readonly Failure[], changes: Changes) {
    super(
      failures.map((failure) => failure.error),
      failures.map(describe).join("; "),
    );
    this.name = "ReconcileError";
    this.failures = failures;
    this.changes = changes;
  }
}

/** Changes that are made without a break; some milliseconds. */
const PORTION = 256;

/** A kind with its desired items, ready for {@link converge}. Made by {@link target}. */
export interface Target {
  put(tally: Tally): Promise<void>;
  prune(tally: Tally): Promise<void>;
}

type Counter = "added" | "changed" | "removed";

interface Tally {
  added: number;
  changed: number;
  removed: number;
  readonly failures: Failure[];
}

/** Binds desired items to their kind. */
export function target<T>(kind: Kind<T>, desired: readonly T[]): Target {
  const wanted = new Map(desired.map((item) => [kind.key(item), item]));
  let actual = new Map<string, T>();

  return {
    async put(tally) {
      try {
        actual = new Map((await kind.list()).map((item) => [kind.key(item), item]));
      } catch (error) {
        actual = new Map();
        tally.failures.push({ kind: kind.name, error });
        return; // without knowing what is there, every put would be a guess
      }
      const puts: (Put<T> & { key: string })[] = [];
      for (const [key, item] of wanted) {
        const existing = actual.get(key);
        if (existing === undefined || !kind.same(existing, item)) puts.push({ key, item, existing });
      }
      for (const portion of portions(puts)) await putPortion(kind, portion, tally);
    },
    async prune(tally) {
      const unwanted = [...actual].filter(([key]) => !wanted.has(key));
      for (const portion of portions(unwanted)) {
        await removePortion(kind, portion, tally);
      }
    },
  };
}

async function putPortion<T>(kind: Kind<T>, puts: readonly (Put<T> & { key: string })[], tally: Tally): Promise<void> {
  const counter = ({ existing }: Put<T>) => (existing === undefined ? "added" : "changed");
  if (kind.putAll !== undefined) {
    const outcomes = await kind.putAll(puts);
    for (const [i, put] of puts.entries()) note(tally, kind.name, put.key, counter(put), outcomes[i]);
  } else {
    for (const put of puts)
      await attempt(tally, kind.name, put.key, counter(put), () => kind.put(put.item, put.existing));
  }
  await breath();
}

async function removePortion<T>(kind: Kind<T>, unwanted: readonly [string, T][], tally: Tally): Promise<void> {
  if (kind.removeAll !== undefined) {
    const outcomes = await kind.removeAll(unwanted.map(([, item]) => item));
    for (const [i, [key]] of unwanted.entries()) note(tally, kind.name, key, "removed", outcomes[i]);
  } else {
    for (const [key, item] of unwanted) await attempt(tally, kind.name, key, "removed", () => kind.remove(item));
  }
  await breath();
}

function portions<T>(items: readonly T[]): T[][] {
  const count = Math.ceil(items.length / PORTION);
  return Array.from({ length: count }, (_, i) => items.slice(i * PORTION, (i + 1) * PORTION));
}

/** Lets timers and sockets have their turn: thousands of changes must not hold up a health check or a heartbeat. */
function breath(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/**
 * Brings several kinds to their desired items: first everything is put, in the order given (links before the routes
 * over them), then what nobody wants is removed, in reverse order. So traffic never sees a gap. Each kind is listed
 * when its turn comes, because putting a link may have taken routes away. A failure does not stop the rest.
 * @throws ReconcileError when any change failed.
 */
export async function converge(targets: readonly Target[]): Promise<Changes> {
  const tally: Tally = { added: 0, changed: 0, removed: 0, failures: [] };
  for (const each of targets) await each.put(tally);
  for (const each of targets.toReversed()) await each.prune(tally);
  const changes = { added: tally.added, changed: tally.changed, removed: tally.removed };
  if (tally.failures.length > 0) throw new ReconcileError(tally.failures, changes);
  return changes;
}

/** {@link converge} for one kind alone. */
export function step<T>(kind: Kind<T>, desired: readonly T[]): Promise<Changes> {
  return converge([target(kind, desired)]);
}

async function attempt(
  tally: Tally,
  kind: string,
  key: string,
  counter: Counter,
  change: () => void | Promise<void>,
): Promise<void> {
  let failure: unknown;
  try {
    await change();
  } catch (error) {
    failure = error ?? new Error("failed without a reason");
  }
  note(tally, kind, key, counter, failure);
}

function note(tally: Tally, kind: string, key: string, counter: Counter, error: unknown): void {
  if (error === undefined) tally[counter]++;
  else tally.failures.push({ kind, key, error });
}

function describe({ kind, key, error }: Failure): string {
  const reason = error instanceof Error ? error.message : String(error);
  return key === undefined ? `${kind}: ${reason}` : `${kind} ${key}: ${reason}`;
}
