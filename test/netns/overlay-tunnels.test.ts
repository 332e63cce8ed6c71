import t from "tap";
import { EMPTY_LISTING } from "../../firewall/listing.ts";
import { tunnelGuard } from "../../firewall/node-rules.ts";
import { difference } from "../../firewall/ruleset.ts";
import { parseAddress } from "../../net/address.ts";
import { desiredOverlay } from "../../overlay/desired.ts";
import { ipScript } from "../../overlay/ip-script.ts";
import { parseNetworks, parseUnderlay, type UncheckedNetwork } from "../../overlay/parse-network.ts";
import { parseLeases, parsePeers } from "../../overlay/parse-peers.ts";
import type { DesiredState } from "../../overlay/state.ts";
import { openSandbox, type Sandbox } from "./sandbox.ts";

const NODES = { red: 1, blue: 2, cyan: 3 } as const;
type NodeName = keyof typeof NODES;
const POD_CIDRS = { 4: "10.244.0.0/16", 6: "fd00:244::/48" };

interface Setup {
  readonly backend: UncheckedNetwork["backend"];
  readonly underlay: readonly (4 | 6)[];
  readonly cidrs: readonly string[];
}

const underlayAddress = (family: 4 | 6, i: number) => (family === 4 ? `192.0.2.${i}` : `2001:db8::${i}`);
const subnets = (setup: Setup, i: number) =>
  setup.cidrs.map((cidr) => (cidr.includes(":") ? `fd00:244:0:${i}::/64` : `10.244.${i}.0/24`));

function stateOf(node: NodeName, setup: Setup, nodes: readonly NodeName[]): DesiredState {
  const i = NODES[node];
  const own = setup.underlay.map((family) => `${underlayAddress(family, i)}/${family === 4 ? 24 : 64}`);
  const underlay = parseUnderlay("eth0", 1500, own);
  const spec = { name: "pods", cidrs: setup.cidrs, backend: setup.backend, masquerade: false };
  const networks = parseNetworks([spec]).accepted;
  const leases = parseLeases([{ network: "pods", subnets: subnets(setup, i) }], { networks, underlay }).accepted;
  const context = { nodeId: node, networks, leases, underlay };
  const peers = nodes.flatMap((nodeId) =>
    subnets(setup, NODES[nodeId]).map((subnet) => {
      const addresses = setup.underlay.map((family) => underlayAddress(family, NODES[nodeId]));
      return { network: "pods", nodeId, nodeName: nodeId, subnet, addresses };
    }),
  );
  return desiredOverlay({ ...context, peers: parsePeers(peers, context).accepted });
}

/** Nodes on one segment, each with a pod behind a veth that stands for the bridge. Strict rp_filter everywhere. */
function build(sandbox: Sandbox, setup: Setup, nodes: readonly NodeName[]): void {
  sandbox.sh("ip link add lan0 type bridge && ip link set lan0 up");
  for (const node of nodes) {
    const i = NODES[node];
    const { podMtu, ...state } = stateOf(node, setup, nodes);
    sandbox.sh(`
      ip netns add ${node}; ip netns add pod-${node}
      for n in ${node} pod-${node}; do ip netns exec $n sysctl -qw net.ipv6.conf.default.accept_dad=0; done
      ip link add port${i} type veth peer name eth0 netns ${node}; ip link set port${i} master lan0 up
      ip -n ${node} link set lo up; ip -n ${node} link set eth0 up
      ${setup.underlay.map((f) => `ip -n ${node} address add ${underlayAddress(f, i)}/${f === 4 ? 24 : 64} dev eth0 ${f === 6 ? "nodad" : ""}`).join("\n")}
      ip netns exec ${node} sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.default.rp_filter=1
      ip -n ${node} link add pod0 mtu ${podMtu.pods} type veth peer name eth0 mtu ${podMtu.pods} netns pod-${node}
      ip -n ${node} address add 10.244.${i}.1/24 dev pod0; ip -n ${node} address add fd00:244:0:${i}::1/64 dev pod0 nodad
      ip -n ${node} link set pod0 up; ip -n pod-${node} link set eth0 up
      ip -n pod-${node} address add 10.244.${i}.2/24 dev eth0; ip -n pod-${node} address add fd00:244:0:${i}::2/64 dev eth0 nodad
      ip -n pod-${node} route add default via 10.244.${i}.1; ip -n pod-${node} route add default via fd00:244:0:${i}::1`);
    sandbox.sh(`ip netns exec ${node} bash -eu`, ipScript({ ...state, podMtu }).join("\n"));
  }
}

