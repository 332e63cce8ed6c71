import type { Test } from "tap";
import type { Store, StoreEvent, Transaction, Watch } from "./store.ts";

type Tests = Pick<Test, "test">;

export interface ContractOptions {
  /** An empty store, other than those opened before. */
  readonly open: () => Promise<Store>;
  /** Makes the store forget the events before that revision. */
  readonly compact?: (store: Store, revision: number) => Promise<void>;
}

/** What every {@link Store} must do, as tests. */
export function storeContract(t: Tests, { open, compact }: ContractOptions): void {
  t.test("a key is created once, and its revisions tell creation from change", async (t) => {
    const store = await open();
    const create = put("a", "1", { key: "a", createRevision: 0 });
    const first = await store.transact(create);
    t.equal(first.succeeded, true);
    t.equal((await store.transact(create)).succeeded, false, "it is there");
    const second = await store.transact(put("a", "2", { key: "a", modRevision: first.revision }));
    t.equal(second.succeeded, true);
    t.ok(second.revision > first.revision);
    t.equal((await store.transact(put("a", "3", { key: "a", modRevision: first.revision }))).succeeded, false);
    t.equal((await store.transact(put("a", "3", { key: "a", createRevision: first.revision }))).succeeded, true);
    const { entries } = await store.range("");
    t.same(
      entries.map(({ key, value, createRevision }) => [key, value, createRevision]),
      [["a", "3", first.revision]],
    );
    await store.transact({ when: [], change: [{ delete: "a" }] });
    const again = await store.transact(create);
    t.ok(again.succeeded && again.revision > second.revision, "a new life, a new create revision");
    t.equal((await store.range("")).entries[0]?.createRevision, again.revision);
    await store.close();
  });

  t.test("a transaction happens whole or not at all", async (t) => {
    const store = await open();
    await store.transact(put("x", "old"));
    const failed = await store.transact({
      when: [
        { key: "new", createRevision: 0 },
        { key: "x", modRevision: 0 },
      ],
      change: [{ put: "new", value: "1" }, { delete: "x" }],
    });
    t.equal(failed.succeeded, false);
    t.same(
      (await store.range("")).entries.map(({ key }) => key),
      ["x"],
    );
    const done = await store.transact({
      when: [{ key: "new", createRevision: 0 }],
      change: [{ put: "new", value: "1" }, { put: "new2", value: "2" }, { delete: "x" }],
    });
    const listing = await store.range("");
    t.same(
      listing.entries.map(({ key, modRevision }) => [key, modRevision]),
      [
        ["new", done.revision],
        ["new2", done.revision],
      ],
    );
    t.equal(listing.revision, done.revision);
    await store.close();
  });

  t.test("range lists one prefix in byte order, more than a page of it", async (t) => {
    const store = await open();
    const keys = Array.from({ length: 4_100 }, (_, i) => `n/${String(i).padStart(5, "0")}`);
    for (let i = 0; i < keys.length; i += 100) {
      await store.transact({ when: [], change: keys.slice(i, i + 100).map((key) => ({ put: key, value: "v" })) });
    }
    await store.transact({ when: [], change: ["n", "n.", "n0", "o"].map((key) => ({ put: key, value: "v" })) });
    t.same(
      (await store.range("n/")).entries.map(({ key }) => key),
      keys,
    );
    t.equal((await store.range("")).entries.length, keys.length + 4);
    await store.close();
  });

  t.test("a watch delivers every event after a revision once, in order, revisions whole", async (t) => {
    const store = await open();
    const { revision } = await store.transact(put("w/a", "1"));
    await store.transact(put("elsewhere", "1"));
    const pair = await store.transact({
      when: [],
      change: [
        { put: "w/b", value: "1" },
        { put: "w/c", value: "1" },
      ],
    });
    const heard = record(store, "w/", revision + 1);
    await heard.until(2);
    await store.transact({ when: [], change: [{ delete: "w/b" }] });
    await store.transact({ when: [], change: [{ delete: "w/none" }] });
    const last = await store.transact(put("w/b", "again"));
    await heard.until(4);
    t.same(heard.events.map(text), ["put w/b=1", "put w/c=1", "delete w/b", "put w/b=again"]);
    t.same(
      heard.events.slice(0, 2).map(({ modRevision }) => modRevision),
      [pair.revision, pair.revision],
    );
    t.same(heard.events[3], {
      type: "put",
      key: "w/b",
      value: "again",
      createRevision: last.revision,
      modRevision: last.revision,
    });
    t.ok(heard.batchesWhole(), "no batch splits a revision");
    heard.watch.close();
    await store.transact(put("w/after", "1"));
    await store.range("");
    t.equal(heard.events.length, 4, "nothing after close");
    t.same(heard.lost, []);
    await store.close();
  });

  t.test("concurrent writers that count by compare-and-swap lose nothing", async (t) => {
    const store = await open();
    let conflicts = 0;
    const count = async () => {
      for (let done = 0; done < 20; ) {
        const [entry] = (await store.range("counter")).entries;
        const next = String(Number(entry?.value ?? 0) + 1);
        const { succeeded } = await store.transact(
          put("counter", next, { key: "counter", modRevision: entry?.modRevision ?? 0 }),
        );
        if (succeeded) done++;
        else conflicts++;
      }
    };
    await Promise.all([count(), count(), count(), count()]);
    t.equal((await store.range("counter")).entries[0]?.value, "80");
    t.ok(conflicts > 0, "they raced");
    await store.close();
  });

  t.test("close ends watches with a reason, and what comes later is refused", async (t) => {
    const store = await open();
    const heard = record(store, "", 1);
    await store.transact(put("a", "1"));
    await heard.until(1);
    await store.close();
    t.equal(heard.lost.length, 1);
    await t.rejects(store.transact(put("a", "2")), { code: "STORE_UNAVAILABLE" });
    await t.rejects(store.range(""), { code: "STORE_UNAVAILABLE" });
  });

  if (compact === undefined) return;
  t.test("a watch from a forgotten revision says so, once, and delivers nothing", async (t) => {
    const store = await open();
    const first = await store.transact(put("a", "1"));
    for (const value of ["2", "3", "4"]) await store.transact(put("a", value));
    await compact(store, first.revision + 2);
    const heard = record(store, "", first.revision + 1);
    await heard.untilLost();
    t.equal(heard.lost.length, 1);
    t.same(heard.events, []);
    const { revision } = await store.range("");
    const resumed = record(store, "", revision + 1);
    await store.transact(put("a", "5"));
    await resumed.until(1);
    t.same(resumed.events.map(text), ["put a=5"]);
    resumed.watch.close();
    await store.close();
  });
}

