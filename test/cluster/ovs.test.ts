import t, { type Test } from "tap";
import { eventually } from "../netns/harness/eventually.ts";
import type { Daemon } from "../netns/harness/exec.ts";
import { affords } from "../netns/harness/full-kernel.ts";
import { Pinging } from "../netns/harness/pinging.ts";
import { type Cluster, startCluster, type WiredPod } from "./harness/cluster.ts";
import { installSwitches, startSwitch } from "./harness/open-vswitch.ts";

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
  let daemons: readonly Daemon[] = [];
  const cluster = await startCluster(t, {
    nodes: 2,
    controllerFlags: [
      "--network-cidr=10.244.0.0/16,fd00:10:244::/56",
      "--network-backend=ovs",
      "--network-tunnel=geneve",
      "--network-mode=both",
    ],
    prepare: async (underlay) => {
      daemons = await installSwitches(underlay);
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
      prepare: async (underlay) => void (await installSwitches(underlay)),
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
