import { readFileSync, writeFileSync } from "node:fs";
import t from "tap";
import { parseWireguardPublicKey, wireguardPublicKey } from "../net/wireguard-key.ts";
import { desiredOverlay } from "./desired.ts";
import { ipScript } from "./ip-script.ts";
import { explainMtu } from "./mtu-words.ts";
import { neighbourTableWarnings } from "./neighbour-table.ts";
import type { OverlayInput } from "./network.ts";
import { parseNetworks, parseUnderlay, type UncheckedNetwork } from "./parse-network.ts";
import { parseLeases, parsePeers, type UncheckedPeer } from "./parse-peers.ts";

const V4 = "10.244.0.0/16";
const V6 = "fd00:244::/48";

interface Case {
  readonly mtu?: number;
  readonly underlay: readonly string[];
  readonly networks: readonly UncheckedNetwork[];
  readonly own: Record<string, readonly string[]>;
  readonly peers: readonly UncheckedPeer[];
}

function network(name: string, cidrs: string[], backend: UncheckedNetwork["backend"]): UncheckedNetwork {
  return { name, cidrs, backend, masquerade: true };
}

function peer(nodeId: string, subnet: string, addresses: string[], more: Partial<UncheckedPeer> = {}): UncheckedPeer {
  return { network: "pods", nodeId, nodeName: nodeId, subnet, addresses, ...more };
}

const keyFrom = (first: number) => wireguardPublicKey(Uint8Array.from({ length: 32 }, (_, i) => first + i));
const BLUE = keyFrom(0x41);
const CYAN = keyFrom(0x61);
const flow = { type: "vxlan", mode: "flow" };
const still = { type: "vxlan", mode: "static" };
const near = peer("blue", "10.244.2.0/24", ["192.0.2.2"]);
const far = peer("cyan", "10.244.3.0/24", ["198.51.100.3"]);

