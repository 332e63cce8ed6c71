import t from "tap";
import { difference, listingOf, sameButForKeys } from "../firewall/ruleset.ts";
import { parseNetworks, parseUnderlay, type UncheckedNetwork } from "../overlay/parse-network.ts";
import { parseLeases, parsePeers } from "../overlay/parse-peers.ts";
import { nodeRulesets } from "./node-rules.ts";

function rulesetsOf(backend: UncheckedNetwork["backend"], { masquerade = false, peer = "192.0.2.2" } = {}) {
  const underlay = parseUnderlay("eth0", 1500, ["192.0.2.1/24", "2001:db8::1/64"]);
  const networks = parseNetworks([{ name: "a", cidrs: ["10.244.0.0/16"], backend, masquerade }]).accepted;
  const leases = parseLeases([{ network: "a", subnets: ["10.244.1.0/24"] }], { networks, underlay }).accepted;
  const context = { nodeId: "me", networks, leases, underlay };
  const one = { network: "a", nodeId: "b", nodeName: "b", subnet: "10.244.2.0/24", addresses: [peer] };
  return nodeRulesets({ ...context, peers: parsePeers([one], context).accepted });
}

const FLOW = { type: "vxlan", mode: "flow" };
const types = (rulesets: ReturnType<typeof rulesetsOf>) =>
  rulesets.flatMap(({ chains }) => chains.flatMap(({ hook }) => (hook === undefined ? [] : [hook.type])));

t.test("connection tracking is turned on only where something needs it", async (t) => {
  t.notOk(types(rulesetsOf(FLOW)).includes("nat"), "nobody masquerades");
  t.ok(types(rulesetsOf(FLOW, { masquerade: true })).includes("nat"));
  t.ok(types(rulesetsOf(FLOW, { peer: "2001:db8::2" })).includes("nat"), "IPv6 fragments are put together by it");
});

t.test("a node without tunnels has no rules about tunnels", async (t) => {
  t.strictSame(types(rulesetsOf({ type: "host-gw", mode: "" })), []);
  t.strictSame(types(rulesetsOf(FLOW)), ["filter", "filter"]);
});

t.test("what is no longer needed is taken away", async (t) => {
  const before = listingOf(rulesetsOf(FLOW, { masquerade: true }));
  const text = rulesetsOf({ type: "host-gw", mode: "" })
    .map((ruleset) => difference(ruleset, before))
    .join("");
  for (const name of ["overlay_egress", "tunnel_input", "tunnel_forward", "tunnel_udp"]) {
    t.match(text, `delete chain inet podwire ${name}\n`);
  }
  for (const name of ["overlay_own4", "tunnel_ports", "tunnel_peers4"]) {
    t.match(text, `delete set inet podwire ${name}\n`);
  }
});

t.test("one peer more or less changes keys alone, a tunnel or a family more does not", async (t) => {
  const now = rulesetsOf(FLOW);
  t.ok(sameButForKeys(now, rulesetsOf(FLOW, { peer: "192.0.2.3" })));
  t.notOk(sameButForKeys(now, rulesetsOf({ type: "vxlan", mode: "static" })));
  t.notOk(sameButForKeys(now, rulesetsOf(FLOW, { peer: "2001:db8::2" })));
});
