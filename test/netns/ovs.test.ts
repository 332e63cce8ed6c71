import t from "tap";
import { EMPTY_LISTING } from "../../firewall/listing.ts";
import { tunnelGuard } from "../../firewall/node-rules.ts";
import { difference } from "../../firewall/ruleset.ts";
import { parseAddress } from "../../net/address.ts";
import type { Changes } from "../../reconcile/step.ts";
import { eventually } from "./harness/eventually.ts";
import { IN_GUEST } from "./harness/full-kernel.ts";
import { NODES, type NodeName, POD_CIDRS, podAddress, type Setup, stateOf } from "./overlay-fixture.ts";
import { buildSwitchNodes, DATAPATH, type SwitchNode, UNDERLAY_DEVICE } from "./ovs-fixture.ts";
import { openSandbox, type Sandbox } from "./sandbox.ts";

type Test = Pick<typeof t, "ok" | "notOk" | "equal" | "match" | "strictSame" | "rejects">;

const NAMES = Object.keys(NODES) as NodeName[];
const CIDRS = [POD_CIDRS[4], POD_CIDRS[6]];
const NOTHING: Changes = { added: 0, changed: 0, removed: 0 };
const TUNNELS = ["vxlan", "gre", "geneve"] as const;
const MODES = ["flow", "static", "both"] as const;
type Tunnel = (typeof TUNNELS)[number];
type Mode = (typeof MODES)[number];
type Underlay = "IPv4" | "IPv6" | "both";

/** The largest packet of a pod over an underlay link of 1500 bytes. */
const MTU = {
  vxlan: { IPv4: 1450, IPv6: 1430, both: 1450 },
  gre: { IPv4: 1458, IPv6: 1438, both: 1458 },
  geneve: { IPv4: 1450, IPv6: 1430, both: 1450 },
} as const;
const FAMILIES = { IPv4: [4], IPv6: [6], both: [4, 6] } as const;

/** With the switch's own datapath on this machine, and in hack/test's guest with the kernel's. */
const EVERYWHERE = IN_GUEST ? { only: true, runOnly: false } : {};

const LONG = process.env.PODWIRE_TEST_LONG === "1";
/** Every tunnel and every mode once, and one with the kernel's datapath; all of them in the long form. */
const SHORT: Record<Underlay, readonly [Tunnel, Mode][]> = IN_GUEST
  ? { IPv4: [["vxlan", "flow"]], IPv6: [], both: [] }
  : {
      IPv4: [["geneve", "static"]],
      IPv6: [["vxlan", "flow"]],
      both: [["gre", "both"]],
    };
const ALL = TUNNELS.flatMap((tunnel) => MODES.map((mode): [Tunnel, Mode] => [tunnel, mode]));

function setupOf(tunnel: Tunnel, mode: Mode, underlay: Underlay): Setup {
  return {
    backend: { type: "ovs", tunnel, mode },
    underlay: FAMILIES[underlay],
    cidrs: CIDRS,
    device: UNDERLAY_DEVICE,
  };
}

/** The first packet may be lost while a switch in user space asks for its peer's MAC address. */
function reaches(sandbox: Sandbox, netns: string, size: number, address: string, tries = 30): boolean {
  const ping = `ip netns exec ${netns} ping -qc1 -W1 -M do -s ${size} ${address} >/dev/null 2>&1`;
  return sandbox.succeeds(`for i in {1..${tries}}; do ${ping} && exit 0; done; exit 1`);
}

function headers(cidr: string): number {
  return cidr.includes(":") ? 48 : 28;
}

/** Sends 200 kB each way over one TCP connection, and as many bytes in datagrams of full size, until all are there. */
const TRAFFIC = `
import socket, sys, threading
side, address, mtu = sys.argv[1], sys.argv[2], int(sys.argv[3])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
size, payload = 200_000, mtu - (48 if ":" in address else 28)
def read(s, n):
    got = 0
    while got < n:
        chunk = s.recv(65536)
        if not chunk: sys.exit(f"only {got} bytes came")
        got += len(chunk)
if side == "serve":
    tcp = socket.create_server((address, 7001), family=family)
    udp = socket.socket(family, socket.SOCK_DGRAM); udp.bind((address, 7001))
    print("ready", flush=True)
    s, _ = tcp.accept(); read(s, size); s.sendall(b"y" * size)
    while True:
        data, peer = udp.recvfrom(65536); udp.sendto(data, peer)
        if data == b"end": break
else:
    s = socket.create_connection((address, 7001), 60); s.sendall(b"x" * size); read(s, size)
    udp = socket.socket(family, socket.SOCK_DGRAM); udp.settimeout(1)
    def ask(data):
        for i in range(60):
            udp.sendto(data, (address, 7001))
            try:
                while udp.recv(65536) != data: pass
                return
            except socket.timeout: pass
        sys.exit("no datagram came back")
    for i in range(20): ask(bytes([i]) * payload)
    ask(b"end")
`;

