/** Timers, so that tests run under virtual time. `{ setTimeout, clearTimeout, now: Date.now }` in production. */
export interface Clock {
  /** Milliseconds. */
  now(): number;
  setTimeout(callback: () => void, milliseconds: number): unknown;
  clearTimeout(timer: unknown): void;
}

export interface ReconcilerOptions {
  /** Brings the world to the desired state; rejects when something is left to do. */
  readonly pass: () => Promise<void>;
  readonly clock: Clock;
  /** 0 ≤ x < 1, as `Math.random`. */
  readonly random: () => number;
  /** A pass runs at least this often, even when nothing was triggered. Milliseconds. */
  readonly periodMs: number;
  /** How long to rest after a pass, as a multiple of its length, so that triggers without end leave time for other work. 0 when absent. */
  readonly rest?: number;
  /** The shortest rest after a pass, in milliseconds; 0 when absent. */
  readonly shortestRestMs?: number;
  /** Wait after the first failing pass, doubled by each further one up to `maxMs`. */
  readonly backoff: { readonly initialMs: number; readonly maxMs: number };
  /** Called after each pass: with the reason and the wait until the retry when it failed. Must not throw. */
  readonly onPass?: (outcome: Outcome) => void;
}

export type Outcome =
  | { readonly ok: true }
  | { readonly ok: false; readonly error: unknown; readonly retryInMs: number };

export interface Reconciler {
  /**
   * Asks for a pass: at once, or after the one that runs now and its rest. Any number of calls until then make one pass. After a
   * failure it comes `backoff.initialMs` after that failure at the earliest, however long the retry would wait.
   */
  trigger(): void;
  /** Starts no further pass; resolves when the running one has ended. */
  stop(): Promise<void>;
}

/** Makes a reconciler. It sleeps until the first `trigger()`. */
export function createReconciler(options: ReconcilerOptions): Reconciler {
  const { pass, clock, random, periodMs, rest = 0, shortestRestMs = 0, backoff, onPass } = options;
  let running: Promise<void> | undefined;
  let timer: unknown;
  let again = false;
  let stopped = false;
  let failuresInARow = 0;
  let notBefore = Number.NEGATIVE_INFINITY;

  function schedule(milliseconds: number): void {
    if (timer !== undefined) clock.clearTimeout(timer);
    timer = clock.setTimeout(start, milliseconds);
  }

  function start(): void {
    timer = undefined;
    if (stopped) return;
    again = false;
    running = run().finally(() => {
      running = undefined;
    });
  }

  async function run(): Promise<void> {
    const outcome = await onePass();
    onPass?.(outcome);
    if (!stopped) schedule(again ? untilAllowed() : outcome.ok ? periodMs : outcome.retryInMs);
  }

  async function onePass(): Promise<Outcome> {
    const started = clock.now();
    try {
      await pass();
      failuresInARow = 0;
      notBefore = clock.now() + Math.max(shortestRestMs, rest * (clock.now() - started));
      return { ok: true };
    } catch (error) {
      failuresInARow++;
      notBefore = clock.now() + backoff.initialMs;
      return { ok: false, error, retryInMs: retryDelay() };
    }
  }

  // Half of it fixed and half random: a thousand agents that lost one controller do not come back in step.
  function retryDelay(): number {
    const full = Math.min(backoff.maxMs, backoff.initialMs * 2 ** (failuresInARow - 1));
    return Math.round(full / 2 + (random() * full) / 2);
  }

  function untilAllowed(): number {
    return Math.max(0, notBefore - clock.now());
  }

  return {
    trigger() {
      if (stopped || again) return;
      again = true;
      if (running === undefined) schedule(untilAllowed());
    },
    async stop() {
      stopped = true;
      if (timer !== undefined) clock.clearTimeout(timer);
      timer = undefined;
      await running;
    },
  };
}
