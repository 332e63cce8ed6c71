import { fileURLToPath } from "node:url";
import t from "tap";
import { setTxChecksum, txChecksum } from "../../kernel/ethtool.ts";
import { inNetns } from "../../kernel/netns.ts";
import { getLink } from "../../kernel/rtnetlink/link.ts";
import { openRoute } from "../../kernel/rtnetlink/socket.ts";
import { eventually } from "../netns/harness/eventually.ts";
import { needs } from "../netns/harness/full-kernel.ts";
import type { Node } from "../netns/harness/node.ts";
import { type Cluster, startCluster } from "./harness/cluster.ts";

const OFTEN = "--probe-interval=0.5";

/** What `cnictl status` complains of, once it matches. */
function complains(cluster: Cluster, pattern: RegExp): Promise<string> {
  let last = "";
  return eventually(async () => {
    const { code, stderr } = await cluster.cnictl("status");
    last = `exit ${code}: ${stderr}`;
    if (!pattern.test(stderr)) throw new Error(last);
    return code === 2 ? stderr : undefined;
  }, `${pattern} in cnictl status`);
}

async function metrics(cluster: Cluster, index: number): Promise<string> {
  return cluster.node(index).runOk(["curl", "-s", "http://127.0.0.1:7446/metrics"]);
}

