import t, { type Test } from "tap";
import { eventually } from "../netns/harness/eventually.ts";
import { affords, lackingFeatures, needs } from "../netns/harness/full-kernel.ts";
import { Pinging } from "../netns/harness/pinging.ts";
import { type Cluster, type ClusterOptions, startCluster, type WiredPod } from "./harness/cluster.ts";
import { installSwitches } from "./harness/open-vswitch.ts";

const DUAL_STACK = "--network-cidr=10.244.0.0/16,fd00:10:244::/56";
/** So long that only news can make the agents look again. */
const NO_RESYNC = "--resync-interval=3600";

interface Way {
  readonly settings: readonly string[];
  /** What the routes to peers look like then. */
  readonly route: RegExp;
  /** The devices that are there then, and no others. */
  readonly devices: RegExp;
}

const FLOW: Way = {
  settings: ["backend=vxlan", "mode=flow"],
  route: /encap ip .* dev pwflow4790/,
  devices: /^pwflow4790$/,
};
const WAYS: readonly Way[] = [
  {
    settings: ["backend=vxlan", "mode=static"],
    route: /via 10\.244\.\d+\.0 dev pwvx1 .*onlink/,
    devices: /^(pwvx1(-6)?\s*){2}$/,
  },
  { settings: ["backend=host-gw"], route: /via 192\.168\.77\.\d+ dev eth0/, devices: /^$/ },
  FLOW,
];
const FULL_KERNEL_WAYS: readonly Way[] = [
  { settings: ["backend=gre"], route: /encap ip .* dev pwgre4/, devices: /^pwgre4$/ },
  { settings: ["backend=wireguard"], route: /dev pwwg51820/, devices: /^pwwg51820$/ },
  {
    settings: ["backend=gre", "mode=static"],
    route: /dev pwg[0-9a-f]{12}/,
    devices: /^pwg[0-9a-f]{12}\npwg[0-9a-f]{12}$/,
  },
  FLOW,
];

/** Its tunnels are its own, of whatever kind: they share no device and no port with ours. */
const OVS_WAYS: readonly Way[] = [
  {
    settings: ["backend=ovs", "tunnel=vxlan", "mode=flow"],
    route: /via 169\.254\.112\.1 dev pwovsv/,
    devices: /^pwovsv\d+$/,
  },
  {
    settings: ["backend=ovs", "tunnel=geneve", "mode=both"],
    route: /via 169\.254\.112\.1 dev pwovsn/,
    devices: /^pwovsn\d+$/,
  },
  FLOW,
];

function routes(cluster: Cluster, index: number): Promise<string> {
  return cluster.node(index).sh("ip route show proto 112; ip -6 route show proto 112");
}

async function startPods(cluster: Cluster): Promise<WiredPod[]> {
  return Promise.all(cluster.nodes.map((_, index) => cluster.addPod(index, `pod-${index}`)));
}

/** A ping every 10 ms from each pod to each other, in both families. Each ends with what was lost. */
async function startPings(pods: readonly WiredPod[]): Promise<(() => Promise<string[]>)[]> {
  const pairs = pods.flatMap((from) =>
    pods.filter((to) => to !== from).flatMap((to) => to.addresses.map((address) => ({ from, address }))),
  );
  return Promise.all(
    pairs.map(async ({ from, address }) => {
      const pinging = await Pinging.start(from.pod, address, 0.01);
      return async () => (await pinging.lost()).map((number) => `${number} of ${from.pod.name} to ${address}`);
    }),
  );
}

async function move(t: Test, ways: readonly Way[], prepare?: ClusterOptions["prepare"]): Promise<void> {
  const flags = { controllerFlags: [DUAL_STACK], agentFlags: [NO_RESYNC] };
  const cluster = await startCluster(t, { nodes: 3, ...flags, ...(prepare && { prepare }) });
  // The strictest that administrators set: while a pair's two directions go different ways, it would drop.
  for (const node of cluster.nodes) {
    await node.sh(
      "cd /proc/sys/net/ipv4/conf; for f in default eth0 br-underlay; do [ ! -d $f ] || echo 1 >$f/rp_filter; done",
    );
  }
  const pods = await startPods(cluster);
  const before = await routes(cluster, 0);
  const node = cluster.node(0);
  const monitor = node.spawn(["ip", "monitor", "route"]);
  const probe = "ip route add blackhole 203.0.113.1; ip route del blackhole 203.0.113.1";
  const listening = () => monitor.hears(() => node.sh(probe), /203\.0\.113\.1/);
  await listening();
  for (const { settings, route, devices } of ways) {
    const what = settings.join(" ");
    const pings = await startPings(pods);
    const { code, stdout, stderr } = await cluster.cnictl("network", "set", "default", ...settings);
    t.equal(code, 0, `${what}: ${stdout}${stderr}`);
    const lost = await Promise.all(pings.map((lostOf) => lostOf()));
    t.strictSame(lost.flat(), [], `${what}: ${lost.length} pings lose nothing`);
    await cluster.converged(3);
    t.match(await routes(cluster, 0), route, "the routes are the new backend's");
    const links = await node.sh("ip -br link show | grep -oE '^pw(flow|vx|g|wg|ovs)[^ @]*' || true");
    t.match(links.trim(), devices, "and the old one's devices are gone");
  }
  t.equal(await routes(cluster, 0), before, "back where it began");
  await listening();
  const deleted = monitor.output.split("\n").filter((line) => /^Deleted .*\/\d+ .*proto 112/.test(line));
  t.strictSame(deleted, [], "there is not a moment without a route to a peer's subnet");
}

