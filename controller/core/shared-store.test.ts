import t from "tap";
import type { MemoryStore } from "../store/memory.ts";
import type { Condition, Entry, Operation, Store } from "../store/store.ts";
import { checkNetwork, networkKey } from "./record.ts";
import { Testbed } from "./testbed.ts";

const OURS = "ours/";

/** A store that others write to, too, as an etcd with several tenants: most revisions are not ours. */
function shared(store: MemoryStore): Store {
  const mine = (entry: Entry): Entry => ({ ...entry, key: entry.key.slice(OURS.length) });
  const condition = (one: Condition): Condition => ({ ...one, key: OURS + one.key });
  const operation = (one: Operation): Operation =>
    "put" in one ? { ...one, put: OURS + one.put } : { delete: OURS + one.delete };
  return {
    range: async (prefix) => {
      const { entries, revision } = await store.range(OURS + prefix);
      return { revision, entries: entries.map(mine) };
    },
    transact: async ({ when, change }) => {
      const outcome = await store.transact({ when: when.map(condition), change: change.map(operation) });
      if (outcome.succeeded) return outcome;
      const { revision } = await store.transact({ when: [], change: [{ put: "theirs", value: "x" }] });
      return { succeeded: false, revision };
    },
    watch: (prefix, fromRevision, handler) =>
      store.watch(OURS + prefix, fromRevision, {
        onLost: (reason) => handler.onLost(reason),
        onEvents: (events, revision) =>
          handler.onEvents(
            events.map((event) => ({ ...event, key: event.key.slice(OURS.length) })),
            revision,
          ),
      }),
    close: () => store.close(),
  };
}

t.test("F1: in a store that others write to, a lost race does not wait for a revision that never comes", async (t) => {
  const bed = new Testbed();
  const store = shared(bed.store);
  const network = JSON.stringify(checkNetwork({ cidrs: ["10.0.0.0/16"], createdAt: 0 }));
  await store.transact({ when: [], change: [{ put: networkKey("default"), value: network }] });
  const controllers = [await bed.addController(store), await bed.addController(store)];
  for (let round = 0; round < 10; round++) {
    const pair = controllers.map((controller, i) =>
      bed.join(`node-${round}-${i}`, { addresses: [`198.51.${i}.${round + 1}`] }, controller),
    );
    await bed.clock.advance(2_000);
    t.same(
      pair.map((node) => node.lease()?.state),
      ["LEASE_STATE_HELD", "LEASE_STATE_HELD"],
    );
  }
  t.ok(
    controllers.some(({ allocator }) => allocator.counts.conflicts > 0),
    "they raced",
  );
});
