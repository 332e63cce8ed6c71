import t from "tap";
import { Slots, Turns } from "./turns.ts";

/** Work that ends when it is told to. */
function gate() {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { open: () => open(), opened };
}

const settle = () => new Promise(setImmediate);

t.test("work on one thing keeps its order; other work goes on; a failure holds nobody up", async (t) => {
  const turns = new Turns();
  const events: string[] = [];
  const first = gate();
  const one = turns.take("a", async () => {
    await first.opened;
    events.push("a1");
    throw new Error("a1 failed");
  });
  const two = turns.take("a", async () => events.push("a2"));
  await turns.take("b", async () => events.push("b"));
  await settle();
  t.same(events, ["b"]);
  t.equal(turns.size, 1);
  first.open();
  await t.rejects(one, /a1 failed/);
  await two;
  t.same(events, ["b", "a1", "a2"]);
  await settle();
  t.equal(turns.size, 0, "nothing is kept");
});

t.test("slots: so many at a time, in order, and who steps aside lets others in", async (t) => {
  const slots = new Slots(2);
  const events: string[] = [];
  const gates = [gate(), gate(), gate(), gate()];
  const works = gates.map(({ opened }, i) =>
    slots.hold(async () => {
      events.push(`begin ${i}`);
      await (i === 0 ? slots.aside(() => opened) : opened);
      events.push(`end ${i}`);
    }),
  );
  await settle();
  t.same(events, ["begin 0", "begin 1", "begin 2"], "0 waits for something else, 3 for a slot");
  gates[1]?.open();
  await settle();
  t.same(events.slice(3), ["end 1", "begin 3"]);
  gates[0]?.open();
  await settle();
  t.notOk(events.includes("end 0"), "it comes back when there is a slot");
  gates[2]?.open();
  gates[3]?.open();
  await Promise.all(works);
  t.equal(slots.waiting, 0);
  await t.rejects(
    slots.hold(() => slots.aside(() => Promise.reject(new Error("x")))),
    /x/,
  );
  await slots.hold(() => Promise.all([1, 2].map(async () => {})));
});
