import t from "tap";
import { explainMtu } from "./mtu-words.ts";
import { parseNetworkSpec, parseUnderlay, type UncheckedNetwork } from "./parse-network.ts";
import { parseLeases, parsePeers } from "./parse-peers.ts";

const BOTH = ["192.0.2.1/24", "2001:db8::1/64"];

/** The sentences for a node with these underlay addresses and these peers, each with one subnet. */
function explain(
  backend: UncheckedNetwork["backend"],
  addresses: readonly string[],
  peers: Readonly<Record<string, readonly string[]>>,
  mtu = 1500,
) {
  const network = parseNetworkSpec({ name: "pods", cidrs: ["10.244.0.0/16"], backend, masquerade: true });
  const underlay = parseUnderlay("eth0", mtu, addresses);
  const networks = [network];
  const leases = parseLeases([{ network: "pods", subnets: ["10.244.0.0/24"] }], { networks, underlay }).accepted;
  const unchecked = Object.entries(peers).map(([nodeName, addresses], i) => {
    return { network: "pods", nodeId: nodeName, nodeName, addresses, subnet: `10.244.${i + 1}.0/24` };
  });
  const { accepted } = parsePeers(unchecked, { nodeId: "own", networks, leases, underlay });
  const { pods, sentence, others } = explainMtu(network, accepted, underlay);
  return [pods, sentence, ...others];
}

const flow = { type: "vxlan", mode: "flow" };

t.test("F7: each tunnel's sum names the underlay and every header", async (t) => {
  for (const [backend, address, sentence] of [
    [flow, "192.0.2.1/24", "1464 = underlay eth0 1500 − 36 (vxlan flow over IPv4: IP 20, UDP 8, VXLAN 8)"],
    [flow, "2001:db8::1/64", "1444 = underlay eth0 1500 − 56 (vxlan flow over IPv6: IP 40, UDP 8, VXLAN 8)"],
    [
      { type: "vxlan", mode: "static" },
      "192.0.2.1/24",
      "1450 = underlay eth0 1500 − 50 (vxlan static over IPv4: IP 20, UDP 8, VXLAN 8, Ethernet 14)",
    ],
    [
      { type: "gre", mode: "flow" },
      "192.0.2.1/24",
      "1476 = underlay eth0 1500 − 24 (gre flow over IPv4: IP 20, GRE 4)",
    ],
    [
      { type: "gre", mode: "static" },
      "2001:db8::1/64",
      "1452 = underlay eth0 1500 − 48 (gre static over IPv6: IP 40, GRE 4, key 4)",
    ],
    [{ type: "ipip", mode: "flow" }, "192.0.2.1/24", "1480 = underlay eth0 1500 − 20 (ipip flow over IPv4: IP 20)"],
    [{ type: "host-gw" }, "192.0.2.1/24", "1500 = underlay eth0 1500 (plain route)"],
  ] as const) {
    t.strictSame(explain(backend, [address], {}), [Number.parseInt(sentence, 10), sentence]);
  }
});

t.test("F7: peers with another MTU are told with their sum; one with a smaller lowers the pods'", async (t) => {
  const over4 = "underlay eth0 9000 − 36 (vxlan flow over IPv4: IP 20, UDP 8, VXLAN 8)";
  const over6 = "underlay eth0 9000 − 56 (vxlan flow over IPv6: IP 40, UDP 8, VXLAN 8)";
  const peers = { a: ["192.0.2.2", "2001:db8::2"], b: ["192.0.2.3"], c: ["2001:db8::4"] };
  t.strictSame(explain(flow, BOTH, peers, 9000), [8944, `8944 = ${over6}, for c`, `to a, b 8964 = ${over4}`]);
  const direct = { ...flow, directRouting: true };
  t.strictSame(explain(direct, BOTH, { near: ["192.0.2.2"], far: ["198.51.100.2"] }, 9000), [
    8964,
    `8964 = ${over4}`,
    "to near 9000 = underlay eth0 9000 (plain route)",
  ]);
  t.strictSame(explain(direct, BOTH, { near: ["192.0.2.2"], next: ["192.0.2.3"] }, 9000).slice(2), [
    "to all others 9000 = underlay eth0 9000 (plain route)",
  ]);
});

t.test("F7: a network's own mtu, and many peers", async (t) => {
  const peers = Object.fromEntries([2, 3, 4, 5, 6].map((i) => [`node-${i}`, [`2001:db8::${i}`]]));
  t.strictSame(explain({ ...flow, mtu: 1450 }, BOTH, { ...peers, old: ["192.0.2.9"] }), [
    1444,
    "1444 = underlay eth0 1500 − 56 (vxlan flow over IPv6: IP 40, UDP 8, VXLAN 8), for node-2, node-3, node-4 and 2 more",
    "to old 1450 = the network's own mtu, less than 1464 = underlay eth0 1500 − 36 (vxlan flow over IPv4: IP 20, UDP 8, VXLAN 8)",
  ]);
  t.strictSame(explain({ type: "host-gw", mtu: 1400 }, BOTH, {}), [
    1400,
    "1400 = the network's own mtu, less than 1500 = underlay eth0 1500 (plain route)",
  ]);
});

t.test("F7: while a backend is being changed, the one that carries less is told", async (t) => {
  const network = parseNetworkSpec({ name: "pods", cidrs: ["10.244.0.0/16"], backend: flow, masquerade: true });
  const underlay = parseUnderlay("eth0", 1500, ["192.0.2.1/24"]);
  const { backend: gre } = parseNetworkSpec({ ...network, backend: { type: "gre" } });
  const sentence =
    "1464 = underlay eth0 1500 − 36 (vxlan flow over IPv4: IP 20, UDP 8, VXLAN 8), while the backend is being changed";
  for (const [backend, previous] of [
    [network.backend, gre],
    [gre, network.backend],
  ] as const) {
    const changing = { ...network, backend, change: { previous, generation: 1, required: 1 } };
    t.strictSame(explainMtu(changing, [], underlay), { pods: 1464, sentence, others: [] });
  }
});
