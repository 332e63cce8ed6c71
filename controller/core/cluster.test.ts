import t from "tap";
import type { RequestError } from "./error.ts";
import { Testbed } from "./testbed.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const V4 = { cidrs: ["10.0.0.0/16"] };

t.test("F1: 5,000 nodes join at once through three controllers: no failure, no subnet twice", async (t) => {
  const bed = await Testbed.start({ default: { cidrs: ["10.0.0.0/8", "fd00::/44"] } }, { controllers: 3 });
  const started = performance.now();
  const nodes = Array.from({ length: 5_000 }, (_, i) => {
    const hello = { addresses: [`198.18.${i >> 8}.${i & 255}`, `2001:db8::${(i + 1).toString(16)}`] };
    const node = bed.join(`node-${i}`, hello, bed.controllers[i % 3]);
    node.slow = true; // one message is enough to know the lease
    return node;
  });
  while (nodes.some((node) => node.received.length === 0 && node.ended === undefined)) await bed.clock.advance(1);
  const joined = Math.round(performance.now() - started);
  t.equal(nodes.filter((node) => node.ended !== undefined).length, 0, "no failures");
  const leases = nodes.map((node) => node.lease());
  t.equal(leases.filter((lease) => lease?.state === "LEASE_STATE_HELD").length, 5_000);
  const subnets = leases.flatMap((lease) => lease?.subnets.map(({ subnet }) => subnet) ?? []);
  t.equal(subnets.length, 10_000);
  t.equal(new Set(subnets).size, 10_000, "no duplicates");
  const conflicts = bed.controllers.reduce((sum, { allocator }) => sum + allocator.counts.conflicts, 0);
  t.ok(conflicts > 0, "they raced");
  const { entries } = await bed.store.range("subnets/default/");
  t.same(new Set(entries.map(({ key }) => key)).size, 10_000);
  t.comment(`${joined} ms, ${conflicts} lost races`);
});

t.test("F1: more nodes than subnets: each subnet is given once and the rest are told in a sentence", async (t) => {
  const bed = await Testbed.start({ default: { cidrs: ["10.0.0.0/20"] } }, { controllers: 3 });
  const nodes = Array.from({ length: 40 }, (_, i) =>
    bed.join(`n${i}`, { addresses: [`198.51.100.${i + 1}`] }, bed.controllers[i % 3]),
  );
  await bed.clock.advance(100);
  const held = nodes.filter((node) => node.lease()?.state === "LEASE_STATE_HELD");
  t.equal(held.length, 16);
  t.equal(new Set(held.flatMap((node) => node.held().map(({ subnet }) => subnet))).size, 16);
  const none = nodes.filter((node) => node.lease()?.state === "LEASE_STATE_NONE");
  t.equal(none.length, 24);
  t.match(none[0]?.lease()?.reason, /no free subnet left in 10\.0\.0\.0\/20: all 16 of length \/24 are taken; release/);
  held[0]?.drop();
  await bed.controllers[0]?.admin.releaseSubnet("default", held[0]?.held()[0]?.subnet ?? "", false);
  none[0]?.renew();
  await bed.clock.advance(100);
  t.equal(none[0]?.lease()?.state, "LEASE_STATE_HELD", "what is released is given on");
});

t.test("a node gets its subnet again, from any controller and after any of them restarts", async (t) => {
  const bed = await Testbed.start({ default: V4 }, { controllers: 2 });
  bed.join("other", { addresses: ["198.51.100.2"] });
  const first = bed.join("a");
  await bed.clock.advance(100);
  const lease = first.lease();
  first.drop();
  const again = bed.join("a", {}, bed.controllers[1]);
  const third = await bed.addController();
  again.drop();
  const after = bed.join("a", { held: first.held() }, third);
  await bed.clock.advance(100);
  t.same(after.lease()?.subnets, lease?.subnets, "the epoch too");
});

t.test(
  "F2: a node back from a long partition is fenced, told who holds its subnet, and overwrites nothing",
  async (t) => {
    const bed = await Testbed.start({ default: { cidrs: ["10.0.0.0/24"] } });
    const old = bed.join("old");
    await bed.clock.advance(HOUR);
    const held = old.held();
    t.equal(held[0]?.subnet, "10.0.0.0/24");
    old.drop();
    await bed.clock.advance(DAY + HOUR);
    const young = bed.join("young", { addresses: ["198.51.100.2"] });
    await bed.clock.advance(100);
    t.equal(young.lease()?.state, "LEASE_STATE_HELD", "the expired subnet went to another node");
    const before = (await bed.store.range("subnets/")).entries;
    const back = bed.join("old", { held });
    await bed.clock.advance(100);
    t.equal(back.lease()?.state, "LEASE_STATE_FENCED");
    t.same(back.lease()?.subnets, [{ subnet: "10.0.0.0/24", epoch: held[0]?.epoch }], "the old claim is named");
    t.match(
      back.lease()?.reason,
      /10\.0\.0\.0\/24 of network "default".*is held by node "young" \(id young\) since 2026-01-02.*remove this node's pods/,
    );
    back.renew(held);
    await bed.clock.advance(100);
    t.equal(back.lease()?.state, "LEASE_STATE_FENCED", "renewing does not help");
    t.same((await bed.store.range("subnets/")).entries, before, "the store is untouched");
    back.renew([]);
    await bed.clock.advance(100);
    t.equal(back.lease()?.state, "LEASE_STATE_NONE", "only a node that gave up its subnet asks for another");
  },
);

