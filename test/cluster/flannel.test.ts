import { readFileSync, writeFileSync } from "node:fs";
import t, { type Test } from "tap";
import { eventually } from "../netns/harness/eventually.ts";
import type { Node } from "../netns/harness/node.ts";
import type { Pod } from "../netns/harness/pod.ts";
import { startUnderlay } from "../netns/harness/underlay.ts";
import { createAuthority } from "./harness/certificates.ts";
import { Cluster } from "./harness/cluster.ts";

const PREFIX = "/coreos.com/network";
/** Of the node that is taken over, and of the one that goes on running flannel. */
const OURS = {
  key: "10.5.52.0-24",
  subnet: "10.5.52.0/24",
  publicIP: "192.168.77.11",
  mac: "0e:00:00:00:52:01",
} as const;
const THEIRS = {
  key: "10.5.60.0-24",
  subnet: "10.5.60.0/24",
  publicIP: "192.168.77.12",
  mac: "0e:00:00:00:60:02",
} as const;

/** What flannel v0.28 writes with vxlan: PREFIX/config, and a key a lease that an etcd lease of 24 hours keeps. */
async function writeFlannelKeys(hub: Node): Promise<void> {
  const config = { Network: "10.5.0.0/16", SubnetLen: 24, Backend: { Type: "vxlan", VNI: 1 } };
  await etcdctl(hub, ["put", `${PREFIX}/config`, JSON.stringify(config)]);
  for (const { key, publicIP, mac } of [OURS, THEIRS]) {
    const [, lease = ""] = /lease (\w+) granted/.exec(await etcdctl(hub, ["lease", "grant", "86400"])) ?? [];
    const BackendData = { VNI: 1, VtepMAC: mac };
    const value = { PublicIP: publicIP, PublicIPv6: null, BackendType: "vxlan", BackendData };
    await etcdctl(hub, ["put", `--lease=${lease}`, `${PREFIX}/subnets/${key}`, JSON.stringify(value)]);
  }
}

function etcdctl(hub: Node, argv: readonly string[]): Promise<string> {
  const env = { PATH: process.env.PATH ?? "", ETCDCTL_API: "3" };
  return hub.runOk(["etcdctl", "--endpoints=http://127.0.0.1:2379", ...argv], { env });
}

/** The VTEP's MAC address that flannel nodes read for the lease. */
async function macInEtcd(hub: Node, { key }: typeof OURS | typeof THEIRS): Promise<string> {
  return JSON.parse(await etcdctl(hub, ["get", "--print-value-only", `${PREFIX}/subnets/${key}`])).BackendData.VtepMAC;
}

interface FlannelPeer {
  /** The lowest address of its subnet. */
  readonly base: string;
  readonly mac: string;
  readonly publicIP: string;
}

/** Plays flannel on a plain Linux node: device, then for each peer ARP entry, FDB entry and route. */
async function playFlannel(node: Node, peers: readonly FlannelPeer[]): Promise<void> {
  const entries = peers.map(
    ({ base, mac, publicIP }) =>
      `ip neighbour replace ${base} lladdr ${mac} dev flannel.1 nud permanent
    bridge fdb replace ${mac} dev flannel.1 dst ${publicIP} self permanent
    ip route replace ${base}/24 via ${base} dev flannel.1 onlink`,
  );
  await node.sh(`ip link add flannel.1 address ${THEIRS.mac} mtu 1450 type vxlan id 1 local ${THEIRS.publicIP} dev eth0 dstport 8472 nolearning
    ip address add 10.5.60.0/32 dev flannel.1; ip link set flannel.1 up
    ${entries.join("\n")}
    ip link add cni0 type bridge; ip address add 10.5.60.1/24 dev cni0; ip link set cni0 up
    sysctl -qw net.ipv4.ip_forward=1`);
}

