import t from "tap";
import { converge, type Kind, ReconcileError, step, target } from "./step.ts";

interface Item {
  readonly name: string;
  readonly value: number;
}

/** Objects in a Map, with a log of what was done to them. */
function world(name: string, log: string[], ...items: Item[]) {
  const objects = new Map(items.map((item) => [item.name, item]));
  const broken = new Set<string>();
  const kind: Kind<Item> = {
    name,
    key: (item) => item.name,
    list: () => [...objects.values()],
    same: (existing, wanted) => existing.value === wanted.value,
    put(item, existing) {
      if (broken.has(item.name)) throw new Error(`no ${item.name}`);
      log.push(`${existing === undefined ? "add" : "change"} ${name} ${item.name}`);
      objects.set(item.name, item);
    },
    async remove(item) {
      if (broken.has(item.name)) throw new Error(`no ${item.name}`);
      log.push(`remove ${name} ${item.name}`);
      objects.delete(item.name);
    },
  };
  return { kind, objects, broken };
}

t.test("adds and changes come before removals, and what is right is left alone", async (t) => {
  const log: string[] = [];
  const routes = world(
    "route",
    log,
    { name: "old", value: 1 },
    { name: "same", value: 1 },
    { name: "other", value: 1 },
  );
  const changes = await step(routes.kind, [
    { name: "same", value: 1 },
    { name: "other", value: 2 },
    { name: "new", value: 1 },
  ]);
  t.strictSame(log, ["change route other", "add route new", "remove route old"]);
  t.strictSame(changes, { added: 1, changed: 1, removed: 1 });
  t.strictSame([...routes.objects.keys()].sort(), ["new", "other", "same"]);
});

t.test("a second step changes nothing", async (t) => {
  const log: string[] = [];
  const routes = world("route", log);
  await step(routes.kind, [{ name: "a", value: 1 }]);
  log.length = 0;
  t.strictSame(await step(routes.kind, [{ name: "a", value: 1 }]), { added: 0, changed: 0, removed: 0 });
  t.strictSame(log, []);
});

t.test("several kinds are put in order and removed in reverse", async (t) => {
  const log: string[] = [];
  const links = world("link", log, { name: "vx0", value: 1 });
  const routes = world("route", log, { name: "r0", value: 1 });
  await converge([target(links.kind, [{ name: "vx1", value: 1 }]), target(routes.kind, [{ name: "r1", value: 1 }])]);
  t.strictSame(log, ["add link vx1", "add route r1", "remove route r0", "remove link vx0"]);
});

t.test("F5: what vanished when an earlier kind was put is put again in the same pass", async (t) => {
  const log: string[] = [];
  const links = world("link", log, { name: "vx0", value: 1 });
  const routes = world("route", log, { name: "r0", value: 1 });
  const takesRoutesAway: Kind<Item> = {
    ...links.kind,
    put(item, existing) {
      links.kind.put(item, existing);
      routes.objects.clear();
    },
  };
  await converge([
    target(takesRoutesAway, [{ name: "vx0", value: 2 }]),
    target(routes.kind, [{ name: "r0", value: 1 }]),
  ]);
  t.strictSame(log, ["change link vx0", "add route r0"]);
});

t.test("a failure is reported with its key and does not stop the others", async (t) => {
  const log: string[] = [];
  const routes = world("route", log, { name: "stuck", value: 1 }, { name: "old", value: 1 });
  const unseen = world("rule", log);
  unseen.kind.list = () => {
    throw new Error("dump failed");
  };
  routes.broken.add("stuck").add("bad");
  const error = await converge([
    target(unseen.kind, [{ name: "x", value: 1 }]),
    target(routes.kind, [
      { name: "bad", value: 1 },
      { name: "good", value: 1 },
    ]),
  ]).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  t.ok(error instanceof ReconcileError);
  if (!(error instanceof ReconcileError)) return;
  t.equal(error.message, "rule: dump failed; route bad: no bad; route stuck: no stuck");
  t.strictSame(error.changes, { added: 1, changed: 0, removed: 1 });
  t.strictSame(
    error.failures.map(({ kind, key }) => [kind, key]),
    [
      ["rule", undefined],
      ["route", "bad"],
      ["route", "stuck"],
    ],
  );
  t.strictSame(log, ["add route good", "remove route old"]);
});