t.test("F2: an expired subnet that nobody took goes back to the node whose pods use it", async (t) => {
  const bed = await Testbed.start({ default: V4 });
  const node = bed.join("a");
  await bed.clock.advance(100);
  const held = node.held();
  node.drop();
  await bed.clock.advance(3 * DAY);
  t.same((await bed.store.range("subnets/")).entries, [], "it was reclaimed");
  t.same((await bed.store.range("nodes/")).entries, [], "and the node forgotten");
  const back = bed.join("a", { held });
  await bed.clock.advance(100);
  t.equal(back.lease()?.state, "LEASE_STATE_HELD");
  t.equal(back.held()[0]?.subnet, held[0]?.subnet);
  t.ok((back.held()[0]?.epoch ?? 0) > (held[0]?.epoch ?? 0), "as a new lease");
});

t.test("leases are renewed by the node that holds them, and outlive their time only so", async (t) => {
  const bed = await Testbed.start({ default: V4 }, { leaseTtl: HOUR });
  const node = bed.join("a");
  await bed.clock.advance(100);
  const first = node.lease();
  for (let i = 0; i < 10; i++) {
    await bed.clock.advance(HOUR / 2);
    node.renew();
  }
  await bed.clock.advance(100);
  t.same(node.lease()?.subnets, first?.subnets);
  t.ok((node.lease()?.expiresAt ?? 0) > (first?.expiresAt ?? 0) + 4 * HOUR);
  t.equal(node.lease()?.ttlSeconds, 3600);
  t.same(node.deltas(), [], "a renewal is no news to anybody");
});

t.test("an outage longer than a lease takes no subnet from nodes that come back with the store", async (t) => {
  const bed = await Testbed.start({ default: V4 }, { leaseTtl: HOUR });
  const node = bed.join("a");
  await bed.clock.advance(100);
  bed.store.goAway("a test");
  await bed.clock.advance(HOUR / 2);
  node.renew();
  await bed.clock.advance(1.5 * HOUR);
  t.equal(node.ended, undefined, "sessions outlive the store's absence");
  bed.store.comeBack();
  await bed.clock.advance(60_000);
  const [entry] = (await bed.store.range("subnets/")).entries;
  t.equal(entry?.createRevision, node.held()[0]?.epoch, "the lease is the old one");
  t.ok((node.lease()?.expiresAt ?? 0) > bed.clock.now(), "and renewed");
});

t.test("a node that joins while the store is away is told UNAVAILABLE", async (t) => {
  const bed = await Testbed.start({ default: V4 });
  bed.store.goAway("a test");
  await bed.clock.advance(100);
  const node = bed.join("a");
  t.equal(node.ended?.error?.status, "UNAVAILABLE");
  t.match(node.ended?.error?.message, /cannot read its store/);
});

t.test("a stream without a hello ends after 10 s", async (t) => {
  const bed = await Testbed.start({ default: V4 });
  let ended: string | undefined;
  const end = (error: RequestError | undefined) => {
    ended = error?.status;
  };
  bed.controllers[0]?.connect({ send: () => {}, end });
  await bed.clock.advance(9_900);
  t.equal(ended, undefined);
  await bed.clock.advance(200);
  t.equal(ended, "DEADLINE_EXCEEDED");
});

t.test("F4: a node that comes back with another address keeps its subnet, and its peers hear of it", async (t) => {
  const bed = await Testbed.start({ default: { cidrs: ["10.0.0.0/16", "fd00::/48"] } });
  const peer = bed.join("peer", { addresses: ["198.51.100.9"] });
  const node = bed.join("a", { addresses: ["198.51.100.1"] });
  await bed.clock.advance(100);
  const before = node.held();
  const again = bed.join("a", { addresses: ["198.51.100.77", "2001:db8::77"], held: before });
  await bed.clock.advance(100);
  t.equal(node.ended?.error?.status, "ABORTED", "the old session is replaced: same boot id");
  t.same(again.held(), before, "same subnets, same epochs");
  for (const { subnet } of before) t.equal(peer.view().get(`default ${subnet}`), "a 198.51.100.77,2001:db8::77");
  t.same(peer.view(), again.view());
});