const CASES: Record<string, Case> = {
  "flow-ipv4": {
    underlay: ["192.0.2.1/24"],
    networks: [network("pods", [V4], flow)],
    own: { pods: ["10.244.1.0/24"] },
    peers: [near, far],
  },
  "flow-dual-stack": {
    underlay: ["192.0.2.1/24", "2001:db8::1/64"],
    networks: [network("pods", [V4, V6], flow)],
    own: { pods: ["10.244.1.0/24", "fd00:244:0:1::/64"] },
    peers: [
      peer("blue", "10.244.2.0/24", ["192.0.2.2", "2001:db8::2"]),
      peer("blue", "fd00:244:0:2::/64", ["192.0.2.2", "2001:db8::2"]),
      peer("cyan", "10.244.3.0/24", ["2001:db8::3"]),
      peer("cyan", "fd00:244:0:3::/64", ["2001:db8::3"]),
    ],
  },
  "flow-ipv6-underlay": {
    underlay: ["2001:db8::1/64"],
    networks: [network("pods", [V4, V6], flow)],
    own: { pods: ["10.244.1.0/24", "fd00:244:0:1::/64"] },
    peers: [
      peer("blue", "10.244.2.0/24", ["2001:db8::2"]),
      peer("blue", "fd00:244:0:2::/64", ["2001:db8::2"]),
      peer("dusk", "10.244.4.0/24", ["192.0.2.4"]),
    ],
  },
  "flow-direct-routing": {
    underlay: ["192.0.2.1/24"],
    networks: [network("pods", [V4], { ...flow, directRouting: true, mtu: 1400 })],
    own: { pods: ["10.244.1.0/24"] },
    peers: [near, far],
  },
  "flow-two-networks": {
    mtu: 9000,
    underlay: ["192.0.2.1/24"],
    networks: [
      network("pods", [V4], { ...flow, vni: 7 }),
      network("storage.v2", ["10.99.0.0/16"], { ...flow, vni: 8 }),
      network("elsewhere", ["10.77.0.0/16"], flow),
    ],
    own: { pods: ["10.244.1.0/24"], "storage.v2": ["10.99.1.0/24"] },
    peers: [near, peer("blue", "10.99.2.0/24", ["192.0.2.2"], { network: "storage.v2" })],
  },
  "static-ipv4": {
    underlay: ["192.0.2.1/24"],
    networks: [network("pods", [V4], still)],
    own: { pods: ["10.244.1.0/24"] },
    peers: [near, peer("flannel-node", "10.244.3.0/24", ["198.51.100.3"], { vtepMac: "3E:7A:00:00:00:03" })],
  },
  "static-dual-stack": {
    underlay: ["192.0.2.1/24", "2001:db8::1/64"],
    networks: [network("pods", [V4, V6], { ...still, vni: 9 })],
    own: { pods: ["10.244.1.0/24", "fd00:244:0:1::/64"] },
    peers: [
      peer("blue", "10.244.2.0/24", ["192.0.2.2", "2001:db8::2"]),
      peer("blue", "fd00:244:0:2::/64", ["192.0.2.2", "2001:db8::2"]),
      peer("dusk", "10.244.4.0/24", ["192.0.2.4"]),
      peer("dusk", "fd00:244:0:4::/64", ["192.0.2.4"]),
    ],
  },
  "static-direct-routing": {
    underlay: ["192.0.2.1/24"],
    networks: [network("pods", [V4], { ...still, directRouting: true })],
    own: { pods: ["10.244.1.0/24"] },
    peers: [near, far],
  },
  "wireguard-dual-stack": {
    underlay: ["192.0.2.1/24", "2001:db8::1/64"],
    networks: [network("pods", [V4, V6], { type: "wireguard" })],
    own: { pods: ["10.244.1.0/24", "fd00:244:0:1::/64"] },
    peers: [
      peer("blue", "10.244.2.0/24", ["192.0.2.2", "2001:db8::2"], { publicKey: BLUE }),
      peer("blue", "fd00:244:0:2::/64", ["192.0.2.2", "2001:db8::2"], { publicKey: BLUE }),
      peer("cyan", "fd00:244:0:3::/64", ["2001:db8::3"], { publicKey: CYAN }),
      peer("dusk", "10.244.4.0/24", ["192.0.2.4"]),
    ],
  },
  "wireguard-two-networks": {
    underlay: ["2001:db8::1/64"],
    networks: [
      network("pods", [V4], { type: "wireguard" }),
      network("storage", ["10.99.0.0/16"], { type: "wireguard", mtu: 1400 }),
      network("apart", ["10.98.0.0/16"], { type: "wireguard", port: 51900 }),
    ],
    own: { pods: ["10.244.1.0/24"], storage: ["10.99.1.0/24"], apart: ["10.98.1.0/24"] },
    peers: [
      peer("blue", "10.244.2.0/24", ["2001:db8::2"], { publicKey: BLUE }),
      peer("blue", "10.99.2.0/24", ["2001:db8::2"], { publicKey: BLUE, network: "storage" }),
      peer("blue", "10.98.2.0/24", ["2001:db8::2"], { publicKey: BLUE, network: "apart" }),
      peer("cyan", "10.244.3.0/24", ["192.0.2.3"], { publicKey: CYAN }),
    ],
  },
  "wireguard-direct-routing": {
    underlay: ["192.0.2.1/24"],
    networks: [network("pods", [V4], { type: "wireguard", directRouting: true })],
    own: { pods: ["10.244.1.0/24"] },
    peers: [
      { ...near, publicKey: BLUE },
      { ...far, publicKey: CYAN },
    ],
  },
  "gre-flow-dual-stack": {
    underlay: ["192.0.2.1/24", "2001:db8::1/64"],
    networks: [network("pods", [V4, V6], { type: "gre", mode: "flow" })],
    own: { pods: ["10.244.1.0/24", "fd00:244:0:1::/64"] },
    peers: [
      peer("blue", "10.244.2.0/24", ["192.0.2.2", "2001:db8::2"]),
      peer("blue", "fd00:244:0:2::/64", ["192.0.2.2", "2001:db8::2"]),
      peer("cyan", "10.244.3.0/24", ["2001:db8::3"]),
    ],
  },
  "gre-static-dual-stack": {
    underlay: ["192.0.2.1/24", "2001:db8::1/64"],
    networks: [network("pods", [V4, V6], { type: "gre", mode: "static", vni: 7 })],
    own: { pods: ["10.244.1.0/24", "fd00:244:0:1::/64"] },
    peers: [
      peer("blue", "10.244.2.0/24", ["192.0.2.2", "2001:db8::2"]),
      peer("blue", "fd00:244:0:2::/64", ["192.0.2.2", "2001:db8::2"]),
      peer("cyan", "fd00:244:0:3::/64", ["2001:db8::3"]),
    ],
  },
  "gre-ipv6-underlay": {
    underlay: ["2001:db8::1/64"],
    networks: [network("pods", [V4], { type: "gre", mode: "flow", mtu: 1400 })],
    own: { pods: ["10.244.1.0/24"] },
    peers: [peer("blue", "10.244.2.0/24", ["2001:db8::2"]), peer("dusk", "10.244.4.0/24", ["192.0.2.4"])],
  },
  "gre-direct-routing": {
    underlay: ["192.0.2.1/24"],
    networks: [network("pods", [V4], { type: "gre", mode: "static", directRouting: true })],
    own: { pods: ["10.244.1.0/24"] },
    peers: [near, far],
  },
  "ipip-flow": {
    underlay: ["192.0.2.1/24", "2001:db8::1/64"],
    networks: [network("pods", [V4], { type: "ipip", mode: "flow" })],
    own: { pods: ["10.244.1.0/24"] },
    peers: [near, peer("dusk", "10.244.4.0/24", ["2001:db8::4"])],
  },
  "ipip-static-two-networks": {
    underlay: ["192.0.2.1/24"],
    networks: [
      network("pods", [V4], { type: "ipip", mode: "static" }),
      network("storage", ["10.99.0.0/16"], { type: "ipip", mode: "static", mtu: 1400 }),
    ],
    own: { pods: ["10.244.1.0/24"], storage: ["10.99.1.0/24"] },
    peers: [near, far, peer("blue", "10.99.2.0/24", ["192.0.2.2"], { network: "storage" })],
  },
  "ovs-vxlan-flow": {
    underlay: ["192.0.2.1/24", "2001:db8::1/64"],
    networks: [network("pods", [V4, V6], { type: "ovs" }), network("storage", ["10.99.0.0/16"], { ...flow, vni: 8 })],
    own: { pods: ["10.244.1.0/24", "fd00:244:0:1::/64"], storage: ["10.99.1.0/24"] },
    peers: [
      peer("blue", "10.244.2.0/24", ["192.0.2.2", "2001:db8::2"]),
      peer("blue", "fd00:244:0:2::/64", ["192.0.2.2", "2001:db8::2"]),
      peer("blue", "10.99.2.0/24", ["192.0.2.2", "2001:db8::2"], { network: "storage" }),
      peer("cyan", "10.244.3.0/24", ["2001:db8::3"]),
    ],
  },
  "ovs-gre-static": {
    underlay: ["192.0.2.1/24", "2001:db8::1/64"],
    networks: [network("pods", [V4], { type: "ovs", tunnel: "gre", mode: "static", vni: 7, directRouting: true })],
    own: { pods: ["10.244.1.0/24"] },
    peers: [near, far, peer("dusk", "10.244.4.0/24", ["2001:db8::4"])],
  },
  "ovs-geneve-both": {
    underlay: ["192.0.2.1/24"],
    networks: [network("pods", [V4], { type: "ovs", tunnel: "geneve", mode: "both", port: 6082, mtu: 1400 })],
    own: { pods: ["10.244.1.0/24"] },
    peers: [near, peer("dusk", "10.244.4.0/24", ["2001:db8::4"])],
  },
  "host-gw-dual-stack": {
    underlay: ["192.0.2.1/24", "2001:db8::1/64"],
    networks: [network("pods", [V4, V6], { type: "host-gw" })],
    own: { pods: ["10.244.1.0/24", "fd00:244:0:1::/64"] },
    peers: [
      near,
      peer("blue", "fd00:244:0:2::/64", ["192.0.2.2"]),
      peer("cyan", "fd00:244:0:3::/64", ["192.0.2.3", "2001:db8::3"]),
      peer("dusk", "10.244.4.0/24", ["198.51.100.4"]),
    ],
  },
};

