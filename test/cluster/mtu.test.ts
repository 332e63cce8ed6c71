import t from "tap";
import { eventually } from "../netns/harness/eventually.ts";
import { lackingFeatures } from "../netns/harness/full-kernel.ts";
import { startCluster } from "./harness/cluster.ts";

/** A network each, and what its tunnels put around a packet. Kinds of devices that a kernel may lack are named. */
const NETWORKS = [
  { name: "default", backend: "vxlan", mode: "flow", headers: "IP 20, UDP 8, VXLAN 8", bytes: 36 },
  { name: "vxlans", backend: "vxlan", mode: "static", headers: "IP 20, UDP 8, VXLAN 8, Ethernet 14", bytes: 50 },
  { name: "gref", backend: "gre", mode: "flow", headers: "IP 20, GRE 4", bytes: 24, kind: "gre" },
  { name: "gres", backend: "gre", mode: "static", headers: "IP 20, GRE 4, key 4", bytes: 28, kind: "gre" },
  { name: "ipipf", backend: "ipip", mode: "flow", headers: "IP 20", bytes: 20, kind: "ipip" },
  { name: "hostgw", backend: "host-gw", mode: undefined, headers: "", bytes: 0 },
] as const;

t.test("F7: in a network of each backend pods, routes and what cnictl says follow the underlay's MTU", async (t) => {
  const cluster = await startCluster(t, { nodes: 2, agentFlags: ["--resync-interval=3600"] });
  const node = cluster.node(0);
  const networks = [];
  for (const [i, network] of NETWORKS.entries()) {
    if ("kind" in network && lackingFeatures().includes(network.kind)) continue;
    networks.push(network);
    const { name, backend, mode } = network;
    if (name === "default") continue;
    const words = ["--cidr", `10.${100 + i}.0.0/16`, "--backend", backend, ...(mode ? ["--mode", mode] : [])];
    t.match(await cluster.cnictl("network", "create", name, ...words), { code: 0 }, name);
  }
  for (const mtu of [1500, 1400, 1500]) {
    await node.sh(`ip link set eth0 mtu ${mtu}`);
    for (const { name, backend, mode, headers, bytes } of networks) {
      const lease = `/run/podwire/networks/${name}.json`;
      await eventually(
        async () =>
          (await node.sh(`grep -q '"mtu": ${mtu - bytes},' ${lease} && grep -q '"ready": true' ${lease}; echo $?`)) ===
          "0\n",
        `${name}: the plugins are told ${mtu - bytes}`,
      );
      const sum = backend === "host-gw" ? "(plain route)" : `− ${bytes} (${backend} ${mode} over IPv4: ${headers})`;
      const told = await eventually(
        async () => {
          const { stdout } = await cluster.cnictl("describe", "network", name);
          return stdout.includes(`node-1   ${mtu - bytes} = underlay eth0 ${mtu} ${sum}`) ||
            stdout.includes(`node-1,node-2   ${mtu - bytes} = underlay eth0 ${mtu} ${sum}`)
            ? stdout
            : undefined;
        },
        `${name}: cnictl says ${mtu - bytes} = underlay eth0 ${mtu} ${sum}`,
      );
      t.match(told, `Backend:         ${mode ? `${backend}/${mode}` : backend}\n`);

      const list = { cniVersion: "1.1.0", name, plugins: [{ type: "vxlan-overlay" }] };
      const pod = await node.pod("pod");
      const added = await node.runtime.add(list, pod);
      const { interfaces } = added.json as { interfaces: { mtu: number }[] };
      t.equal(interfaces.at(-1)?.mtu, mtu - bytes, `${name}: a new pod has it`);
      const network = NETWORKS.findIndex((each) => each.name === name);
      const cidr = name === "default" ? "10.244" : `10.${100 + network}`;
      const routes = await node.runOk(["ip", "route", "show", "proto", "112", "root", `${cidr}.0.0/16`]);
      if (mode === "flow" || backend === "gre")
        t.match(routes, new RegExp(` mtu ${mtu - bytes}\\b`), `${name}: its route`);
      if (name === "vxlans") t.match(await node.sh("ip link show pwvx1"), `mtu ${mtu - bytes} `);
      await node.runtime.del(list, pod);
    }
  }
});
