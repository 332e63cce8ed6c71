import t from "tap";
import { MemoryStore } from "../store/memory.ts";
import { StoreUnavailableError } from "../store/store.ts";
import { type FakeNode, Testbed } from "./testbed.ts";

const NETWORK = { cidrs: ["10.0.0.0/16", "fd00::/48"] };

/** Ten nodes that hold subnets of a store that is gone now: how each said hello, and what it held. */
async function nodesOfLostStore() {
  const old = await Testbed.start({ default: NETWORK });
  const joined = Array.from({ length: 10 }, (_, i) => {
    const hello = { addresses: [`198.51.100.${i + 1}`] };
    return { id: `node-${i}`, hello, node: old.join(`node-${i}`, hello) };
  });
  await old.clock.advance(100);
  return joined.map(({ id, hello, node }) => ({ id, hello: { ...hello, held: node.held() } }));
}

function subnetsOf(nodes: readonly FakeNode[]): (string[] | undefined)[] {
  return nodes.map((node) => node.lease()?.subnets.map(({ subnet }) => subnet));
}

t.test("an emptied store: every node gets the very subnets that it names, in whatever order nodes come", async (t) => {
  const known = await nodesOfLostStore();
  const bed = await Testbed.start({ default: NETWORK }, { controllers: 2 });
  const nodes = [...known].reverse().map(({ id, hello }, i) => bed.join(id, hello, bed.controllers[i % 2]));
  await bed.clock.advance(1_000);
  t.same(
    subnetsOf(nodes),
    [...known].reverse().map(({ hello }) => hello.held.map(({ subnet }) => subnet)),
  );
  for (const node of nodes) {
    t.same(
      node.messages().flatMap(({ lease }) => lease?.state ?? []),
      ["LEASE_STATE_HELD"],
      "nobody was ever told anything else",
    );
    const kinds = node.messages().map(({ kind }) => kind);
    t.ok(kinds.indexOf("lease") < kinds.indexOf("snapshot"), "the lease comes before the snapshot");
    const [first] = node.messages().flatMap(({ snapshot }) => snapshot ?? []);
    t.ok(
      node.held().every(({ subnet }) => first?.subnets.some((one) => one.subnet === subnet)),
      "which has the node's own subnets",
    );
  }
});

t.test("an emptied store: a subnet that another node got meanwhile is fenced, and only that", async (t) => {
  const known = await nodesOfLostStore();
  const bed = await Testbed.start({ default: { cidrs: ["10.0.0.0/16"] } });
  const early = bed.join("early", { addresses: ["198.51.100.99"] });
  await bed.clock.advance(100);
  t.equal(early.held()[0]?.subnet, "10.0.0.0/24", "which was node-0's");
  const nodes = known.map(({ id, hello }) =>
    bed.join(id, { ...hello, held: hello.held.filter(({ subnet }) => subnet.includes(".")) }),
  );
  await bed.clock.advance(100);
  t.same(
    nodes.map((node) => node.lease()?.state),
    ["LEASE_STATE_FENCED", ...Array.from({ length: 9 }, () => "LEASE_STATE_HELD")],
  );
  t.match(nodes[0]?.lease()?.reason, /10\.0\.0\.0\/24 of network "default".*is held by node "early"/);
});

t.test("an emptied store: what lies outside the network, or has another length, is not given", async (t) => {
  const bed = await Testbed.start({ default: { cidrs: ["10.0.0.0/16"] } });
  const held = (subnet: string) => [{ network: "default", subnet, epoch: 7 }];
  const outside = bed.join("a", { addresses: ["198.51.100.1"], held: held("10.9.0.0/24") });
  const longer = bed.join("b", { addresses: ["198.51.100.2"], held: held("10.0.3.0/25") });
  await bed.clock.advance(100);
  t.match(outside.lease(), { state: "LEASE_STATE_FENCED", reason: /lies outside 10\.0\.0\.0\/16/ });
  t.match(longer.lease(), { state: "LEASE_STATE_FENCED", reason: /is not one of its subnets/ });
});

t.test("a network that was lost with the store is told to the operator, once", async (t) => {
  const bed = await Testbed.start({ default: { cidrs: ["10.0.0.0/16"] } });
  for (const i of [1, 2]) {
    const held = [{ network: "blue", subnet: `172.16.${i}.0/24`, epoch: 7 }];
    bed.join(`n${i}`, { addresses: [`198.51.100.${i}`], held });
  }
  await bed.clock.advance(100);
  const lines = bed.log.filter(({ fields }) => fields.network === "blue");
  t.match(lines, [{ level: "warn", message: /network does not exist.*cnictl network create/ }]);
});

for (const how of ["the watch breaks", "the watch keeps silent"]) {
  t.test(`a store emptied under a running controller, ${how}: it gives up and tells nodes nothing`, async (t) => {
    const bed = await Testbed.start({ default: { cidrs: ["10.0.0.0/16"] } });
    const node = bed.join("a");
    await bed.clock.advance(1_000);
    const empty = new MemoryStore();
    const before = node.received.length;
    bed.store.range = empty.range.bind(empty);
    bed.store.transact = empty.transact.bind(empty);
    if (how === "the watch breaks") bed.store.goAway("a test");
    await bed.clock.advance(20_000);
    t.match(bed.fatal[0]?.message, /went back from revision \d+ to 0: it was emptied or restored/);
    t.equal(node.received.length, before);
  });
}

t.test("a store that is away: one line of log when it goes, one when it is back, and not ready between", async (t) => {
  const bed = await Testbed.start({ default: { cidrs: ["10.0.0.0/16"] } });
  const [controller] = bed.controllers;
  const nodes = Array.from({ length: 20 }, (_, i) => bed.join(`n${i}`, { addresses: [`198.51.100.${i + 1}`] }));
  await bed.clock.advance(100);
  t.same(controller?.health.reasons(), []);
  const { range, transact } = bed.store;
  const away = async () => {
    throw new StoreUnavailableError("gone");
  };
  Object.assign(bed.store, { range: away, transact: away });
  bed.log.length = 0;
  await bed.clock.advance(13 * 3_600_000);
  for (const node of nodes) node.renew();
  await bed.clock.advance(60_000);
  t.match(controller?.health.reasons(), [/the store has not answered since 2026-01-01T/]);
  t.equal(bed.log.filter(({ message }) => message.startsWith("the store does not answer")).length, 1);
  t.equal(bed.log.filter(({ level, message }) => level !== "debug" && message.includes("cannot renew")).length, 0);
  Object.assign(bed.store, { range, transact });
  await bed.clock.advance(60_000);
  t.same(controller?.health.reasons(), []);
  t.equal(bed.log.filter(({ message }) => message === "the store answers again").length, 1);
});

t.test("an old session's write that lost a race is not tried again over what the new session wrote", async (t) => {
  const bed = await Testbed.start({ default: { cidrs: ["10.0.0.0/16"] } });
  const first = bed.join("a");
  await bed.clock.advance(100);
  first.drop();
  const transact = bed.store.transact.bind(bed.store);
  let open = () => {};
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  let calls = 0;
  bed.store.transact = async (transaction) => {
    if (calls++ === 0) await gate; // the old session's write is on its way for long
    return transact(transaction);
  };
  bed.join("a", { addresses: ["198.51.100.5"] });
  await bed.clock.advance(10);
  bed.join("a", { addresses: ["198.51.100.6"] });
  await bed.clock.advance(100);
  open();
  await bed.clock.advance(100);
  const node = bed.controllers[0]?.mirror.state.nodes.get("a");
  t.same(node?.addresses, ["198.51.100.6"]);
});
