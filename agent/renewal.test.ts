import t from "tap";
import { Renewal } from "./renewal.ts";

/** Virtual time for setTimeout and performance.now. */
function renewalUnderTest(t: Tap) {
  let [now, asked, next] = [0, 0, 0];
  const timers = new Map<number, { at: number; callback: () => void }>();
  t.intercept(performance, "now", { value: () => now });
  t.intercept(globalThis, "setTimeout", {
    value: (callback: () => void, wait: number) => {
      timers.set(++next, { at: now + wait, callback });
      return next;
    },
  });
  t.intercept(globalThis, "clearTimeout", { value: (id: number) => timers.delete(id) });
  const renewal = new Renewal({ renew: () => asked++, random: () => 1 });
  const pass = (seconds: number) => {
    const end = now + seconds * 1000;
    for (;;) {
      const [first] = [...timers].sort(([, a], [, b]) => a.at - b.at);
      if (first === undefined || first[1].at > end) break;
      timers.delete(first[0]);
      now = first[1].at;
      first[1].callback();
    }
    now = end;
    return asked;
  };
  return { renewal, pass, timers };
}

interface Tap {
  intercept(object: object, key: string, descriptor: PropertyDescriptor): unknown;
}

t.test("a lease is renewed at a third of its time, and asked for again until the answer comes", async (t) => {
  const { renewal, pass } = renewalUnderTest(t);
  renewal.note("a", 90);
  t.equal(pass(29), 0);
  t.equal(pass(2), 1);
  t.equal(pass(31), 2, "no answer");
  renewal.note("a", 90);
  t.equal(pass(29), 2);
});

t.test("the network that is due first counts, whatever came in last", async (t) => {
  const { renewal, pass } = renewalUnderTest(t);
  renewal.note("full", undefined);
  renewal.note("a", 86_400);
  t.equal(pass(31), 1, "the network without a subnet is asked for again");
});

t.test("leases that never end, and networks that are gone, ask for nothing", async (t) => {
  const { renewal, pass, timers } = renewalUnderTest(t);
  renewal.note("reserved", 0);
  renewal.note("a", 9);
  renewal.forget("a");
  t.equal(pass(100_000), 0);
  renewal.note("a", 9);
  renewal.stop();
  t.equal(timers.size, 0);
});

t.test("S11: a lease of no time, or of a hundred years, is neither a busy loop nor a wrapped timer", async (t) => {
  const { renewal, pass } = renewalUnderTest(t);
  renewal.note("a", 0.001);
  t.ok(pass(1) <= 1);
  renewal.note("a", 4_294_967_295);
  t.equal(pass(3600) <= 2, true);
});