/** A pod on flannel's bridge. */
async function flannelPod(node: Node): Promise<Pod> {
  const pod = await node.pod("their-pod");
  await node.sh(
    `ip link add veth0 type veth peer name eth0 mtu 1450 netns ${pod.containerId}; ip link set veth0 master cni0 up`,
  );
  await pod.runOk(["ip", "address", "add", "10.5.60.7/24", "dev", "eth0"]);
  await pod.runOk(["ip", "link", "set", "eth0", "up"]);
  await pod.runOk(["ip", "route", "add", "default", "via", "10.5.60.1"]);
  return pod;
}

const SUBNET_ENV = "FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_SUBNET=10.5.52.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n";

interface TakenOver {
  readonly cluster: Cluster;
  readonly ours: Node;
  readonly theirs: Node;
}

async function takeOver(t: Test, nodes = 2): Promise<TakenOver> {
  const underlay = await startUnderlay(t, nodes);
  const cluster = new Cluster(underlay, await createAuthority(t), {
    nodes,
    store: "etcd",
    controllerFlags: [`--import-flannel=${PREFIX}`],
    agentFlags: ["--claim-subnet-env=/run/flannel/subnet.env", "--subnet-file=/run/flannel/new.env"],
  });
  const [ours, theirs] = underlay.nodes as [Node, Node];
  await cluster.startEtcd();
  await writeFlannelKeys(underlay.hub);
  const controller = await cluster.startController();
  t.match(await controller.prints(/"leases":(\d+).*took over flannel's network/), { 1: "2" });
  await ours.sh("mkdir -p /run/flannel");
  writeFileSync(ours.path("/run/flannel/subnet.env"), SUBNET_ENV);
  const agent = await cluster.startAgent(0);
  await agent.prints(/"msg":"conflist written"/);
  return { cluster, ours, theirs };
}

t.test("a flannel node is taken over: it keeps its subnet, and subnet.env is what flannel would write", async (t) => {
  const { cluster, ours } = await takeOver(t);
  const { pod, addresses } = await cluster.addPod(0, "pod");
  t.match(addresses[0], /^10\.5\.52\./);
  t.match(await pod.runOk(["ip", "link", "show", "eth0"]), /mtu 1450 /);
  const env = await eventually(() => readFileSync(ours.path("/run/flannel/new.env"), "utf8"), "subnet.env is written");
  t.equal(env, SUBNET_ENV);
  const { mode } = JSON.parse(await ours.runOk(["sh", "-c", 'stat -c \'{"mode":"%a"}\' /run/flannel/new.env']));
  t.equal(mode, "644", "readable for those who need it");
  const { stdout } = await cluster.cnictl("get", "subnets", "-o", "json");
  t.match(stdout, /10\.5\.52\.0\/24[\s\S]*node-1|node-1[\s\S]*10\.5\.52\.0\/24/);
  const [link] = JSON.parse(await ours.runOk(["ip", "-j", "-d", "link", "show", "type", "vxlan"]));
  t.match(link.linkinfo.info_data, { id: 1, port: 8472, learning: false }, "flannel's wire format");
});

t.test("our node and one that goes on running flannel reach each other on the wire", async (t) => {
  const { cluster, ours, theirs } = await takeOver(t);
  const { hub } = cluster.underlay;
  await playFlannel(theirs, [{ base: "10.5.52.0", mac: await deviceMac(ours), publicIP: OURS.publicIP }]);
  const [mine, other] = [await cluster.addPod(0, "pod"), await flannelPod(theirs)];
  const entries = await eventually(async () => {
    const text = await ours.sh(
      "ip route show proto 112; ip neighbour show nud permanent; bridge fdb show | grep dst || true",
    );
    return text.includes("10.5.60.0/24") ? text : undefined;
  }, "the peer is known");
  t.match(entries, /10\.5\.60\.0\/24 via 10\.5\.60\.0 dev pwvx1 .*onlink/);
  t.equal(await macInEtcd(hub, THEIRS), THEIRS.mac);
  t.match(entries, new RegExp(`10\\.5\\.60\\.0 dev pwvx1 lladdr ${THEIRS.mac} PERMANENT`));
  t.match(entries, new RegExp(`${THEIRS.mac} dev pwvx1 dst 192\\.168\\.77\\.12`));

  const dump = hub.spawn(["tcpdump", "-n", "-l", "-e", "-i", "under", "-c2", "udp port 8472"]);
  await dump.prints(/listening on/);
  t.ok(await mine.pod.pings("10.5.60.7"), "our pod pings flannel's");
  const wire =
    /192\.168\.77\.11\.\d+ > 192\.168\.77\.12\.8472: .*instance 1\s[\s\S]*> 0e:00:00:00:60:02,[\s\S]*10\.5\.52\.\d+ > 10\.5\.60\.7: ICMP echo request/;
  t.ok(await dump.prints(wire), "VNI 1 on port 8472 to flannel's MAC address");
  t.ok(await other.pings(mine.addresses[0] ?? ""), "flannel's pod pings ours");
  t.ok(await other.pings("10.5.52.0"), "and our node");
  t.equal(await blocked(mine.pod, "10.5.60.7", 1450), false, "1450 bytes pass whole");
});

/** Takes one connection, and says how much came over it. */
const RECEIVE = `
import socket
listener = socket.create_server(("", 9000))
print("listening", flush=True)
connection, count = listener.accept()[0], 0
while data := connection.recv(65536): count += len(data)
print("received", count, flush=True)
`;
const SEND = (address: string) => `
import socket
socket.create_connection(("${address}", 9000)).sendall(bytes(3000000))
`;

t.test(
  "two nodes of ours and one of flannel's: all pods reach each other, by TCP too, and with full packets",
  async (t) => {
    const { cluster, ours, theirs } = await takeOver(t, 3);
    const agent = await cluster.startAgent(2);
    await agent.prints(/"msg":"conflist written"/);
    const third = cluster.node(2);
    const mine = [await cluster.addPod(0, "first"), await cluster.addPod(2, "third")];
    const base = (mine[1]?.addresses[0] ?? "").replace(/\d+$/, "0");
    await playFlannel(theirs, [
      { base: "10.5.52.0", mac: await deviceMac(ours), publicIP: OURS.publicIP },
      { base, mac: await deviceMac(third), publicIP: "192.168.77.13" },
    ]);
    const pods = [
      ...mine.map(({ pod, addresses: [address = ""] }) => ({ pod, address })),
      { pod: await flannelPod(theirs), address: "10.5.60.7" },
    ];
    for (const node of [ours, third]) {
      await eventually(
        async () => (await node.sh("ip route show proto 112")).includes("10.5.60.0/24"),
        "flannel's node is known",
      );
    }
    for (const to of pods) {
      for (const from of pods.filter((each) => each !== to)) {
        const pair = `${from.pod.name} to ${to.pod.name}`;
        t.ok(await from.pod.pings(to.address), `${pair}: ping`);
        t.equal(await blocked(from.pod, to.address, 1450), false, `${pair}: 1450 bytes`);
        const receiver = to.pod.spawn(["python3", "-c", RECEIVE]);
        await receiver.prints(/listening/);
        await from.pod.runOk(["python3", "-c", SEND(to.address)]);
        t.ok(await receiver.prints(/received 3000000/), `${pair}: TCP`);
      }
    }
  },
);

async function deviceMac(node: Node): Promise<string> {
  const [link] = JSON.parse(await node.runOk(["ip", "-j", "link", "show", "pwvx1"]));
  return link.address;
}

async function blocked(pod: Pod, address: string, bytes: number): Promise<boolean> {
  const { code } = await pod.run(["ping", "-n", "-c1", "-W10", "-M", "do", "-s", String(bytes - 28), address]);
  return code !== 0;
}