const podAddress = (cidr: string, i: number, host: number | string = 2) =>
  cidr.includes(":") ? `fd00:244:0:${i}::${host}` : `10.244.${i}.${host}`;

const flow = { type: "vxlan", mode: "flow" };
const still = { type: "vxlan", mode: "static" };
const both = [POD_CIDRS[4], POD_CIDRS[6]];
const SETUPS: Record<string, Setup & { readonly mtu: number }> = {
  "flow over IPv4": { backend: flow, underlay: [4], cidrs: both, mtu: 1464 },
  "flow over IPv6": { backend: flow, underlay: [6], cidrs: both, mtu: 1444 },
  "flow over both": { backend: flow, underlay: [4, 6], cidrs: both, mtu: 1464 },
  "flow with directRouting": { backend: { ...flow, directRouting: true }, underlay: [4], cidrs: both, mtu: 1464 },
  "static over IPv4": { backend: still, underlay: [4], cidrs: both, mtu: 1450 },
  "static over IPv6": { backend: still, underlay: [6], cidrs: both, mtu: 1430 },
  "static over both": { backend: still, underlay: [4, 6], cidrs: both, mtu: 1430 },
  "host-gw over both": { backend: { type: "host-gw" }, underlay: [4, 6], cidrs: both, mtu: 1500 },
};

for (const [name, setup] of Object.entries(SETUPS)) {
  t.test(`F7: ${name}: pods of both families reach each other with packets as large as their MTU`, async (t) => {
    const sandbox = openSandbox(t);
    build(sandbox, setup, ["red", "blue"]);
    const ping = (netns: string, size: number, address: string, wait = 20) =>
      sandbox.succeeds(`ip netns exec ${netns} ping -qc1 -W${wait} -M do -s ${size} ${address}`);
    for (const cidr of setup.cidrs) {
      const headers = cidr.includes(":") ? 48 : 28;
      t.ok(ping("pod-red", setup.mtu - headers, podAddress(cidr, 2)), `pod to pod in ${cidr}`);
      t.notOk(ping("pod-red", setup.mtu - headers + 1, podAddress(cidr, 2), 0.2), "one byte more does not fit");
      t.ok(ping("red", 56, podAddress(cidr, 2)), "node to the other node's pod");
    }
    // Without a pod there is no bridge: the default route must not get the packets.
    sandbox.sh("ip -n blue link del pod0; ip -n blue route add default dev eth0; ip -n blue route add ::/0 dev eth0");
    for (const cidr of setup.cidrs) {
      const said = sandbox.sh(`ip netns exec pod-red ping -c1 -W10 ${podAddress(cidr, 2)} || true`);
      t.match(said, /unreachable|No route/i, "an address of no pod is answered, and not sent on");
    }
  });
}

t.test("S7: with the guard a stranger's and a removed node's tunnel packets are dropped", async (t) => {
  const sandbox = openSandbox(t);
  const setup = { backend: flow, underlay: [4, 6] as const, cidrs: both };
  build(sandbox, setup, ["red", "blue", "cyan"]);
  sandbox.sh(`ip netns exec red nft 'add table inet seen; add set inet seen from { type ipv4_addr; };
    add chain inet seen in { type filter hook forward priority 0; };
    add rule inet seen in iifname pwflow4790 add @from { ip saddr }'`);
  const seen = () => {
    sandbox.sh("ip netns exec red nft flush set inet seen from");
    for (const node of ["blue", "cyan"]) {
      sandbox.succeeds(`ip netns exec pod-${node} ping -qc1 -W2 ${podAddress(POD_CIDRS[4], 1)}`);
    }
    return (
      sandbox
        .sh("ip netns exec red nft list set inet seen from")
        .match(/10\.244\.\d\.\d/g)
        ?.sort() ?? []
    );
  };
  for (const node of ["blue", "cyan"])
    sandbox.sh(`ip netns exec pod-${node} ping -qc1 -W20 ${podAddress(POD_CIDRS[4], 1)}`);
  t.strictSame(seen(), ["10.244.2.2", "10.244.3.2"]);
  const peers = ["192.0.2.2", "2001:db8::2"].map(parseAddress);
  const guard = difference(tunnelGuard({ device: "eth0", tunnels: [{ port: 4790, peers }] }), EMPTY_LISTING);
  sandbox.sh("ip netns exec red nft -f -", guard);
  t.strictSame(seen(), ["10.244.2.2"], "cyan is no peer any more");
});