t.test("F9: a change of the IPv6 address alone reaches the peers; so does one of IPv4 alone", async (t) => {
  const bed = await Testbed.start({ default: { cidrs: ["10.0.0.0/16", "fd00::/48"] } });
  const peer = bed.join("peer", { addresses: ["198.51.100.9", "2001:db8::9"] });
  let held: ReturnType<typeof peer.held> = [];
  for (const addresses of [
    ["198.51.100.1", "2001:db8::1"],
    ["198.51.100.1", "2001:db8::2"],
    ["198.51.100.3", "2001:db8::2"],
    ["2001:db8::2"],
  ]) {
    const node = bed.join("a", { addresses, held });
    await bed.clock.advance(100);
    held = node.held();
    t.equal(held.length, 2);
    for (const { subnet } of held) t.equal(peer.view().get(`default ${subnet}`), `a ${addresses.join()}`);
  }
});

t.test("F11: two nodes announcing one address: the second is refused and told who holds it", async (t) => {
  const bed = await Testbed.start({ default: V4 });
  const first = bed.join("first", { nodeName: "worker-1", addresses: ["10.1.2.15", "2001:db8::1"] });
  const second = bed.join("second", { addresses: ["10.1.2.15"] });
  await bed.clock.advance(100);
  t.equal(second.ended?.error?.status, "ALREADY_EXISTS");
  t.match(
    second.ended?.error?.message,
    /addresses: 10\.1\.2\.15 is held by node "worker-1" \(id first\), connected since .*choose another/,
  );
  t.equal((await bed.store.range("nodes/second")).entries.length, 0, "nothing of it was written");
  first.drop();
  const later = bed.join("second", { addresses: ["10.1.2.15"] });
  await bed.clock.advance(100);
  t.equal(later.lease()?.state, "LEASE_STATE_HELD", "a node that is gone does not keep its address");
  t.equal(
    [...later.view().values()].filter((node) => node.includes("10.1.2.15")).length,
    1,
    "the address leads to one node only",
  );
});

t.test("a second machine with a node id in use is refused; the same machine after a reboot is not", async (t) => {
  const bed = await Testbed.start({ default: V4 });
  const first = bed.join("a");
  const clone = bed.join("a", { addresses: ["198.51.100.2"], bootId: "another" });
  t.equal(clone.ended?.error?.status, "ALREADY_EXISTS");
  t.match(
    clone.ended?.error?.message,
    /node_id: "a" is in use by another machine \(addresses 198\.51\.100\.1.*id of its own/,
  );
  const rebooted = bed.join("a", { bootId: "another" });
  await bed.clock.advance(100);
  t.equal(first.ended?.error?.status, "ABORTED");
  t.equal(rebooted.lease()?.state, "LEASE_STATE_HELD");
});

t.test("several networks: a node joins those it names, and a new one reaches nodes that join all", async (t) => {
  const bed = await Testbed.start({ red: { cidrs: ["10.1.0.0/16"] }, blue: { cidrs: ["10.2.0.0/16"] } });
  const both = bed.join("a");
  const red = bed.join("b", { addresses: ["198.51.100.2"], networks: ["red"] });
  const none = bed.join("c", { addresses: ["198.51.100.3"], networks: ["green"] });
  await bed.clock.advance(100);
  t.equal(none.ended?.error?.status, "NOT_FOUND");
  t.match(none.ended?.error?.message, /networks: "green" does not exist/);
  t.ok(both.lease("red") && both.lease("blue") && red.lease("red"));
  t.equal(red.lease("blue"), undefined);
  await bed.putNetwork("green", { cidrs: ["10.3.0.0/16"] });
  await bed.clock.advance(100);
  t.equal(both.lease("green")?.state, "LEASE_STATE_HELD");
  t.equal(red.lease("green"), undefined);
  t.ok(red.view().has("green 10.3.0.0/24"), "everybody hears of every subnet");
});

t.test("many networks are leased in transactions that every store takes", async (t) => {
  const networks = Object.fromEntries(
    Array.from({ length: 150 }, (_, i) => [`n${i}`, { cidrs: [`10.${i}.0.0/16`, `fd00:${i}::/48`] }]),
  );
  const bed = await Testbed.start(networks);
  const most: number[] = [];
  const transact = bed.store.transact.bind(bed.store);
  bed.store.transact = (transaction) => {
    most.push(Math.max(transaction.when.length, transaction.change.length));
    return transact(transaction);
  };
  const node = bed.join("a");
  await bed.clock.advance(100);
  t.equal(node.messages().filter(({ lease }) => lease?.state === "LEASE_STATE_HELD").length, 150);
  t.ok(Math.max(...most) <= 100, `${Math.max(...most)} at most`);
});