function exchange(sandbox: Sandbox, from: NodeName, to: NodeName, cidr: string, mtu: number): boolean {
  const address = podAddress(cidr, NODES[to]);
  return sandbox.succeeds(`
    code=$(mktemp); cat >$code <<'END'\n${TRAFFIC}\nEND
    exec 3< <(ip netns exec pod-${to} python3 $code serve ${address} ${mtu})
    read -r _ <&3; ip netns exec pod-${from} python3 $code ask ${address} ${mtu}; rm $code`);
}

const NO_OVERLAY = { links: [], addresses: [], neighbours: [], fdb: [], routes: [], switches: [] };

/**
 * Passes, as the agent makes them when something was noticed, until one finds all in place: ovs-vswitchd has a hand in
 * its devices too, a moment after it was told something.
 */
async function quiet(node: SwitchNode, state: Parameters<SwitchNode["apply"]>[0]): Promise<void> {
  await eventually(async () => {
    const { added, changed, removed } = await node.apply(state);
    return added + changed + removed === 0 || undefined;
  }, "a pass that writes nothing");
}

/** The agent makes a pass when something was noticed; here the test does. */
async function noticed(node: SwitchNode, change: () => unknown): Promise<void> {
  const before = node.notices();
  change();
  await eventually(async () => node.notices() > before || undefined, "the change is noticed");
}