function input(test: Case): { input: OverlayInput; refusals: readonly string[] } {
  const nodeId = "red";
  const underlay = parseUnderlay("eth0", test.mtu ?? 1500, test.underlay);
  const networks = parseNetworks(test.networks);
  const held = Object.entries(test.own).map(([network, subnets]) => ({ network, subnets }));
  const leases = parseLeases(held, { networks: networks.accepted, underlay });
  const context = { nodeId, networks: networks.accepted, leases: leases.accepted, underlay };
  const peers = parsePeers(test.peers, context);
  return {
    input: { ...context, peers: peers.accepted },
    refusals: [networks, leases, peers].flatMap((parsed) => parsed.refusals),
  };
}

for (const [name, test] of Object.entries(CASES)) {
  t.test(`${name} gives the script in testdata/${name}.txt`, async (t) => {
    const { input: checked, refusals } = input(test);
    t.strictSame(refusals, []);
    const script = `${ipScript(desiredOverlay(checked)).join("\n")}\n`;
    const file = new URL(`testdata/${name}.txt`, import.meta.url);
    if (process.env.TAP_SNAPSHOT === "1") writeFileSync(file, script);
    t.equal(script, readFileSync(file, "utf8"));
  });
}

t.test("F7: what is said of an MTU is what pods and routes have", async (t) => {
  for (const [name, test] of Object.entries(CASES)) {
    const { networks, peers, underlay } = input(test).input;
    const { podMtu, routes, links } = desiredOverlay(input(test).input);
    for (const network of networks.filter(({ name }) => podMtu[name] !== undefined)) {
      const ours = peers.filter((each) => each.network === network.name);
      const { pods, others } = explainMtu(network, ours, underlay);
      t.equal(pods, podMtu[network.name], `${name}: pods of ${network.name}`);
      const taken = routes
        .filter(({ dst, type }) => type === "unicast" && ours.some(({ subnet }) => subnet === dst))
        .map(({ mtu, device }) => mtu ?? links.find((link) => link.name === device)?.mtu ?? underlay.mtu);
      const told = [pods, ...others.map((sentence) => Number(/ (\d+) =/.exec(sentence)?.[1]))];
      t.strictSame(
        [...new Set([pods, ...taken])].sort(),
        told.sort(),
        `${name}: every MTU of a route, and no other: ${others}`,
      );
    }
  }
});

