import { once } from "node:events";
import { createServer } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import t from "tap";
import { record, storeContract } from "../../controller/store/contract.ts";
import { EtcdStore, openEtcdClient } from "../../controller/store/etcd.ts";
import { type Store, type StoreEvent, StoreUnavailableError } from "../../controller/store/store.ts";
import { EtcdProcess } from "./controller-etcd.ts";

const etcd = await EtcdProcess.start();
t.teardown(() => etcd[Symbol.asyncDispose]());
let count = 0;

storeContract(t, {
  open: async () => new EtcdStore({ endpoints: [etcd.endpoint], prefix: `/test/${count++}` }),
  compact: async (_store, revision) => {
    const client = openEtcdClient({ endpoints: [etcd.endpoint] });
    await client.kv.compact({ revision, physical: true });
    client.close();
  },
});

t.test(
  "etcd killed -9 and restarted amid writes and a watch: no event lost or doubled, compare-and-swap exact",
  async (t) => {
    const store = new EtcdStore({ endpoints: [etcd.endpoint], prefix: "/crash" });
    const { revision } = await store.range("");
    const heard = record(store, "", revision + 1);
    let stop = false;
    const writers = Array.from({ length: 4 }, (_, i) => countUp(store, `counter/${i}`, () => stop));
    for (let round = 0; round < 3; round++) {
      const before = heard.events.length;
      await heard.until(before + 150);
      await etcd.kill();
      await t.rejects(store.range(""), { code: "STORE_UNAVAILABLE" });
      await etcd.restart();
      await heard.until(heard.events.length + 20);
    }
    stop = true;
    const totals = await Promise.all(writers);
    const { entries, revision: last } = await store.range("");
    t.same(
      entries.map(({ value }) => Number(value)),
      totals,
      "each counter shows exactly the increments that its writer knows of",
    );
    const total = totals.reduce((a, b) => a + b);
    await heard.until(total);
    const fresh = record(store, "", revision + 1);
    await fresh.until(total);
    t.same(
      heard.events.map(line),
      fresh.events.map(line),
      "the interrupted watch heard what a fresh one reads from history",
    );
    t.equal(new Set(heard.events.map(line)).size, heard.events.length, "nothing came twice");
    t.equal(heard.events.at(-1)?.modRevision, last);
    t.same(heard.lost, []);
    await store.close();
  },
);

t.test("a watch that reconnects many times while history waits for it loses nothing", async (t) => {
  const store = new EtcdStore({ endpoints: [etcd.endpoint], prefix: "/behind" });
  const first = await store.transact({ when: [], change: [{ put: "k/0", value: "0" }] });
  for (let i = 1; i < 3_000; i += 1) {
    if (i % 50 === 0) await store.transact({ when: [], change: [{ put: `k/${i}`, value: "x".repeat(2_000) }] });
    else void store.transact({ when: [], change: [{ put: `k/${i}`, value: "x".repeat(2_000) }] });
  }
  await store.transact({ when: [], change: [{ put: "end", value: "" }] });
  const reference = record(store, "", first.revision);
  await reference.until(3_001);
  const heard = record(store, "", first.revision);
  for (const threshold of [1, 500, 1_500]) {
    await heard.until(threshold);
    await etcd.kill();
    await etcd.restart();
  }
  await heard.until(3_001);
  t.same(heard.events.map(line), reference.events.map(line));
  await store.close();
});

t.test("while etcd is away, requests fail in time and nothing spins", async (t) => {
  const store = new EtcdStore({ endpoints: [etcd.endpoint], prefix: "/away" });
  const { revision } = await store.range("");
  const heard = record(store, "", revision + 1);
  await etcd.kill();
  let attempts = 0;
  const since = performance.now();
  const nobody = createServer((socket) => {
    attempts += 1;
    socket.destroy();
  }).listen(Number(new URL(etcd.endpoint).port), new URL(etcd.endpoint).hostname);
  await once(nobody, "listening");
  await t.rejects(store.transact({ when: [], change: [{ put: "a", value: "1" }] }), { code: "STORE_UNAVAILABLE" });
  await delay(3_000);
  const seconds = (performance.now() - since) / 1000;
  t.ok(attempts > 0 && attempts < 30 * seconds, `${attempts} connections were tried in ${seconds} s`);
  nobody.close();
  await once(nobody, "close");
  await etcd.restart();
  await eventually(() => store.transact({ when: [], change: [{ put: "a", value: "2" }] }));
  await heard.until(1);
  await store.close();
});

/** Counts by compare-and-swap. When an answer is lost, reads what became of it; answers how often it counted. */
async function countUp(store: Store, key: string, isStopped: () => boolean): Promise<number> {
  let counted = 0;
  let known = 0;
  while (!isStopped()) {
    try {
      const [entry] = (await store.range(key)).entries;
      counted = Number(entry?.value ?? 0);
      known = entry?.modRevision ?? 0;
      for (;;) {
        if (isStopped()) return counted;
        const change = [{ put: key, value: String(counted + 1) }];
        const { succeeded, revision } = await store.transact({ when: [{ key, modRevision: known }], change });
        if (!succeeded) throw new Error(`${key} has one writer, and still its compare-and-swap failed`);
        counted++;
        known = revision;
      }
    } catch (error) {
      if (!(error instanceof StoreUnavailableError)) throw error;
      await delay(50);
    }
  }
  return counted;
}

async function eventually<T>(call: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof StoreUnavailableError)) throw error;
      await delay(100);
    }
  }
}

function line(event: StoreEvent): string {
  return `${event.modRevision} ${event.type} ${event.key} ${event.type === "put" ? event.value.length < 100 && event.value : ""}`;
}