/** What else there is to see, one after the other on the same three nodes. */
const SCENARIOS: Record<string, (t: Test, sandbox: Sandbox, nodes: Record<NodeName, SwitchNode>) => Promise<void>> = {
  "F5: what is taken from Open vSwitch by hand is noticed, and is back after a pass": async (t, sandbox, nodes) => {
    const setup = setupOf("vxlan", "both", "IPv4");
    for (const node of NAMES) await nodes[node].apply(stateOf(node, setup, NAMES));
    const state = stateOf("red", setup, NAMES);
    const { vsctl, bridge } = nodes.red.own;
    const pod = podAddress(POD_CIDRS[4], 2);
    t.ok(reaches(sandbox, "pod-red", 56, pod));
    await quiet(nodes.red, state);
    const name = state.switches[0]?.name ?? "";
    const [, port] = state.switches[0]?.ports ?? [];
    const damages = {
      "a port": `${vsctl} del-port ${port?.name}`,
      "a port's options": `${vsctl} set interface ${port?.name} options:remote_ip=192.0.2.99`,
      "all flows": `ovs-ofctl del-flows ${bridge(name)}`,
      "one flow": `ovs-ofctl del-flows ${bridge(name)} ip,nw_dst=10.244.2.0/24`,
      "a flow that somebody adds": `ovs-ofctl add-flow ${bridge(name)} priority=9999,actions=drop`,
      "the fail mode": `${vsctl} del-fail-mode ${name}`,
      "the bridge": `${vsctl} del-br ${name}`,
    };
    for (const [what, damage] of Object.entries(damages)) {
      await noticed(nodes.red, () => sandbox.sh(damage));
      await quiet(nodes.red, state);
      t.ok(reaches(sandbox, "pod-red", 56, pod), `${what} is back`);
    }
    sandbox.sh(`ip -n red link set ${name} down`);
    await quiet(nodes.red, state);
    t.ok(reaches(sandbox, "pod-red", 56, pod), "the device is up again");

    await noticed(nodes.red, () => nodes.red.own.stopSwitch());
    await t.rejects(nodes.red.apply(state), /ovs-vswitchd does not answer for bridge pwovsv1 at .*; does it run\?/);
    nodes.red.own.startSwitch();
    await quiet(nodes.red, state);
    t.ok(reaches(sandbox, "pod-red", 56, pod), "a restarted ovs-vswitchd has the flows again");
  },

  "S15: bridges, ports and devices that are not ours are left alone, and said to be in the way": async (
    t,
    sandbox,
    { red },
  ) => {
    const { vsctl } = red.own;
    const state = stateOf("red", setupOf("geneve", "flow", "IPv4"), NAMES);
    const name = state.switches[0]?.name ?? "";
    const make = `${vsctl} add-br ${name} -- set bridge ${name} datapath_type=${DATAPATH} -- add-br other`;
    await noticed(red, () => sandbox.sh(make));
    await t.rejects(red.apply(state), /bridge pwovsn1: a bridge of that name is there and is not ours; remove it/);
    await noticed(red, () => sandbox.sh(`${vsctl} del-br ${name}`));
    await quiet(red, state);
    sandbox.sh(`${vsctl} add-port ${name} guest -- set interface guest type=internal`);
    await quiet(red, state);
    t.match(sandbox.sh(`${vsctl} list-ports ${name}`), /guest/);
    await red.apply({ ...state, ...NO_OVERLAY });
    t.match(sandbox.sh(`${vsctl} list-br`), /other/);
  },

  "S7, S8: only a current peer is heard, and only with addresses of its own subnets": async (t, sandbox, nodes) => {
    for (const mode of ["flow", "static", "both"] as const) {
      const setup = setupOf("vxlan", mode, "IPv4");
      for (const node of NAMES) await nodes[node].apply(stateOf(node, setup, NAMES));
      const [red, blue] = [podAddress(POD_CIDRS[4], 1), podAddress(POD_CIDRS[4], 2)];
      t.ok(reaches(sandbox, "pod-blue", 56, red) && reaches(sandbox, "pod-cyan", 56, red), "peers are heard");
      // Blue sends as if it had a pod of cyan's subnet, and as somebody outside; red's pod must not see either.
      sandbox.sh(`ip netns exec pod-red nft 'flush ruleset; add table inet seen;
      add chain inet seen in { type filter hook input priority 0; };
      add rule inet seen in ip saddr { 10.244.3.77, 198.51.100.77 } counter'`);
      const seen = () =>
        Number(/packets (\d+)/.exec(sandbox.sh("ip netns exec pod-red nft list chain inet seen in"))?.[1]);
      const forge = () => {
        for (const source of ["10.244.3.77", "198.51.100.77"]) {
          sandbox.sh(`ip -n pod-blue address add ${source}/32 dev eth0`);
          sandbox.succeeds(`ip netns exec pod-blue ping -qc2 -i0.2 -W0.3 -I ${source} ${red}`);
          sandbox.sh(`ip -n pod-blue address del ${source}/32 dev eth0`);
        }
        return seen();
      };
      t.equal(forge(), 0, `${mode}: no forged packet came through`);
      t.ok(reaches(sandbox, "pod-blue", 56, red), "while true ones do");

      await nodes.red.apply(stateOf("red", setup, ["red", "cyan"]));
      sandbox.sh(`ip -n red route add 10.244.2.0/24 via 10.244.1.2 dev pod0`);
      sandbox.sh("ip netns exec pod-red nft add rule inet seen in ip saddr 10.244.2.2 counter");
      sandbox.succeeds(`ip netns exec pod-blue ping -qc2 -i0.2 -W0.3 ${red}`);
      const stranger = sandbox
        .sh("ip netns exec pod-red nft list chain inet seen in")
        .match(/10\.244\.2\.2 counter packets (\d+)/);
      t.equal(stranger?.[1], "0", `${mode}: a removed peer is not heard`);
      t.ok(reaches(sandbox, "pod-cyan", 56, red), "and cyan is");
      sandbox.sh("ip -n red route del 10.244.2.0/24 via 10.244.1.2");
      t.notOk(reaches(sandbox, "pod-red", 56, blue, 1));
    }
  },

  "S7: a pod's own tunnel packets do not get to a peer": async (t, sandbox, nodes) => {
    const setup = setupOf("vxlan", "flow", "IPv4");
    for (const node of NAMES) await nodes[node].apply(stateOf(node, setup, NAMES));
    sandbox.sh(`ip -n pod-red link add own0 type vxlan id 1 local 10.244.1.2 remote 192.0.2.2 dstport 4789 dev eth0
    ip -n pod-red address add 203.0.113.1/24 dev own0; ip -n pod-red link set own0 up
    ip -n pod-red neighbour add 203.0.113.2 lladdr 02:00:00:00:00:01 dev own0
    ip netns exec red nft 'add table inet seen; add chain inet seen out { type filter hook postrouting priority 0; };
      add rule inet seen out ip saddr 10.244.1.2 udp dport 4789 counter'`);
    const count = () => Number(/packets (\d+)/.exec(sandbox.sh("ip netns exec red nft list chain inet seen out"))?.[1]);
    const forged = () => {
      sandbox.succeeds("ip netns exec pod-red ping -qc2 -i0.2 -W0.3 203.0.113.2");
      return count();
    };
    t.ok(forged() > 0, "without the guard they leave the node");
    const peers = ["192.0.2.2", "192.0.2.3"].map(parseAddress);
    const guard = tunnelGuard({ device: UNDERLAY_DEVICE, tunnels: [{ port: 4789, peers }] });
    sandbox.sh("ip netns exec red nft -f -", difference(guard, EMPTY_LISTING));
    const left = count();
    t.equal(forged(), left, "with it none does");
    t.ok(reaches(sandbox, "pod-blue", 56, podAddress(POD_CIDRS[4], 1)), "and peers are heard");
  },

  "a node without Open vSwitch is told what to install or start": async (t, _sandbox, { red }) => {
    const state = stateOf("red", setupOf("gre", "flow", "IPv4"), NAMES);
    await noticed(red, () => red.own.stopDatabase());
    await t.rejects(
      red.apply(state),
      /Open vSwitch does not run \(or is not installed\): .*db\.sock: .*openvswitch-switch/,
    );
    const without = { ...state, ...NO_OVERLAY, sysctls: [] };
    await red.apply(without);
    t.strictSame(await red.apply(without), NOTHING, "unless it is not needed");
  },
};