t.test("F7: a pair over whose way large packets vanish is named, with the largest size that passes", async (t) => {
  const cluster = await startCluster(t, { nodes: 3, agentFlags: [OFTEN] });
  // The bridge between the nodes drops what goes to the third and is larger than 1,400 bytes, outer headers included.
  await cluster.underlay.hub.sh(`nft -f - <<'RULES'
    table bridge fault {
      chain forward { type filter hook forward priority 0; oifname "up2" ip length > 1400 drop; }
    }
RULES`);
  const text = await complains(cluster, /node-1 → node-3 .*node-2 → node-3 /s);
  t.match(
    text,
    /node-1 → node-3 default IPv4: packets over 1364 bytes vanish \(MTU black hole\), and pods send up to 1464/,
  );
  t.notMatch(text, /node-3 →/, "the other direction is fine");
  t.match(
    await metrics(cluster, 0),
    /tunnel_probe_failing\{network="default",peer="node-3",family="ipv4",verdict="mtu-black-hole"\} 1/,
  );
  t.match((await cluster.cnictl("describe", "node", "node-1")).stdout, /node-3 .*mtu-black-hole/);
  await cluster.underlay.hub.sh("nft delete table bridge fault");
  await cluster.converged(3);
  t.notMatch(await metrics(cluster, 0), /tunnel_probe_failing\{/);
});

t.test("F10: where tunnel packets do not arrive it says so, and whether the node itself answers", async (t) => {
  const cluster = await startCluster(t, {
    nodes: 2,
    agentFlags: [OFTEN],
    controllerFlags: ["--network-cidr=10.244.0.0/16,fd00:244::/48"],
  });
  const { hub } = cluster.underlay;
  const drop = (what: string) =>
    hub.sh(`nft 'add table bridge fault; add chain bridge fault forward { type filter hook forward priority 0; };
      add rule bridge fault forward iifname "up0" oifname "up1" ${what} drop'`);
  await drop("udp dport 4790");
  const blocked = await complains(cluster, /node-1 → node-2 default IPv4.*\n.*node-1 → node-2 default IPv6/);
  t.match(
    blocked,
    /node-1 → node-2 default IPv6: nothing comes back through the tunnel, but 192\.168\.77\.12 answers ping/,
  );
  t.match(blocked, /let UDP port 4790 pass between 192\.168\.77\.11 and 192\.168\.77\.12/);
  await hub.sh("nft delete table bridge fault");
  await cluster.converged(2);

  await drop("ip daddr 192.168.77.12");
  const down = await complains(cluster, /node-1 → node-2 default IPv4: .*does not answer ping/);
  t.match(down, /is that node down, or the network between the two\?/);
  await hub.sh("nft delete table bridge fault");
  await cluster.converged(2);
});

t.test(
  "F10: a card that spoils checksums inside of tunnels is noticed, and they are finished before it gets them",
  async (t) => {
    const cluster = await startCluster(t, { nodes: 2, agentFlags: [OFTEN] });
    const { hub } = cluster.underlay;
    const [near, far] = await Promise.all([0, 1].map((index) => cluster.addPod(index, `pod-${index}`)));
    const server = far?.pod.spawn([
      process.execPath,
      "-e",
      `require("net").createServer((socket) => socket.end("hello")).listen(8080, "0.0.0.0", () => console.log("up"))`,
    ]);
    await server?.prints(/up/);
    const fetch = () => near?.pod.run(["timeout", "2", "bash", "-c", `cat < /dev/tcp/${far?.addresses[0]}/8080`]);
    t.equal((await fetch())?.stdout, "hello");

    await cluster.agents[0]?.stop(); // tunnels stay, and nobody tests them
    await cluster.node(0).sh("ip link set eth0 gso_max_segs 1");
    await hub.sh(`ip link add card0 type veth peer name card1; ip link set card0 up; ip link set card1 up
    ip link set up0 nomaster; ip link set card1 master under`);
    onDevice(hub, "card1", (index) => setTxChecksum(index, false));
    const wire = fileURLToPath(new URL("broken-offload.main.ts", import.meta.url));
    const card = hub.spawn([process.execPath, `--import=${import.meta.resolve("tsx")}`, wire, "up0", "card0", "4790"]);
    await card.prints(/wired/);

    t.ok(await near?.pod.pings(far?.addresses[0] ?? ""), "ping passes");
    t.equal((await fetch())?.stdout, "", "TCP does not");
    await cluster.startAgent(0);
    await eventually(
      async () => /offload_disabled\{device="pwflow4790"\} 1/.test(await metrics(cluster, 0)),
      "the remedy",
    );
    t.equal(onDevice(cluster.node(0), "pwflow4790", txChecksum), false);
    t.equal(onDevice(cluster.node(0), "eth0", txChecksum), true, "the underlay is the administrator's alone");
    t.equal((await fetch())?.stdout, "hello", "pods' TCP passes again");
    await cluster.converged(2);
    const told = await eventually(async () => {
      const { stdout } = await cluster.cnictl("describe", "node", "node-1");
      return /remedied/.test(stdout) ? stdout : undefined;
    }, "what was done is told");
    t.match(told, /switched off tx checksum offload of pwflow4790/);
    await card.stop();
  },
);

t.test("a peer that runs no agent now is not called broken", async (t) => {
  const cluster = await startCluster(t, { nodes: 2, agentFlags: [OFTEN] });
  await cluster.agents[1]?.stop();
  const results = await eventually(async () => {
    const text = await metrics(cluster, 0);
    return /probes_total\{result="not_probed"\} (?!0|1\b)\d+/.test(text) ? text : undefined;
  }, "two probes of the peer without an agent");
  t.notMatch(results, /tunnel_probe_failing\{|result="failed"/);
  t.notMatch((await cluster.cnictl("status", "node-1")).stderr, /→/);
});

t.test("a firewall on the peer that drops what comes in for its agent is not taken for a broken tunnel", async (t) => {
  const cluster = await startCluster(t, { nodes: 2, agentFlags: [OFTEN] });
  await cluster
    .node(1)
    .sh(`nft 'add table inet strict; add chain inet strict input { type filter hook input priority 0; };
    add rule inet strict input udp dport 7447 drop'`);
  await eventually(
    async () => /probes_total\{result="not_probed"\} [1-9]/.test(await metrics(cluster, 0)),
    "the peer is not probed",
  );
  t.notMatch(await metrics(cluster, 0), /tunnel_probe_failing\{/);
});

t.test("host-gw and direct routes are tested with the nodes' own ends of the pods' subnets", async (t) => {
  const cluster = await startCluster(t, {
    nodes: 2,
    agentFlags: [OFTEN],
    controllerFlags: ["--network-backend=host-gw", "--network-cidr=10.244.0.0/16,fd00:244::/48"],
  });
  await eventually(
    async () => /probes_total\{result="passed"\} [1-9]\d/.test(await metrics(cluster, 0)),
    "many probes pass",
  );
  t.notMatch(await metrics(cluster, 0), /not_probed"\} [1-9]/);
  // What a cloud does that knows nothing of the pods' addresses.
  await cluster.underlay.hub.sh(`nft 'add table bridge fault; add chain bridge fault forward { type filter hook forward priority 0; };
      add rule bridge fault forward ip daddr 10.244.0.0/16 drop'`);
  const text = await complains(cluster, /node-1 → node-2 default IPv4: .*answers ping/);
  t.match(
    text,
    /let packets between 10\.244\.\d\.0\/24 and 10\.244\.\d\.0\/24 pass between 192\.168\.77\.11 and 192\.168\.77\.12/,
  );
  t.notMatch(text, /IPv6/, "the other family is fine");
});

const OTHERS = [
  { backend: "vxlan", mode: "static", largest: 1350 },
  { backend: "gre", mode: "flow", largest: 1376 },
  { backend: "gre", mode: "static", largest: 1372 },
  { backend: "ipip", mode: "flow", largest: 1380 },
] as const;
for (const { backend, mode, largest } of process.env.PODWIRE_TEST_LONG === "1" ? OTHERS : []) {
  t.test(
    `F7: a black hole under ${backend}/${mode}, seen through the tunnel as pods see it`,
    needs(backend),
    async (t) => {
      const cluster = await startCluster(t, {
        nodes: 2,
        agentFlags: [OFTEN],
        controllerFlags: [`--network-backend=${backend}`, `--network-mode=${mode}`],
      });
      await cluster.underlay.hub.sh(`nft 'add table bridge fault; add chain bridge fault forward { type filter hook forward priority 0; };
      add rule bridge fault forward oifname "up1" ip length > 1400 drop'`);
      const text = await complains(cluster, /node-1 → node-2 default IPv4: packets over/);
      t.match(text, new RegExp(`packets over ${largest} bytes vanish`));
      await cluster.underlay.hub.sh("nft delete table bridge fault");
      await cluster.converged(2);
    },
  );
}

t.test("S7: a pod gets no answer from its own node or another one, and learns nothing", async (t) => {
  const cluster = await startCluster(t, { nodes: 2, agentFlags: [OFTEN] });
  const { pod } = await cluster.addPod(0, "curious");
  const ends = await Promise.all([0, 1].map((index) => endOf(cluster, index)));
  for (const node of cluster.nodes) {
    await node.sh(`nft 'add table inet spy; add chain inet spy input { type filter hook input priority 10; };
      add rule inet spy input udp dport 7447 ip saddr { ${ends.join(", ")} } counter comment "nodes";
      add rule inet spy input udp dport 7447 ip saddr != { ${ends.join(", ")} } counter comment "others"'`);
  }
  for (const end of ends) {
    const question = "{ printf pwQ1; head -c 60 /dev/zero; } >&3";
    const talk = `exec 3<>/dev/udp/${end}/7447; ${question}; timeout 1 head -c1 <&3 | wc -c`;
    const asked = await pod.run(["bash", "-c", talk]);
    t.equal(asked.stdout.trim(), "0", `nothing comes back from ${end}: ${asked.stderr}`);
  }
  for (const node of cluster.nodes) {
    const [, others] = await eventually(async () => {
      const rules = await node.sh("nft list chain inet spy input");
      const counts = [...rules.matchAll(/counter packets (\d+)/g)].map(([, count]) => Number(count));
      return (counts[0] ?? 0) > 0 ? counts : undefined;
    }, "questions of the other node arrive");
    t.equal(others, 0, "and nobody else's");
  }
});

function onDevice<T>(node: Node, name: string, work: (index: number) => T): T {
  return inNetns(node.netns, () => {
    using rt = openRoute();
    const link = getLink(rt, name);
    if (link === undefined) throw new Error(`${node.name} has no device ${name}`);
    return work(link.index);
  });
}

/** A node's end of its tunnels. */
async function endOf(cluster: Cluster, index: number): Promise<string> {
  const text = await cluster.node(index).runOk(["ip", "-4", "-o", "address", "show", "dev", "pwflow4790"]);
  return /inet ([\d.]+)/.exec(text)?.[1] ?? "";
}