t.test("F15: a running network moves from backend to backend, and pings between three nodes lose nothing", (t) =>
  move(t, WAYS),
);

if (affords("gre", "wireguard")) {
  t.test("F15: it moves to gre and wireguard and back, and pings between three nodes lose nothing", (t) =>
    move(t, FULL_KERNEL_WAYS),
  );
}

// Where Open vSwitch forwards in a process of its own it loses packets of anybody's when a bridge comes or goes.
if (affords("openvswitch")) {
  const name = "F15: it moves to Open vSwitch and back, and pings between three nodes lose nothing";
  t.test(name, needs("openvswitch"), (t) =>
    move(t, OVS_WAYS, async (underlay) => void (await installSwitches(underlay))),
  );
}

t.test("F15: what nodes' kernels cannot do is refused before anything changes, and the nodes are named", async (t) => {
  const lacking = lackingFeatures();
  const cluster = await startCluster(t, { nodes: 2 });
  const before = await routes(cluster, 0);
  for (const kind of (["gre", "wireguard", "ipip"] as const).filter((each) => lacking.includes(each))) {
    const { code, stderr } = await cluster.cnictl("network", "set", "default", `backend=${kind}`);
    t.equal(code, 1);
    t.match(stderr, /network "default" stays as it is, .* node "node-1", "node-2" can do only vxlan\/flow/);
  }
  t.equal(await routes(cluster, 0), before);
});

t.test("a change waits for a node that is away, can be taken back, and goes on when it comes back", async (t) => {
  const cluster = await startCluster(t, { nodes: 2, agentFlags: [NO_RESYNC] });
  const [here, there] = (await startPods(cluster)) as [WiredPod, WiredPod];
  const before = await routes(cluster, 0);
  await cluster.agents[1]?.stop("SIGKILL");
  const set = (...words: string[]) => cluster.cnictl("network", "set", "default", ...words);
  t.equal((await set("backend=vxlan", "mode=static", "--no-wait")).code, 0);
  await eventually(async () => {
    const { stdout } = await cluster.cnictl("get", "networks", "--no-headers");
    return stdout.includes("vxlan/flow→vxlan/static") || undefined;
  }, "it is seen to be under way");
  await eventually(
    async () => (await cluster.node(0).sh("ip -br link")).includes("pwvx1") || undefined,
    "node-1 receives both",
  );
  t.equal(await routes(cluster, 0), before, "but sends to node-2 as before");
  t.ok(await here.pod.pings(there.addresses[0] ?? ""), "pods on it are reached");
  t.match(
    (await set("backend=host-gw")).stderr,
    /is being changed from vxlan\/flow to vxlan\/static and waits for node/,
  );
  const late = await set("mode=flow", "--wait=100ms");
  t.equal(late.code, 2, "the node away has not said that it sends with the old one alone");
  t.match(late.stderr, /It goes on; to take it back: cnictl network set default backend=vxlan mode=static/);
  t.equal((await set("mode=static", "--no-wait")).code, 0);
  const ping = await Pinging.start(here.pod, there.addresses[0] ?? "", 0.01);
  await cluster.startAgent(1);
  await eventually(async () => {
    const { stdout } = await cluster.cnictl("get", "networks", "--no-headers");
    return (stdout.includes("vxlan/static") && !stdout.includes("→")) || undefined;
  }, "it ends when the node is back");
  t.strictSame(await ping.lost(), []);
  await eventually(
    async () => !(await cluster.node(1).sh("ip -br link")).includes("pwflow4790") || undefined,
    "the old device goes",
  );
  t.ok(await here.pod.pings(there.addresses[0] ?? ""));
});