/** Collects what a watch delivers. */
export function record(store: Store, prefix: string, fromRevision: number) {
  const events: StoreEvent[] = [];
  const batches: (readonly StoreEvent[])[] = [];
  const lost: string[] = [];
  let wake = () => {};
  const watch: Watch = store.watch(prefix, fromRevision, {
    onEvents: (batch) => {
      events.push(...batch);
      batches.push(batch);
      wake();
    },
    onLost: (reason) => {
      lost.push(reason);
      wake();
    },
  });
  const wait = async (isDone: () => boolean) => {
    while (!isDone()) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  return {
    events,
    lost,
    watch,
    until: (count: number) => wait(() => events.length >= count),
    untilLost: () => wait(() => lost.length > 0),
    batchesWhole: () =>
      new Set(batches.flatMap((batch) => [...new Set(batch.map((event) => event.modRevision))])).size ===
      batches.reduce((sum, batch) => sum + new Set(batch.map((event) => event.modRevision)).size, 0),
  };
}

function put(key: string, value: string, condition?: Transaction["when"][number]): Transaction {
  return { when: condition === undefined ? [] : [condition], change: [{ put: key, value }] };
}

function text(event: StoreEvent): string {
  return event.type === "put" ? `put ${event.key}=${event.value}` : `delete ${event.key}`;
}
