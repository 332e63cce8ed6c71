import t, { type Test } from "tap";
import { hasGenericFamily } from "../../kernel/generic.ts";
import { eventually } from "../netns/harness/eventually.ts";
import type { Daemon } from "../netns/harness/exec.ts";
import { affords } from "../netns/harness/full-kernel.ts";
import type { Node } from "../netns/harness/node.ts";
import { Pinging } from "../netns/harness/pinging.ts";
import { type Cluster, startCluster, type WiredPod } from "./harness/cluster.ts";

/** Without the kernel's module a node's address is on a bridge of Open vSwitch. */
const NETDEV = !hasGenericFamily("ovs_datapath");

async function startSwitch(node: Node): Promise<Daemon> {
  const daemon = node.spawn(["ovs-vswitchd", "--pidfile", "--log-file=/run/openvswitch/switch.log"]);
  await eventually(async () => (await node.run(["ovs-appctl", "version"])).code === 0 || undefined, "ovs-vswitchd");
  return daemon;
}

/** As an operator does: Open vSwitch where its package puts it, and the node's address on a bridge where that is needed. */
async function installSwitch(node: Node, hub: Node, port: string): Promise<Daemon> {
  await node.sh(`mkdir -p /run/openvswitch
    ovsdb-tool create /run/openvswitch/conf.db /usr/share/openvswitch/vswitch.ovsschema`);
  node.spawn(["ovsdb-server", "/run/openvswitch/conf.db", "--remote=punix:/run/openvswitch/db.sock"]);
  await node.sh("ovs-vsctl --retry --no-wait init");
  if (!NETDEV) await node.sh("until awk '{ exit $1 < 11 }' /proc/uptime; do sleep 0.2; done");
  const daemon = await startSwitch(node);
  if (!NETDEV) return daemon;
  await hub.sh(`ethtool -K ${port} tx off`);
  await node.sh(`addresses=$(ip -o address show dev eth0 scope global | awk '{ print $4 }')
    ovs-vsctl add-br br-underlay -- set bridge br-underlay datapath_type=netdev -- add-port br-underlay eth0
    ip address flush dev eth0 scope global; ip link set br-underlay up
    for address in $addresses; do ip address add $address dev br-underlay nodad 2>/dev/null || ip address add $address dev br-underlay; done
    ip route replace default via 192.168.77.1; ip -6 route replace default via fd77::1`);
  return daemon;
}

async function allPing(t: Test, pods: readonly WiredPod[]): Promise<void> {
  for (const from of pods) {
    for (const address of pods.filter((to) => to !== from).flatMap(({ addresses }) => addresses)) {
      // The first packet may be lost while a switch in user space asks for its peer's MAC address.
      await eventually(async () => (await from.pod.pings(address)) || undefined, `${from.pod.name} pings ${address}`);
      t.pass(`${from.pod.name} pings ${address}`);
    }
  }
}

async function flows(cluster: Cluster, index: number): Promise<number> {
  const { stdout } = await cluster.node(index).run(["ovs-ofctl", "dump-flows", "pwovsn1"]);
  return stdout.split("\n").filter((line) => line.includes("cookie=0x706f6477697265")).length;
}

t.test("pods reach each other by Open vSwitch, what is taken away comes back, and the network moves on", async (t) => {
  const daemons: Daemon[] = [];
  const cluster = await startCluster(t, {
    nodes: 2,
    controllerFlags: [
      "--network-cidr=10.244.0.0/16,fd00:10:244::/56",
      "--network-backend=ovs",
      "--network-tunnel=geneve",
      "--network-mode=both",
    ],
    prepare: async ({ nodes, hub }) => {
      for (const [i, node] of nodes.entries()) daemons.push(await installSwitch(node, hub, `up${i}`));
    },
  });
  const { stdout } = await cluster.cnictl("get", "networks");
  t.match(stdout, /ovs\/both \(geneve\)/);
  const pods = await Promise.all([0, 1].map((index) => cluster.addPod(index, `pod-${index}`)));
  await allPing(t, pods);
  const whole = await flows(cluster, 0);
  t.equal(whole, 8, "two subnets, there and back, by the peer's port and by the common one");

  const first = cluster.node(0);
  await first.sh("ovs-ofctl del-flows pwovsn1");
  await eventually(async () => (await flows(cluster, 0)) === whole || undefined, "the flows are back");
  await first.sh("ovs-vsctl del-br pwovsn1");
  await eventually(async () => (await flows(cluster, 0)) === whole || undefined, "the bridge is back");
  await allPing(t, pods);
  await daemons[0]?.stop("SIGKILL");
  await startSwitch(first);
  await eventually(async () => (await flows(cluster, 0)) === whole || undefined, "flows after a restart");
  await allPing(t, pods);
  await cluster.converged(2);

  const moved = await cluster.cnictl("network", "set", "default", "backend=vxlan", "mode=flow");
  t.equal(moved.code, 0, `${moved.stdout}${moved.stderr}`);
  await allPing(t, pods);
  await eventually(
    async () => !/pwovs/.test(await first.sh("ovs-vsctl list-br; ip -br link")) || undefined,
    "nothing of ours stays in Open vSwitch",
  );
  t.match(await first.runOk(["ip", "-br", "link"]), /pwflow4790/);
});

// Both are IP protocol 47, and the guard against strangers' packets takes the two formats apart.
if (affords("gre", "openvswitch")) {
  t.test("F15: a network moves from gre to Open vSwitch's gre and back, and pings lose nothing", async (t) => {
    const cluster = await startCluster(t, {
      nodes: 2,
      controllerFlags: ["--network-cidr=10.244.0.0/16,fd00:10:244::/56", "--network-backend=gre"],
      prepare: async ({ nodes, hub }) => {
        for (const [i, node] of nodes.entries()) await installSwitch(node, hub, `up${i}`);
      },
    });
    const [here, there] = (await Promise.all([0, 1].map((index) => cluster.addPod(index, `pod-${index}`)))) as [
      WiredPod,
      WiredPod,
    ];
    for (const settings of [
      ["backend=ovs", "tunnel=gre", "mode=flow"],
      ["backend=gre", "mode=flow"],
    ]) {
      const pings = await Promise.all(there.addresses.map((address) => Pinging.start(here.pod, address, 0.01)));
      const moved = await cluster.cnictl("network", "set", "default", ...settings);
      t.equal(moved.code, 0, `${settings.join(" ")}: ${moved.stdout}${moved.stderr}`);
      for (const ping of pings) t.strictSame(await ping.lost(), [], settings.join(" "));
    }
  });
}