t.test("F9: a change of one family alone changes the state", async (t) => {
  const test = CASES["flow-dual-stack"];
  if (test === undefined) throw new Error("no such case");
  const moved = test.peers.map((each) =>
    each.subnet === "fd00:244:0:2::/64" ? { ...each, subnet: "fd00:244:0:9::/64" } : each,
  );
  const lines = (peers: readonly UncheckedPeer[]) => ipScript(desiredOverlay(input({ ...test, peers }).input));
  const [before, after] = [lines(test.peers), lines(moved)];
  t.equal(before.filter((line) => !after.includes(line)).length, 1);
  t.match(after.filter((line) => !before.includes(line)).join(), /fd00:244:0:9::\/64/);
});

t.test("F5: the same input gives the same state, VTEP MAC included; another node has another MAC", async (t) => {
  const test = CASES["static-ipv4"];
  if (test === undefined) throw new Error("no such case");
  const { input: checked } = input(test);
  t.strictSame(desiredOverlay(checked), desiredOverlay(checked));
  t.not(desiredOverlay({ ...checked, nodeId: "other" }).links[0]?.mac, desiredOverlay(checked).links[0]?.mac);
});

t.test("F4: a peer's new address changes its route alone, and ours changes no subnet", async (t) => {
  const test = CASES["flow-ipv4"];
  if (test === undefined) throw new Error("no such case");
  const lines = (changed: Case) => ipScript(desiredOverlay(input(changed).input));
  const before = lines(test);
  const after = lines({ ...test, peers: [{ ...near, addresses: ["192.0.2.99"] }, far] });
  t.strictSame(
    after.filter((line) => !before.includes(line)),
    before.filter((line) => line.includes("10.244.2.0/24")).map((line) => line.replace("192.0.2.2", "192.0.2.99")),
  );
  const moved = lines({ ...test, underlay: ["192.0.2.77/24"] });
  t.strictSame(
    moved,
    before.map((line) => line.replace("src 192.0.2.1 ", "src 192.0.2.77 ")),
  );
});

