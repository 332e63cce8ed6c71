import t from "tap";
import type { UncheckedBackend } from "../backends/check.ts";
import { desiredOverlay } from "./desired.ts";
import type { OverlayInput } from "./network.ts";
import { parseNetworks, parseUnderlay } from "./parse-network.ts";
import { parseLeases, parsePeers } from "./parse-peers.ts";

const FLOW = { type: "vxlan", mode: "flow" };

function input(backend: UncheckedBackend, previous: UncheckedBackend, receives: Record<string, number>): OverlayInput {
  const underlay = parseUnderlay("eth0", 1500, ["192.0.2.1/24"]);
  const change = { previous, generation: 7, required: 7 };
  const spec = { name: "pods", cidrs: ["10.244.0.0/16"], backend, change, masquerade: false };
  const { accepted: networks, refusals } = parseNetworks([spec]);
  t.strictSame(refusals, []);
  const leases = parseLeases([{ network: "pods", subnets: ["10.244.1.0/24"] }], { networks, underlay }).accepted;
  const peers = Object.entries(receives).map(([nodeId, received], i) => ({
    network: "pods",
    nodeId,
    nodeName: nodeId,
    subnet: `10.244.${i + 2}.0/24`,
    addresses: [nodeId === "far" ? "198.51.100.9" : `192.0.2.${i + 2}`],
    receives: received,
  }));
  const context = { nodeId: "self", networks, leases, underlay };
  return { ...context, peers: parsePeers(peers, context).accepted };
}

function deviceTo(state: ReturnType<typeof desiredOverlay>, subnet: string): string | undefined {
  return state.routes.find(({ dst, type }) => dst === subnet && type === "unicast")?.device;
}

t.test("while a network moves, both backends are received, and each peer is sent to with what it takes", async (t) => {
  const state = desiredOverlay(input({ type: "gre" }, FLOW, { blue: 7, cyan: 6 }));
  t.strictSame(state.links.map(({ name }) => name).sort(), ["pwflow4790", "pwgre4"]);
  t.equal(state.addresses.length, 2, "our end is on both");
  t.equal(deviceTo(state, "10.244.2.0/24"), "pwgre4", "blue takes gre");
  t.equal(deviceTo(state, "10.244.3.0/24"), "pwflow4790", "cyan does not yet");
  t.strictSame(state.changes, [{ network: "pods", generation: 7, complete: false }]);
  t.equal(state.podMtu.pods, 1464, "what both can carry");
  t.strictSame(state.refusals, []);
  const done = desiredOverlay(input({ type: "gre" }, FLOW, { blue: 7, cyan: 8 }));
  t.strictSame(done.changes, [{ network: "pods", generation: 7, complete: true }]);
  t.equal(done.links.length, 2, "the old one is received until the controller ends it");
});

t.test("a peer that the new backend cannot reach is sent to as before, and the change waits", async (t) => {
  const state = desiredOverlay(input({ type: "host-gw" }, FLOW, { blue: 7, far: 7 }));
  t.equal(deviceTo(state, "10.244.2.0/24"), "eth0");
  t.equal(deviceTo(state, "10.244.3.0/24"), "pwflow4790");
  t.equal(state.changes[0]?.complete, false);
  t.match(state.refusals, [/of node "far" is not routed: backend host-gw has no way to it; it is sent to as before/]);
  const sysctl = { key: "net/ipv4/conf/eth0/rp_filter", value: "2", onlyFrom: "1" };
  t.hasStrict(state.sysctls, [sysctl], "the two directions of a pair go different ways for a moment");
});

t.test("per-peer devices of the old backend stay for peers that are no longer sent to with it", async (t) => {
  const still = { type: "gre", mode: "static" };
  const state = desiredOverlay(input(FLOW, still, { blue: 7 }));
  t.equal(deviceTo(state, "10.244.2.0/24"), "pwflow4790");
  t.ok(
    state.links.some(({ kind }) => kind === "gre"),
    "blue may still send there",
  );
});