for (const underlay of ["IPv4", "IPv6", "both"] as const) {
  const rows = LONG ? ALL : SHORT[underlay];
  if (rows.length === 0) continue;
  const title = `F7: Open vSwitch (${DATAPATH}) over ${underlay}, as the agent makes it: pods of three nodes reach each other by ${rows.map((row) => row.join(" "))}`;
  t.test(title, EVERYWHERE, async (t) => {
    const sandbox = openSandbox(t);
    const nodes = buildSwitchNodes(t, sandbox, FAMILIES[underlay], 1500);
    for (const [tunnel, mode] of rows) {
      await t.test(`${tunnel} ${mode}`, async (t) => {
        const setup = setupOf(tunnel, mode, underlay);
        const mtu = MTU[tunnel][underlay];
        for (const node of NAMES) {
          const state = stateOf(node, setup, NAMES);
          t.equal(state.podMtu.pods, mtu);
          t.strictSame(state.refusals, []);
          t.ok((await nodes[node].apply(state)).added > 0);
          await quiet(nodes[node], state);
          sandbox.sh(`ip -n ${node} link set pod0 mtu ${mtu}; ip -n pod-${node} link set eth0 mtu ${mtu}`);
        }
        for (const cidr of CIDRS) {
          for (const from of NAMES) {
            for (const to of NAMES.filter((node) => node !== from)) {
              const address = podAddress(cidr, NODES[to]);
              const size = mtu - headers(cidr);
              t.ok(reaches(sandbox, `pod-${from}`, size, address), `pod of ${from} to ${address}, full size`);
            }
          }
          t.ok(reaches(sandbox, "red", 56, podAddress(cidr, 2)), `a node itself to a pod in ${cidr}`);
          t.ok(exchange(sandbox, "red", "blue", cidr, mtu), `TCP and UDP both ways in ${cidr}`);
        }
        const state = stateOf("red", setup, ["red", "blue"]);
        t.ok((await nodes.red.apply(state)).removed >= CIDRS.length, "cyan leaves");
        await quiet(nodes.red, state);
        t.notOk(reaches(sandbox, "pod-red", 56, podAddress(POD_CIDRS[4], 3), 1));
        t.ok(reaches(sandbox, "pod-red", mtu - 28, podAddress(POD_CIDRS[4], 2)), "and blue is reached still");
      });
    }
    const empty = { ...stateOf("red", setupOf("vxlan", "flow", underlay), []), ...NO_OVERLAY };
    await nodes.red.apply(empty);
    const left = sandbox.sh(`${nodes.red.own.vsctl} list-br; ip -n red -br link`);
    t.notMatch(left, /pwov/, "nothing of it stays");
    if (DATAPATH === "netdev") t.match(left, UNDERLAY_DEVICE, "what is not ours does");
    for (const [name, scenario] of underlay === "IPv4" && !IN_GUEST ? Object.entries(SCENARIOS) : []) {
      await t.test(name, (t) => scenario(t, sandbox, nodes));
    }
  });
}
