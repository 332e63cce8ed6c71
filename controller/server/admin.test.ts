import { EventEmitter } from "node:events";
import t from "tap";
import { Testbed } from "../core/testbed.ts";
import { adminHandlers } from "./admin.ts";

t.test("a watcher that reads slowly is told of everything once it reads again, and nothing piles up", async (t) => {
  const bed = await Testbed.start({ default: { cidrs: ["10.0.0.0/16"] } });
  const [controller] = bed.controllers;
  if (controller === undefined) throw new Error("the testbed has a controller");
  const silent = { debug() {}, info() {}, warn() {}, error() {} };
  const written: string[][] = [];
  let isFull = false;
  const call = Object.assign(new EventEmitter(), {
    request: { kinds: [] },
    write: ({ kinds }: { kinds: string[] }) => {
      written.push(kinds);
      return !isFull;
    },
  });
  type Watch = ReturnType<typeof adminHandlers>["Watch"];
  adminHandlers(controller, silent).Watch(call as unknown as Parameters<Watch>[0]);
  t.same(written, [["nodes", "networks", "subnets", "pods"]], "all at once, first");
  isFull = true;
  for (let i = 0; i < 20; i++) {
    bed.join(`n${i}`, { addresses: [`198.51.100.${i + 1}`] });
    await bed.clock.advance(500);
  }
  t.equal(written.length, 2, "one that fills the buffer, and no more");
  isFull = false;
  call.emit("drain");
  t.same(new Set(written[2]), new Set(["nodes", "subnets"]));
  t.equal(written.length, 3);
  call.emit("cancelled");
  bed.join("late", { addresses: ["198.51.100.99"] });
  await bed.clock.advance(500);
  t.equal(written.length, 3, "nothing after the end");
});
