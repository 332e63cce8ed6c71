import t from "tap";
import { type Clock, createReconciler, type Outcome } from "./loop.ts";

/** Time that stands still until it is told to go on. */
function virtualClock() {
  let now = 0;
  let timers: { at: number; callback: () => void }[] = [];
  const clock: Clock = {
    now: () => now,
    setTimeout(callback, milliseconds) {
      const timer = { at: now + milliseconds, callback };
      timers.push(timer);
      return timer;
    },
    clearTimeout(timer) {
      timers = timers.filter((each) => each !== timer);
    },
  };
  async function advance(milliseconds: number): Promise<void> {
    const end = now + milliseconds;
    for (;;) {
      await settle();
      const next = timers.toSorted((a, b) => a.at - b.at)[0];
      if (next === undefined || next.at > end) break;
      timers = timers.filter((each) => each !== next);
      now = next.at;
      next.callback();
    }
    now = end;
    await settle();
  }
  return { clock, advance, pending: () => timers.map((timer) => timer.at - now) };
}

const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

function setUp(pass: () => Promise<void>) {
  const time = virtualClock();
  const outcomes: Outcome[] = [];
  const passes: number[] = [];
  const reconciler = createReconciler({
    pass: () => {
      passes.push(time.clock.now());
      return pass();
    },
    clock: time.clock,
    random: () => 1,
    periodMs: 60_000,
    backoff: { initialMs: 100, maxMs: 1000 },
    onPass: (outcome) => void outcomes.push(outcome),
  });
  return { ...time, reconciler, passes, outcomes };
}

t.test("it sleeps until triggered, then makes a pass each period", async (t) => {
  const { reconciler, passes, advance } = setUp(async () => {});
  await advance(200_000);
  t.strictSame(passes, []);
  reconciler.trigger();
  await advance(120_000);
  t.strictSame(passes, [200_000, 260_000, 320_000]);
});

t.test("many triggers make one pass, and those during a pass one more after it", async (t) => {
  let finish = () => {};
  let running = 0;
  let most = 0;
  const { reconciler, passes, advance } = setUp(async () => {
    most = Math.max(most, ++running);
    await new Promise<void>((resolve) => {
      finish = resolve;
    });
    running--;
  });
  for (let i = 0; i < 10; i++) reconciler.trigger();
  await advance(0);
  t.equal(passes.length, 1);
  for (let i = 0; i < 10; i++) reconciler.trigger();
  await advance(5);
  t.equal(passes.length, 1, "not while one runs");
  finish();
  await advance(0);
  t.equal(passes.length, 2);
  finish();
  await advance(0);
  t.equal(passes.length, 2);
  t.equal(most, 1);
});

t.test("a failing pass is retried after 100, 200, 400 … ms at most, and a success resets that", async (t) => {
  let broken = true;
  const { reconciler, passes, advance, outcomes } = setUp(async () => {
    if (broken) throw new Error("no");
  });
  reconciler.trigger();
  await advance(3600);
  t.strictSame(passes, [0, 100, 300, 700, 1500, 2500, 3500]);
  t.match(outcomes[2], { ok: false, error: { message: "no" }, retryInMs: 400 });
  broken = false;
  await advance(1000);
  t.strictSame(outcomes.at(-1), { ok: true });
  broken = true;
  reconciler.trigger();
  await advance(150);
  t.strictSame(passes.slice(-2), [4600, 4700], "back at the first wait");
});

t.test("retries have jitter between half and all of the wait", async (t) => {
  for (const [random, expected] of [
    [0, 50],
    [0.5, 75],
    [0.999, 100],
  ] as const) {
    const { clock, advance, pending } = virtualClock();
    const pass = () => Promise.reject(new Error("no"));
    const backoff = { initialMs: 100, maxMs: 1000 };
    const reconciler = createReconciler({ pass, clock, random: () => random, periodMs: 60_000, backoff });
    reconciler.trigger();
    await advance(0);
    t.strictSame(pending(), [expected]);
  }
});

t.test("a trigger during a long wait comes soon, but never sooner than the first wait after a failure", async (t) => {
  const { reconciler, passes, advance } = setUp(() => Promise.reject(new Error("no")));
  reconciler.trigger();
  await advance(2600); // failed at 2500, retry at 3500
  reconciler.trigger();
  await advance(10);
  t.equal(passes.at(-1), 2600);
  const before = passes.length;
  for (let i = 0; i < 100; i++) {
    reconciler.trigger(); // as by notifications of the pass's own changes
    await advance(1);
  }
  t.ok(passes.length - before <= 2, `${passes.length - before} passes in 100 ms`);
});

t.test("stop waits for the running pass, and nothing starts after it", async (t) => {
  let finish = () => {};
  const { reconciler, passes, advance, pending } = setUp(
    () =>
      new Promise<void>((resolve) => {
        finish = resolve;
      }),
  );
  reconciler.trigger();
  await advance(0);
  let stopped = false;
  const stop = reconciler.stop().then(() => {
    stopped = true;
  });
  reconciler.trigger();
  await advance(10);
  t.notOk(stopped);
  finish();
  await stop;
  await advance(200_000);
  t.equal(passes.length, 1);
  t.strictSame(pending(), []);
  await reconciler.stop();
});

t.test("stop before the first pass leaves no timer", async (t) => {
  const { reconciler, passes, advance, pending } = setUp(async () => {});
  reconciler.trigger();
  await reconciler.stop();
  t.strictSame(pending(), []);
  await advance(1000);
  t.strictSame(passes, []);
});
