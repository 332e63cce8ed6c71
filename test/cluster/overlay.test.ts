import t, { type Test } from "tap";
import { type Cluster, startCluster, type WiredPod } from "./harness/cluster.ts";

const DUAL_STACK = "--network-cidr=10.244.0.0/16,fd00:10:244::/56";

async function allPing(t: Test, pods: readonly WiredPod[]): Promise<void> {
  for (const from of pods) {
    for (const to of pods) {
      for (const address of to.addresses)
        t.ok(await from.pod.pings(address), `${from.pod.name} pings ${to.pod.name} at ${address}`);
    }
  }
}

/** One packet of that size with don't-fragment; whether it was answered. */
async function passes(from: WiredPod, address: string, bytes: number): Promise<boolean> {
  const headers = address.includes(":") ? 48 : 28;
  const { code } = await from.pod.run([
    "ping",
    "-n",
    "-c1",
    "-W10",
    "-M",
    "do",
    "-s",
    String(bytes - headers),
    address,
  ]);
  return code === 0;
}

async function podMtu({ pod }: WiredPod): Promise<number> {
  const [link] = JSON.parse(await pod.runOk(["ip", "-j", "link", "show", "eth0"]));
  return link.mtu;
}

const MODES = [
  { mode: "flow", mtu: { 4: 1464, dual: 1464 } },
  { mode: "static", mtu: { 4: 1450, dual: 1430 } },
] as const;

for (const { mode, mtu } of MODES) {
  t.test(
    `${mode}: pods of three nodes reach each other over both families, and F7: the MTU is what fits`,
    async (t) => {
      const cluster = await startCluster(t, { nodes: 3, controllerFlags: [DUAL_STACK, `--network-mode=${mode}`] });
      const pods = await Promise.all([0, 1, 2].map((index) => cluster.addPod(index, `pod-${index}`)));
      for (const { addresses } of pods) t.equal(addresses.length, 2, "an address of each family");
      await allPing(t, pods);
      const [first, second] = pods as [WiredPod, WiredPod];
      t.equal(await podMtu(first), mtu.dual);
      for (const address of second.addresses) {
        t.ok(await passes(first, address, mtu.dual), `${mtu.dual} bytes to ${address} arrive whole`);
        t.notOk(await passes(first, address, mtu.dual + 1), "one more does not");
      }
      await leavesNothing(t, cluster, pods);
    },
  );
}

async function leavesNothing(t: Test, cluster: Cluster, pods: readonly WiredPod[]) {
  for (const [index, { pod }] of pods.entries()) {
    const node = cluster.node(index);
    await node.run(["ip", "neighbour", "flush", "all"]);
    const before = await node.snapshot();
    const other = await cluster.addPod(index, "other");
    for (const [i, each] of [other.pod, pod].entries()) {
      await node.runtime.del(cluster.conflist(index), each);
      await node.runtime.del(cluster.conflist(index), each); // twice is no error
      await each.deleteNetns();
      if (i === 0) t.equal(await node.snapshot(), before, `${node.name} is as before`);
    }
    const veths = JSON.parse(await node.runOk(["ip", "-j", "link", "show", "type", "veth"])) as { ifname: string }[];
    t.equal(veths.filter(({ ifname }) => ifname.startsWith("pw")).length, 0);
  }
}

t.test(
  "directRouting: peers on the same segment need no tunnel, and pods have the underlay's MTU to them",
  async (t) => {
    const cluster = await startCluster(t, { nodes: 2, controllerFlags: ["--network-direct-routing"] });
    const pods = await Promise.all([0, 1].map((index) => cluster.addPod(index, `pod-${index}`)));
    await allPing(t, pods);
    const routes = await cluster.node(0).runOk(["ip", "route", "show", "proto", "112"]);
    t.match(routes, /10\.244\.\d+\.0\/24 via 192\.168\.77\.12 dev eth0/);
    t.notMatch(routes, /encap/);
  },
);

t.test("masquerade: the world sees the node's address, other pods see the pod's", async (t) => {
  const cluster = await startCluster(t, { nodes: 2 });
  const [first, second] = (await Promise.all([0, 1].map((index) => cluster.addPod(index, `pod-${index}`)))) as [
    WiredPod,
    WiredPod,
  ];
  const seenBy = async (
    where: { spawn(argv: readonly string[]): { prints(p: RegExp): Promise<RegExpExecArray> } },
    device: string,
    address: string,
  ) => {
    const dump = where.spawn(["tcpdump", "-n", "-l", "-i", device, "-c1", "icmp[icmptype]=icmp-echo"]);
    await dump.prints(/listening on/);
    await first.pod.pings(address);
    const [, source] = await dump.prints(/IP ([\d.]+) >/);
    return source;
  };
  t.equal(await seenBy(cluster.underlay.hub, "under", "192.168.77.1"), "192.168.77.11", "outside: the node");
  t.equal(await seenBy(second.pod, "eth0", second.addresses[0] ?? ""), first.addresses[0], "inside: the pod");
});

t.test("P13: the first packets of the first pods arrive, in both families", async (t) => {
  const cluster = await startCluster(t, { nodes: 2, controllerFlags: [DUAL_STACK] });
  const first = await cluster.addPod(0, "first");
  const second = await cluster.addPod(1, "second");
  const answers = await Promise.all(second.addresses.map((address) => first.pod.ping(address, 1)));
  for (const [i, answer] of answers.entries())
    t.type(answer, "number", `one ping to ${second.addresses[i]} is answered`);
});
