import t from "tap";
import { Testbed } from "./testbed.ts";

const V4 = { cidrs: ["10.0.0.0/8"] };

t.test("a node gets its leases, then one snapshot, then deltas, and so knows what the store holds", async (t) => {
  const bed = await Testbed.start({ default: V4, blue: { cidrs: ["172.16.0.0/16"] } }, { controllers: 2 });
  const node = bed.join("a");
  await bed.clock.advance(100);
  t.same(
    node.messages().map(({ kind }) => kind),
    ["lease", "lease", "snapshot"],
  );
  const peers = Array.from({ length: 20 }, (_, i) =>
    bed.join(`p${i}`, { addresses: [`198.51.100.${i + 10}`] }, bed.controllers[i % 2]),
  );
  await bed.clock.advance(100);
  await bed.controllers[1]?.admin.releaseSubnet("blue", peers[3]?.lease("blue")?.subnets[0]?.subnet ?? "", true);
  await bed.clock.advance(100);
  t.equal(node.view().size, 41);
  for (const peer of peers) t.same(peer.view(), node.view(), "every node has the same view");
  t.ok(node.deltas().length < 20, `${node.deltas().length} deltas for 40 changes: bursts are one message`);
  const revisions = node.deltas().map(({ revision }) => revision);
  t.same(
    revisions,
    [...new Set(revisions)].sort((a, b) => a - b),
    "revisions rise",
  );
});

t.test("a slow reader has one message under way and gets newer state later, not a queue", async (t) => {
  const bed = await Testbed.start({ default: V4 });
  const slow = bed.join("slow", { addresses: ["198.51.100.250"] });
  const quick = bed.join("quick", { addresses: ["198.51.100.251"] });
  await bed.clock.advance(100);
  slow.slow = true;
  const before = slow.received.length;
  for (let i = 0; i < 100; i++) {
    const node = bed.join(`n${i}`, { addresses: [`198.51.100.${i + 1}`] });
    await bed.clock.advance(50);
    if (i % 2 === 0) {
      node.drop();
      await bed.controllers[0]?.admin.releaseSubnet("default", node.held()[0]?.subnet ?? "", false);
    }
  }
  t.equal(slow.received.length, before + 1, "one message is under way, none waits");
  t.ok(quick.deltas().length > 50);
  slow.catchUp();
  await bed.clock.advance(100);
  t.equal(slow.received.length, before + 2, "the rest comes merged into one");
  t.same(slow.view(), quick.view());
});

t.test("a message for many nodes is encoded once", async (t) => {
  const bed = await Testbed.start({ default: V4 });
  const nodes = Array.from({ length: 200 }, (_, i) => bed.join(`n${i}`, { addresses: [`198.51.100.${i + 1}`] }));
  await bed.clock.advance(1_000);
  const { counts } = bed.controllers[0]?.distributor ?? {};
  const before = { ...counts };
  bed.join("one-more", { addresses: ["198.51.101.1"] });
  await bed.clock.advance(1_000);
  t.equal((counts?.deltas ?? 0) - (before.deltas ?? 0), 200);
  t.equal((counts?.encoded ?? 0) - (before.encoded ?? 0), 3, "a lease, a snapshot and a delta");
  t.ok(
    nodes.every((node) => node.received.at(-1) === nodes[0]?.received.at(-1)),
    "the very same bytes",
  );
});

t.test("a watch lost by the store is made up for: nodes hear of what happened meanwhile, deletions too", async (t) => {
  const bed = await Testbed.start({ default: V4 });
  const node = bed.join("a");
  const gone = bed.join("b", { addresses: ["198.51.100.2"] });
  await bed.clock.advance(100);
  const [held] = gone.held();
  gone.drop();
  bed.store.goAway("a test");
  bed.store.comeBack();
  await bed.store.transact({ when: [], change: [{ delete: `subnets/default/${held?.subnet.replace("/", "-")}` }] });
  await bed.put(
    "subnets/default/10.9.9.0-24",
    JSON.stringify({
      nodeId: "c",
      nodeName: "c",
      addresses: ["198.51.100.3"],
      reserved: false,
      expiresAt: bed.clock.now() + 1e9,
      createdAt: 0,
    }),
  );
  await bed.clock.advance(2_000);
  t.same([...node.view().keys()].sort(), [`default ${node.held()[0]?.subnet}`, "default 10.9.9.0/24"].sort());
});
