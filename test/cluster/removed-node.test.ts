import t from "tap";
import { eventually } from "../netns/harness/eventually.ts";
import type { Node } from "../netns/harness/node.ts";
import { Pinging } from "../netns/harness/pinging.ts";
import { startCluster, type WiredPod } from "./harness/cluster.ts";

const DUAL_STACK = "--network-cidr=10.244.0.0/16,fd00:10:244::/56";
/** So long that only news can make the agents look again. */
const NO_RESYNC = "--resync-interval=3600";
const TUNNEL = "pwflow4790";
/** More than what the queues between two nodes hold of what was sent before. */
const MANY = 50;

/** Counts on a node: tunnel packets of another node that reach it, and pings that come out of its tunnel, by their source. */
async function startCounting(node: Node, [v4, v6]: readonly [string, string]): Promise<void> {
  await node.runOk(["nft", "-f", "-"], {
    input: `add table inet seen
      add counter inet seen knocks
      add set inet seen from4 { type ipv4_addr; }
      add set inet seen from6 { type ipv6_addr; }
      add chain inet seen early { type filter hook prerouting priority -450; }
      add rule inet seen early udp dport 4790 ip saddr ${v4} counter name knocks
      add rule inet seen early udp dport 4790 ip6 saddr ${v6} counter name knocks
      add chain inet seen after { type filter hook prerouting priority 0; }
      add rule inet seen after iifname ${TUNNEL} icmp type echo-request add @from4 { ip saddr }
      add rule inet seen after iifname ${TUNNEL} icmpv6 type echo-request add @from6 { ip6 saddr }`,
  });
}

async function knocks(node: Node): Promise<number> {
  const listed = await node.sh("nft list counter inet seen knocks");
  return Number(/packets (\d+)/.exec(listed)?.[1]);
}

/** Sources of pings that have come out of the tunnel. */
async function heard(node: Node): Promise<string[]> {
  const listed = await node.sh("nft list set inet seen from4; nft list set inet seen from6");
  return [...listed.matchAll(/elements = \{([^}]*)\}/g)].flatMap(([, all = ""]) =>
    all.split(",").map((one) => one.trim()),
  );
}

t.test("S7: a node that was removed and goes on sending is heard by nobody, in either family", async (t) => {
  const cluster = await startCluster(t, { nodes: 3, controllerFlags: [DUAL_STACK], agentFlags: [NO_RESYNC] });
  const [first, , gone] = cluster.nodes as [Node, Node, Node];
  const [here, there, lost] = (await Promise.all(
    cluster.nodes.map((_, index) => cluster.addPod(index, `pod-${index}`)),
  )) as [WiredPod, WiredPod, WiredPod];
  await startCounting(first, cluster.underlay.addressesOf(2));
  const pings = await Promise.all(
    [there, lost].flatMap(({ pod }) => here.addresses.map((address) => Pinging.start(pod, address, 0.02))),
  );
  const all = [...there.addresses, ...lost.addresses].toSorted();
  t.strictSame((await heard(first)).toSorted(), all, "both other nodes are heard");

  const admin = await cluster.admin();
  await cluster.agents[2]?.stop("SIGKILL"); // its tunnels, routes and pods stay
  const held = (await admin.listSubnets({})).filter(({ nodeName }) => nodeName === gone.name);
  t.equal(held.length, 2);
  for (const { network, subnet } of held) await admin.releaseSubnet({ network, subnet, force: true });
  const removed = cluster.underlay.addressesOf(2);
  for (const node of cluster.nodes.slice(0, 2)) {
    await eventually(async () => {
      const rules = await node.sh("nft list table inet podwire");
      return !removed.some((address) => new RegExp(`\\b${address}\\b`).test(rules));
    }, `${node.name} takes nothing from ${removed}`);
  }

  // It tries as its own pods, and as those of the node that stayed.
  await gone.sh(
    `ip address add ${there.addresses[0]}/32 dev lo; ip address add ${there.addresses[1]}/128 dev lo nodad`,
  );
  for (const [i, address] of here.addresses.entries())
    gone.spawn(["ping", "-n", "-i", "0.02", "-I", there.addresses[i] ?? "", address]);
  await pings[0]?.lost();
  await pings[1]?.lost();
  await first.sh("nft flush set inet seen from4; nft flush set inet seen from6");
  const before = await knocks(first);
  await eventually(async () => (await knocks(first)) >= before + 4 * MANY, "it goes on sending");
  t.strictSame(await heard(first), [], "nothing that it sends comes out of the tunnel");
  t.ok(await there.pod.pings(here.addresses[0] ?? ""), "a peer's does");
  t.strictSame(await heard(first), [there.addresses[0]]);
});
