import { startCluster } from "../test/cluster/harness/cluster.ts";

const work: (() => unknown)[] = [];
const owner = { teardown: (w: () => unknown) => void work.unshift(w) };
const c = await startCluster(owner as never, { nodes: 3, controllerFlags: [] });
const say = async (...w: string[]) => {
  const r = await c.cnictl(...w);
  console.log(`$ cnictl ${w.join(" ")}\n${r.stdout}${r.stderr}`);
};
const on = async (line: string) => console.log(`node-1# ${line}\n${await c.node(0).sh(`${line} || true`)}`);
await say("network", "create", "shop", "--cidr", "10.60.0.0/16", "--backend", "vxlan", "--mode", "static");
await say("network", "create", "lab", "--cidr", "10.61.0.0/16,fd00:61::/48", "--backend", "gre");
await say("network", "create", "direct", "--cidr", "10.65.0.0/16", "--backend", "gre", "--direct-routing");
await c.cnictl("status", "--wait", "60s");
await on("ip route show proto 112 root 10.60.0.0/16");
await on("ip route show proto 112 root 10.61.0.0/16");
await on("ip route show proto 112 root 10.65.0.0/16");
await on("ip neighbour show dev pwvx1; bridge fdb show dev pwvx1");
await say("describe", "network", "direct");
await say("describe", "node", "node-1");
for (const w of work) await w();
process.exit(0);
