import t from "tap";
import { applyDelta, applyLease, applySnapshot, dropLease, EMPTY_STATE, heldSubnets } from "./cluster-state.ts";
import { delta, lease, network, snapshot, subnet } from "./fixture.ts";

const NOW = 1_000_000;

t.test("a snapshot replaces networks and subnets and keeps the leases of networks that are still there", async (t) => {
  const before = [lease("a"), lease("gone")].reduce(applyLease, {
    ...EMPTY_STATE,
    revision: 4,
    networks: new Map([["a", network("a")]]),
  });
  const after = applySnapshot(before, snapshot(5, [network("a")], [subnet("10.244.1.0/24", "n1")]), NOW);
  t.equal(after.revision, 5);
  t.strictSame([...after.networks.keys()], ["a"]);
  t.strictSame([...after.subnets.keys()], ["a/10.244.1.0/24"]);
  t.strictSame([...after.leases.keys()], ["a"]);
  t.equal(after.remembered, undefined);
});

t.test("a delta changes what it names; a subnet deleted and put in one delta is the new owner's", async (t) => {
  const start = applySnapshot(
    EMPTY_STATE,
    snapshot(1, [network("a")], [subnet("10.244.1.0/24", "n1"), subnet("10.244.2.0/24", "n2")]),
    NOW,
  );
  const after = applyDelta(start, {
    ...delta(2),
    subnets: [subnet("10.244.1.0/24", "n3")],
    deletedSubnets: [
      { network: "a", subnet: "10.244.1.0/24" },
      { network: "a", subnet: "10.244.2.0/24" },
    ],
  });
  t.strictSame(
    [...after.subnets.values()].map(({ nodeId }) => nodeId),
    ["n3"],
  );
  t.equal(start.subnets.size, 2, "the state before is untouched");
});

t.test("a deleted network takes its lease along", async (t) => {
  const start = applyLease(applySnapshot(EMPTY_STATE, snapshot(1, [network("a"), network("b")], []), NOW), lease("a"));
  const after = applyDelta(start, { ...delta(2), deletedNetworks: ["a"] });
  t.strictSame([...after.networks.keys()], ["b"]);
  t.equal(after.leases.size, 0);
});

t.test("S2: names such as __proto__ and constructor are names like others", async (t) => {
  const names = ["__proto__", "constructor", "toString"];
  const start = applySnapshot(EMPTY_STATE, snapshot(1, [], []), NOW);
  const after = applyDelta(start, { ...delta(2), networks: names.map((name) => network(name)) });
  t.strictSame([...after.networks.keys()], names);
  t.equal(after.leases.get("constructor"), undefined);
  t.equal(({} as { cidrs?: unknown }).cidrs, undefined, "Object.prototype is unchanged");
});

t.test("held subnets name leases of every state; a dropped lease is not named", async (t) => {
  const state = [lease("a"), { ...lease("b"), state: "LEASE_STATE_FENCED" as const }].reduce(applyLease, EMPTY_STATE);
  t.strictSame(
    heldSubnets(state).map((held) => held.network),
    ["a", "b"],
  );
  t.strictSame(
    heldSubnets(dropLease(state, "b")).map((held) => held.network),
    ["a"],
  );
});
