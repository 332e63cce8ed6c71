import t from "tap";
import { desiredOverlay } from "../overlay/desired.ts";
import { parseNetworks, parseUnderlay } from "../overlay/parse-network.ts";
import { parseLeases, parsePeers } from "../overlay/parse-peers.ts";
import { inOwnProcess } from "./own-process.ts";

function switchOf(tunnel: string) {
  const underlay = parseUnderlay("eth0", 1500, ["192.0.2.1/24", "2001:db8::1/64"]);
  const backend = { type: "ovs", tunnel, mode: "both", vni: 7 };
  const networks = parseNetworks([{ name: "a", cidrs: ["10.244.0.0/16"], backend, masquerade: false }]).accepted;
  const leases = parseLeases([{ network: "a", subnets: ["10.244.1.0/24"] }], { networks, underlay }).accepted;
  const context = { nodeId: "me", networks, leases, underlay };
  const peers = [
    { network: "a", nodeId: "b", nodeName: "b", subnet: "10.244.2.0/24", addresses: ["192.0.2.2"] },
    { network: "a", nodeId: "c", nodeName: "c", subnet: "10.244.3.0/24", addresses: ["2001:db8::3"] },
  ];
  const [wanted] = desiredOverlay({ ...context, peers: parsePeers(peers, context).accepted }).switches;
  if (wanted === undefined) throw new Error("there is no switch");
  return wanted;
}

t.test("GRE of both families goes by one type of port, and by one common port", async (t) => {
  const wanted = switchOf("gre");
  t.strictSame(wanted.ports.map(({ type }) => type).toSorted(), ["gre", "gre", "ip6gre", "ip6gre"]);
  const { ports, flows } = inOwnProcess(wanted);
  t.strictSame(
    ports.map(({ type }) => type),
    ["gre", "gre", "gre"],
  );
  t.equal(new Set(ports.map(({ options }) => JSON.stringify(options))).size, 3, "no two are the same");
  const known = new Set(["LOCAL", ...ports.map(({ name }) => name)]);
  t.strictSame(
    flows.filter(({ from, to }) => !known.has(from) || !known.has(to)),
    [],
  );
  t.equal(flows.length, wanted.flows.length);
});

t.test("other tunnels stay as they are", async (t) => {
  const wanted = switchOf("geneve");
  t.equal(inOwnProcess(wanted), wanted);
});