t.test(
  "F4: in static mode a peer's new address is a new device, so that its route is replaced and nothing is deleted before",
  async (t) => {
    const test = CASES["gre-direct-routing"];
    if (test === undefined) throw new Error("no such case");
    const links = (address: string) =>
      desiredOverlay(input({ ...test, peers: [{ ...far, addresses: [address] }] }).input).links.map(({ name }) => name);
    t.not(links("198.51.100.3")[0], links("198.51.100.4")[0]);
    t.match(links("198.51.100.3"), [/^pwg[0-9a-f]{12}$/]);
  },
);

t.test("wireguard: a peer is refused, and told why, until its preshared key is there", async (t) => {
  const test = CASES["wireguard-two-networks"];
  if (test === undefined) throw new Error("no such case");
  const { input: checked } = input(test);
  const state = (keys: readonly string[]) =>
    desiredOverlay({ ...checked, paired: new Set(keys.map(parseWireguardPublicKey)) });
  t.strictSame(
    state([BLUE]).wireguard.map(({ device, peers }) => [device, peers.length]),
    [
      ["pwwg51820", 1],
      ["pwwg51900", 1],
    ],
  );
  t.strictSame(
    state([CYAN]).wireguard.flatMap(({ peers }) => peers),
    [],
  );
  t.match(state([CYAN]).refusals, [
    /10\.244\.2\.0\/24 of node "blue" is not routed: no controller has sent .* preshared key/,
  ]);
  t.notOk(state([CYAN]).routes.some(({ device }) => device !== undefined));
});

t.test("a node without a subnet makes nothing", async (t) => {
  const test = CASES["flow-ipv4"];
  if (test === undefined) throw new Error("no such case");
  t.strictSame(ipScript(desiredOverlay(input({ ...test, own: {} }).input)), []);
});

t.test("F12: static mode warns of a small neighbour table, flow mode needs none", async (t) => {
  for (const [name, warnings] of [
    ["static-ipv4", [/need 2 neighbours and net\/ipv4\/neigh\/default\/gc_thresh3 is 3: set it to 8/]],
    ["flow-ipv4", []],
  ] as const) {
    const test = CASES[name];
    if (test === undefined) throw new Error("no such case");
    const state = desiredOverlay(input(test).input);
    t.match(neighbourTableWarnings(state, { 4: 3, 6: 3 }), warnings);
    t.strictSame(neighbourTableWarnings(state, { 4: 1024, 6: 1024 }), []);
  }
});

t.test("F7: the pods' MTU is what fits to every peer; each route keeps its own", async (t) => {
  const overIpv6 = peer("cyan", "10.244.3.0/24", ["2001:db8::3"]);
  for (const [backend, over4, over6] of [
    [flow, 1464, 1444],
    [still, 1450, 1430],
    [{ type: "gre", mode: "flow" }, 1476, 1456],
    [{ type: "gre", mode: "static" }, 1472, 1452],
  ] as const) {
    const test = {
      underlay: ["192.0.2.1/24", "2001:db8::1/64"],
      networks: [network("pods", [V4], backend)],
      own: { pods: ["10.244.1.0/24"] },
    };
    const state = (...peers: UncheckedPeer[]) => desiredOverlay(input({ ...test, peers }).input);
    const what = `${backend.type} ${backend.mode}`;
    t.equal(state().podMtu.pods, over4, `${what}: nobody else`);
    t.equal(state(near).podMtu.pods, over4, `${what}: a peer over IPv4`);
    const { podMtu, routes, links } = state(near, overIpv6);
    t.equal(podMtu.pods, over6, `${what}: a peer over IPv6 beside it`);
    const taken = routes.slice(0, 2).map(({ mtu, device }) => mtu ?? links.find(({ name }) => name === device)?.mtu);
    t.strictSame(taken, [over4, over6], `${what}: the routes`);
  }
});

t.test("pods of IPv6 under its smallest MTU are reported", async (t) => {
  const test = CASES["flow-dual-stack"];
  if (test === undefined) throw new Error("no such case");
  const { refusals } = desiredOverlay(input({ ...test, mtu: 1300 }).input);
  t.match(refusals, ['network "pods": the pods\' MTU would be 1244, and IPv6 needs 1280; raise the MTU of eth0']);
});
