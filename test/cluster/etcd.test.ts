import { readFileSync } from "node:fs";
import t, { type Test } from "tap";
import { eventually } from "../netns/harness/eventually.ts";
import type { Daemon } from "../netns/harness/exec.ts";
import { BIN, type Node } from "../netns/harness/node.ts";
import { Pinging } from "../netns/harness/pinging.ts";
import { startUnderlay } from "../netns/harness/underlay.ts";
import { type Authority, createAuthority } from "./harness/certificates.ts";
import { Cluster, startCluster, type WiredPod } from "./harness/cluster.ts";

/** The etcd that runs in the node: its process and how it was started. */
async function findEtcd(hub: Node): Promise<{ readonly pid: number; readonly argv: readonly string[] }> {
  const [, pid] = /users:\(\("etcd",pid=(\d+)/.exec(await hub.runOk(["ss", "-Hltnp", "sport = :2379"])) ?? [];
  if (pid === undefined) throw new Error("no etcd listens on port 2379");
  return { pid: Number(pid), argv: readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").filter(Boolean) };
}

async function killEtcd(hub: Node): Promise<readonly string[]> {
  const { pid, argv } = await findEtcd(hub);
  process.kill(pid, "SIGKILL");
  await eventually(async () => (await hub.runOk(["ss", "-Hltn", "sport = :2379"])) === "" || undefined, "etcd is gone");
  return argv;
}

async function restartEtcd(hub: Node, argv: readonly string[]): Promise<void> {
  await hub
    .spawn(argv, { ETCD_UNSUPPORTED_ARCH: "arm64" })
    .prints(/ready to serve client requests|serving insecure client requests/);
}

interface SubnetItem {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly node?: string };
}

/** Subnet, node and epoch of every lease, as the controller tells them. */
async function leases(cluster: Cluster): Promise<readonly string[]> {
  const { stdout } = await cluster.cnictl("get", "subnets", "-o", "json");
  const items = JSON.parse(stdout).items as readonly SubnetItem[];
  return items.map(({ metadata, spec }) => `${metadata.name} ${spec.node ?? JSON.stringify(spec)}`).sort();
}

async function wire(cluster: Cluster, count: number): Promise<readonly WiredPod[]> {
  return await Promise.all([...Array(count).keys()].map((index) => cluster.addPod(index, `pod-${index}`)));
}

async function allPing(t: Test, pods: readonly WiredPod[], what: string): Promise<void> {
  for (const from of pods) {
    for (const to of pods) {
      for (const address of to.addresses)
        t.ok(await from.pod.pings(address, 5), `${what}: ${from.pod.name} pings ${address}`);
    }
  }
}

/** What the overlay put into the kernel. */
const overlayState = (node: Node) =>
  node.sh("ip route show proto 112; ip -d link show type vxlan; nft list table inet podwire");

/** Notifications of links, routes, addresses, rules and nft changes. */
const watch = (node: Node) => [
  node.spawn(["ip", "monitor", "link", "route", "address", "rule"]),
  node.spawn(["nft", "monitor"]),
];
const heard = (daemons: readonly Daemon[]) => daemons.map(({ output }) => output).join("");

t.test("etcd killed -9: pods and leases survive it, and a node can join when it is back", async (t) => {
  const cluster = await startCluster(t, { nodes: 3, agents: 2, store: "etcd" });
  const { hub } = cluster.underlay;
  const pods = await wire(cluster, 2);
  await allPing(t, pods, "before");
  const before = await leases(cluster);
  t.equal(before.length, 2);
  const states = await Promise.all([0, 1].map((index) => overlayState(cluster.node(index))));

  const argv = await killEtcd(hub);
  await allPing(t, pods, "without etcd");
  const late = await cluster.addPod(0, "late");
  t.ok(await late.pod.pings(pods[1]?.addresses[0] ?? ""), "a new pod on a leased node");
  const joining = await cluster.startAgent(2);
  await joining.prints(/"msg":"(disconnected|refused)"|not reachable|no subnet|LEASE_STATE_NONE/);
  t.notOk(cluster.hasConflist(2), "a new node gets nothing from a store that is away");
  t.ok(cluster.controller?.running, "the controller waits");

  await restartEtcd(hub, argv);
  await joining.prints(/"msg":"conflist written"/);
  const after = await eventually(async () => {
    const now = await leases(cluster);
    return now.length === 3 ? now : undefined;
  }, "three leases");
  for (const lease of before) t.ok(after.includes(lease), `${lease} is as before`);
  const third = await cluster.addPod(2, "third");
  await allPing(t, [...pods, third, late], "afterwards");
  for (const [index, state] of states.entries()) {
    const now = await overlayState(cluster.node(index));
    const lost = state.split("\n").filter((line) => line.includes("encap") && !now.includes(line.trim()));
    t.strictSame(lost, [], "no route to a peer was replaced");
  }
  await cluster.converged(3);
});

t.test("etcd and controller killed together: the same leases when both are back", async (t) => {
  const cluster = await startCluster(t, { nodes: 2, store: "etcd" });
  const pods = await wire(cluster, 2);
  const before = await leases(cluster);
  const watched = cluster.nodes.flatMap(watch);
  const argv = await killEtcd(cluster.underlay.hub);
  await cluster.controller?.stop("SIGKILL");
  await allPing(t, pods, "without both");
  const starting = cluster.startController();
  await restartEtcd(cluster.underlay.hub, argv);
  await starting;
  await cluster.converged(2);
  t.strictSame(await leases(cluster), before);
  await allPing(t, pods, "afterwards");
  t.notMatch(heard(watched), /proto 112|pwflow|add element|delete/, "and the nodes' kernels heard nothing of it");
});

const PORTS = [7444, 7454] as const;

/** A controller on the port, with a certificate for the hub's address. */
async function startControllerOn(cluster: Cluster, authority: Authority, port: number): Promise<Daemon> {
  const { hub, hubAddresses } = cluster.underlay;
  const { cert, key } = await authority.issue(`controller-${port}`, ["127.0.0.1", ...hubAddresses]);
  const controller = hub.spawn([
    `${BIN}/podwire-controller`,
    `--listen=${hubAddresses[0]}:${port}`,
    `--metrics-listen=127.0.0.1:${port + 1}`,
    ...["--store=etcd", "--etcd-endpoints=http://127.0.0.1:2379"],
    ...["--tls-ca", authority.ca, "--tls-cert", cert, "--tls-key", key],
  ]);
  await controller.prints(/"msg":"listening"/);
  return controller;
}

t.test("two controllers on one etcd: each serves a node, the nodes see each other, and one may die", async (t) => {
  const underlay = await startUnderlay(t, 3);
  const authority = await createAuthority(t);
  const cluster = new Cluster(underlay, authority, { nodes: 3, store: "etcd" });
  await cluster.startEtcd();
  const controllers = await Promise.all(PORTS.map((port) => startControllerOn(cluster, authority, port)));
  const endpoints = PORTS.map((port) => `${underlay.hubAddresses[0]}:${port}`);
  const start = async (index: number, order: readonly string[]) => {
    const node = cluster.node(index);
    const flags = [
      `--controller=${order.join(",")}`,
      `--node-name=${node.name}`,
      ...(await cluster.clientTls(node.name)),
    ];
    return node.spawn([`${BIN}/podwire-agent`, ...flags]);
  };
  const agents = await Promise.all([start(0, endpoints), start(1, endpoints.toReversed())]);
  for (const [i, agent] of agents.entries()) {
    const [, controller] = await agent.prints(/"controller":"([^"]+)","msg":"connected"/);
    t.equal(controller, endpoints[i], `node-${i + 1} is served by controller ${i + 1}`);
    await agent.prints(/"msg":"conflist written"/);
  }
  const [first, second] = (await wire(cluster, 2)) as [WiredPod, WiredPod];
  await eventually(
    async () => (await overlayState(cluster.node(0))).includes("192.168.77.12") || undefined,
    "node-1 hears of node-2",
  );
  await eventually(
    async () => (await overlayState(cluster.node(1))).includes("192.168.77.11") || undefined,
    "node-2 hears of node-1",
  );
  await allPing(t, [first, second], "each with its own controller");
  const before = await leases(cluster);

  const states = await Promise.all([0, 1].map((index) => overlayState(cluster.node(index))));
  const watched = [0, 1].flatMap((index) => watch(cluster.node(index)));
  const flood = await Pinging.start(first.pod, second.addresses[0] ?? "", 0.02);
  await controllers[1]?.stop("SIGKILL");
  await agents[1]?.prints(new RegExp(`"controller":"${endpoints[0]}","msg":"connected"`));
  t.strictSame(await flood.lost(), [], "no packet is lost meanwhile");
  t.strictSame(await Promise.all([0, 1].map((index) => overlayState(cluster.node(index)))), states);
  t.notMatch(heard(watched), /proto 112|pwflow|add element|delete/, "the kernels heard nothing");
  t.strictSame(await leases(cluster), before, "the same leases");

  const joining = await start(2, endpoints.toReversed());
  await joining.prints(/"msg":"conflist written"/);
  const third = await cluster.addPod(2, "third");
  await allPing(t, [first, second, third], "a node that joins now");
  await startControllerOn(cluster, authority, PORTS[1]);
  const everybody = [...agents, joining];
  const said = everybody.map(({ output }) => output.length);
  await controllers[0]?.stop("SIGKILL");
  for (const [i, agent] of everybody.entries()) {
    const connected = `"controller":"${endpoints[1]}","msg":"connected"`;
    await eventually(() => agent.output.slice(said[i]).includes(connected) || undefined, `node-${i + 1} moves`);
  }
  await allPing(t, [first, second, third], "by the other controller alone");
});
