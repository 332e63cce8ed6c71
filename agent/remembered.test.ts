import t from "tap";
import { parseUnderlay } from "../overlay/parse-network.ts";
import { applyDelta, applyLease, applySnapshot, type ClusterState, EMPTY_STATE } from "./cluster-state.ts";
import { delta, lease, network, snapshot, subnet } from "./fixture.ts";
import { overlayInput } from "./overlay-input.ts";

const NOW = 1_000_000;
const PEERS = [
  subnet("10.244.1.0/24", "n1", { addresses: ["192.0.2.1"], epoch: 10 }),
  subnet("10.244.2.0/24", "n2", { addresses: ["192.0.2.2"], epoch: 11 }),
];

function settled(): ClusterState {
  const told = applySnapshot(applyLease(EMPTY_STATE, lease("a")), snapshot(100, [network("a")], PEERS), NOW);
  return applyLease(told, lease("a"));
}

function routed(state: ClusterState): string[] {
  const underlay = parseUnderlay("eth0", 1500, ["192.0.2.7/24"]);
  return overlayInput(state, "me", underlay, []).peers.map(({ subnet, nodeId }) => `${subnet} ${nodeId}`);
}

t.test("a controller whose store was emptied does not tear down the node's network", async (t) => {
  for (const revision of [1, 100, 5000]) {
    const after = applySnapshot(settled(), snapshot(revision, [], []), NOW);
    t.equal(after.revision, revision);
    t.strictSame(routed(after), ["10.244.1.0/24 n1", "10.244.2.0/24 n2"], `at revision ${revision}`);
    t.equal(after.leases.get("a")?.state, "LEASE_STATE_HELD");
    t.equal(after.remembered?.until, NOW + 60_000, "as long as a lease lasts");
  }
});

t.test(
  "a network that was made anew holds what its nodes had until they are back, and the store is right",
  async (t) => {
    const anew = network("a", { createdAt: 999 });
    let state = applySnapshot(settled(), snapshot(3, [anew], []), NOW);
    t.strictSame(routed(state), ["10.244.1.0/24 n1", "10.244.2.0/24 n2"]);

    state = applyDelta(state, { ...delta(4), subnets: [subnet("10.244.9.0/24", "n1", { addresses: ["192.0.2.1"] })] });
    t.strictSame(routed(state), ["10.244.9.0/24 n1", "10.244.2.0/24 n2"], "the node came back with another subnet");
    state = applyDelta(state, { ...delta(5), subnets: [subnet("10.244.2.0/24", "n8", { addresses: ["192.0.2.8"] })] });
    t.strictSame(routed(state).toSorted(), ["10.244.2.0/24 n8", "10.244.9.0/24 n1"], "the subnet has another owner");
    t.equal(state.remembered, undefined, "nothing is left to remember");
  },
);

t.test("what is told counts before what is remembered, also where they merely overlap", async (t) => {
  const wide = subnet("10.244.0.0/22", "n9", { addresses: ["192.0.2.9"], epoch: 4000 });
  const state = applySnapshot(settled(), snapshot(3, [network("a", { createdAt: 999 })], [wide]), NOW);
  t.strictSame(routed(state), ["10.244.0.0/22 n9"]);
});

t.test("deletions by name end it", async (t) => {
  const lapsed = applySnapshot(settled(), snapshot(1, [], []), NOW);
  const one = applyDelta(lapsed, { ...delta(2), deletedSubnets: [{ network: "a", subnet: "10.244.1.0/24" }] });
  t.strictSame(routed(one), ["10.244.2.0/24 n2"]);
  const all = applyDelta(lapsed, { ...delta(2), deletedNetworks: ["a"] });
  t.strictSame(routed(all), []);
  t.equal(all.remembered, undefined);
});

t.test("an intact store is obeyed: nodes that went while this one was away are gone", async (t) => {
  const after = applySnapshot(settled(), snapshot(120, [network("a")], PEERS.slice(0, 1)), NOW);
  t.strictSame(routed(after), ["10.244.1.0/24 n1"]);
  t.equal(after.remembered, undefined);
  const restarted = applySnapshot(settled(), snapshot(100, [network("a")], PEERS), NOW);
  t.equal(restarted.remembered, undefined, "the same revision again is no lapse");
});

t.test("a store set back to a backup keeps what it lacks", async (t) => {
  const after = applySnapshot(settled(), snapshot(90, [network("a")], PEERS.slice(0, 1)), NOW);
  t.strictSame(routed(after).toSorted(), ["10.244.1.0/24 n1", "10.244.2.0/24 n2"]);
});

t.test("a second lapse does not lose what the first one saved", async (t) => {
  const first = applySnapshot(settled(), snapshot(3, [network("a", { createdAt: 999 })], []), NOW);
  const second = applySnapshot(first, snapshot(1, [], []), NOW + 5_000);
  t.strictSame(routed(second), ["10.244.1.0/24 n1", "10.244.2.0/24 n2"]);
});
