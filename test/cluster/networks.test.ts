import { existsSync } from "node:fs";
import t from "tap";
import { eventually } from "../netns/harness/eventually.ts";
import { startCluster, type WiredPod } from "./harness/cluster.ts";

t.test(
  "several networks: made and deleted while the cluster runs, each with its own subnets, tunnels and pods",
  async (t) => {
    const cluster = await startCluster(t, { nodes: 2 });
    const admin = async (...args: readonly string[]) => {
      const { code, stdout, stderr } = await cluster.cnictl(...args);
      t.equal(code, 0, `cnictl ${args.join(" ")}: ${stdout}${stderr}`);
    };
    await admin("network", "create", "blue", "--cidr", "10.99.0.0/16,fd99::/56", "--mode", "static", "--vni", "7");
    const lease = "/run/podwire/networks/blue.json";
    for (const node of cluster.nodes) {
      await eventually(
        async () => (await node.run(["grep", "-q", '"ready": true', lease])).code === 0 || undefined,
        "the lease",
      );
    }
    const blue = { cniVersion: "1.0.0", name: "blue", plugins: [{ type: "vxlan-overlay" }] };
    const pods: WiredPod[] = [];
    for (const node of cluster.nodes) {
      const pod = await node.pod("blue");
      const { json } = await node.runtime.add(blue, pod);
      const ips = (json?.ips ?? []) as readonly { readonly address: string }[];
      pods.push({ pod, addresses: ips.map(({ address }) => address.slice(0, address.indexOf("/"))) });
    }
    const plain = await cluster.addPod(1, "plain");
    const [here, there] = pods;
    t.match(there?.addresses, [/^10\.99\./, /^fd99:/]);
    for (const address of there?.addresses ?? []) t.ok(await here?.pod.pings(address), `blue to blue: ${address}`);
    t.ok(await here?.pod.pings(plain.addresses[0] ?? ""), "networks reach each other by way of the nodes");
    t.match(await cluster.node(0).runOk(["ip", "-d", "link", "show", "pwvx7"]), /vxlan id 7 .*dstport 8472/);

    await eventually(async () => {
      const { stdout: told } = await cluster.cnictl("get", "pods", "-o", "json");
      return pods.every(({ pod }) => told.includes(pod.containerId));
    }, "the controller hears of the pods");
    const refused = await cluster.cnictl("network", "delete", "blue");
    t.not(refused.code, 0, "not while it has pods");
    t.match(refused.stderr, /pod/);
    for (const [i, { pod }] of pods.entries()) await cluster.node(i).runtime.del(blue, pod);
    await eventually(
      async () => (await cluster.cnictl("network", "delete", "blue")).code === 0 || undefined,
      "deletion",
    );
    for (const node of cluster.nodes) {
      const gone = async () =>
        !(await node.sh("ip link; ip route; ip -6 route")).match(/pwvx7|10\.99\.|fd99:/) || undefined;
      await eventually(async () => (existsSync(node.path(lease)) ? undefined : await gone()), "nothing of it stays");
      t.match(await node.runOk(["ip", "link"]), /pwflow4790/, "the other network's does");
    }
  },
);
