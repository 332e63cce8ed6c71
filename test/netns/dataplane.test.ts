import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import t, { type Test } from "tap";
import type { PassReport } from "../../agent/pass.ts";
import type { Wish } from "./dataplane-passes.main.ts";
import { eventually } from "./harness/eventually.ts";
import { type Node, startNode } from "./harness/node.ts";

const PROGRAM = join(dirname(fileURLToPath(import.meta.url)), "dataplane-passes.main.ts");
const BACKENDS = ["flow", "static", "host-gw"] as const;
const DEVICES = { flow: "pwflow4790", static: "pwvx1" } as const;
const PEERS = [
  { subnet: "10.244.2.0/24", address: "192.0.2.2" },
  { subnet: "fd00:244:0:2::/64", address: "192.0.2.2" },
  { subnet: "10.244.3.0/24", address: "192.0.2.3" },
];
const DUAL_PEERS = PEERS.map((peer) => (peer.subnet.includes(":") ? { ...peer, address: "2001:db8::2" } : peer));

async function nodeWithUnderlay(t: Test): Promise<Node> {
  const node = await startNode(t);
  await node.sh(`sysctl -qw net.ipv6.conf.default.addr_gen_mode=1 net.ipv6.conf.all.forwarding=1 net.ipv4.ip_forward=1; ip link add eth0 type veth peer name wire; ip link set eth0 up; ip link set wire up
    ip address add 192.0.2.1/24 dev eth0; ip address add 2001:db8::1/64 dev eth0 nodad`);
  return node;
}

async function passes(node: Node, wish: Partial<Wish>): Promise<PassReport[]> {
  // nsenter leaves the working folder, from which "tsx" alone would be found.
  const argv = [process.execPath, `--import=${import.meta.resolve("tsx")}`, PROGRAM];
  return JSON.parse(await node.runOk(argv, { input: JSON.stringify({ peers: PEERS, passes: 1, ...wish }) }));
}

async function onePass(node: Node, wish: Partial<Wish>): Promise<PassReport> {
  const [report] = await passes(node, wish);
  if (report === undefined) throw new Error("no report");
  return report;
}

/** All but our own nft table, which stays, empty, when there is nothing to say. */
async function withoutOurTable(node: Node): Promise<string> {
  return (await node.snapshot()).replace(/table inet podwire \{\n([\s\S]*?\n)??\}\n?/, "").replace(/\n+/g, "\n");
}

const peersFor = (backend: string) => (backend === "host-gw" ? DUAL_PEERS : PEERS);

for (const backend of BACKENDS) {
  t.test(`S15: ${backend}: what is not ours survives, and a network's removal takes exactly ours`, async (t) => {
    const node = await nodeWithUnderlay(t);
    await node.sh(`ip route add 10.99.0.0/16 via 192.0.2.9; ip -6 route add fd99::/48 via 2001:db8::9
      ip route add 10.244.77.0/24 via 192.0.2.9 proto static
      ip route add 10.244.2.0/24 dev eth0 metric 7; ip route add 10.98.0.0/16 via 192.0.2.9 table 77
      ip rule add from 10.98.0.0/16 lookup 77
      ip neighbour add 192.0.2.9 lladdr 02:00:00:00:00:09 nud permanent dev eth0
      ip link add vx7 type vxlan id 7 dstport 7777 local 192.0.2.1; ip link set vx7 up
      bridge fdb append 02:00:00:00:00:07 dev vx7 dst 192.0.2.7
      ip neighbour add 10.244.2.9 lladdr 02:00:00:00:00:07 nud permanent dev vx7
      ip route add 10.97.0.0/16 dev vx7
      nft add table inet other; nft add chain inet other c; nft add rule inet other c counter
      nft add table ip podwire-like`);
    const before = await withoutOurTable(node);
    const made = await onePass(node, { backend, peers: peersFor(backend) });
    t.strictSame(made.failures, []);
    t.ok(made.changes.added > 3);
    const during = await withoutOurTable(node);
    const lost = before.split("\n").filter((line) => !line.startsWith("#") && !during.split("\n").includes(line));
    t.strictSame(lost, [], "every line of before is still there");
    t.match(during, /10\.244\.2\.0\/24 .*proto 112/);

    const fewer = await onePass(node, { backend, peers: peersFor(backend).slice(0, 2) });
    t.equal(fewer.changes.added, 0);
    t.notMatch(await withoutOurTable(node), /10\.244\.3\.0\/24/);

    const removed = await onePass(node, { peers: [] });
    t.strictSame(removed.failures, []);
    t.equal(await withoutOurTable(node), before);
  });

  t.test(`${backend}: a pass that finds all as desired sends no writing message`, async (t) => {
    const node = await nodeWithUnderlay(t);
    const wish = { backend, peers: peersFor(backend) };
    await onePass(node, wish);
    const watches = [node.spawn(["ip", "monitor", "all"]), node.spawn(["nft", "monitor"])];
    // A change of our own before and after tells that both monitors listen and have said everything.
    const mark = async (name: string) => {
      const number = name === "begin" ? 1 : 2;
      await eventually(async () => {
        await node.sh(
          `ip route add 198.51.100.${number}/32 dev eth0; ip route del 198.51.100.${number}/32 dev eth0
           nft add table inet ${name}; nft delete table inet ${name}`,
        );
        return (
          watches.every(
            ({ output }) => output.includes(number === 1 ? "198.51.100.1" : "198.51.100.2") || output.includes(name),
          ) || undefined
        );
      }, `both monitors say ${name}`);
    };
    await mark("begin");
    const reports = await passes(node, { ...wish, passes: 3 });
    await mark("end");
    t.strictSame(
      reports.map(({ changes, failures }) => ({ ...changes, failures })),
      Array(3).fill({ added: 0, changed: 0, removed: 0, failures: [] }),
    );
    const said = watches.flatMap(({ output }) => output.split("\n").slice(0, -1));
    // Whenever it likes, the kernel forgets neighbours that it has learned itself.
    const learned = /\b(NOARP|STALE|DELAY|PROBE|REACHABLE|FAILED|INCOMPLETE)\b/;
    const ours = /198\.51\.100\.|table inet (begin|end)|^# new generation|^$/;
    const noise = said.filter((line) => !ours.test(line) && !learned.test(line));
    t.strictSame(noise, []);
  });
}

for (const backend of ["flow", "static"] as const) {
  const device = DEVICES[backend];
  for (const [kind, command] of [
    ["vxlan", `ip link add ${device} type vxlan id 9 dstport 9999 local 192.0.2.1`],
    ["bridge", `ip link add ${device} type bridge`],
    ["veth", `ip link add ${device} type veth peer name other-end`],
  ] as const) {
    t.test(
      `S15: ${backend}: a foreign ${kind} with our tunnel's name is left alone, and a sentence says so`,
      async (t) => {
        const node = await nodeWithUnderlay(t);
        await node.sh(`${command}; ip link set ${device} up; ip address add 203.0.113.1/24 dev ${device}`);
        const before = await node.sh(
          `ip -d link show ${device}; ip address show ${device}; bridge fdb show dev ${device}`,
        );
        const { failures, leases } = await onePass(node, { backend });
        const sentence = `device ${device} exists and is not ours (kind ${kind}); remove or rename it`;
        t.match(failures[0], sentence);
        t.match(leases, [{ network: "a", state: "held", ready: false, reason: new RegExp(device) }]);
        const after = await node.sh(
          `ip -d link show ${device}; ip address show ${device}; bridge fdb show dev ${device}`,
        );
        t.equal(after.replace(/\S+_timer +\S+/g, ""), before.replace(/\S+_timer +\S+/g, ""));
        t.equal(await node.sh(`ip route show proto 112 dev ${device}; ip -6 route show proto 112 dev ${device}`), "");
        t.equal(await node.sh(`ip neighbour show dev ${device} nud permanent`), "");

        await node.sh(`ip link del ${device}`);
        t.strictSame((await onePass(node, { backend })).failures, [], "and once it is gone, ours is made");
      },
    );
  }
}

t.test("S15: a foreign route to a peer's subnet is not replaced: a sentence names it", async (t) => {
  const node = await nodeWithUnderlay(t);
  await node.sh(`ip route add 10.244.2.0/24 via 192.0.2.9 proto static
    ip -6 route add fd00:244:0:2::/64 via 2001:db8::9 proto static`);
  const { failures } = await onePass(node, { backend: "flow" });
  t.match(failures, [
    /route 10\.244\.2\.0\/24 .*not ours is there already \(protocol 4\); see "ip route show 10\.244\.2\.0\/24"/,
    /route fd00:244:0:2::\/64 .*not ours/,
  ]);
  t.match(await node.sh("ip route show 10.244.2.0/24"), /via 192\.0\.2\.9 .*proto static/);
  t.match(await node.sh("ip route show 10.244.3.0/24"), /encap ip/, "the others are routed");
});

t.test("the bridge of a subnet that this node held before does not hide the node that holds it now", async (t) => {
  const node = await nodeWithUnderlay(t);
  await node.sh(`ip link add cni9 type bridge; ip link set cni9 alias "podwire bridge net=a"; ip link set cni9 up
    ip address add 10.244.2.1/24 dev cni9`);
  const { failures } = await onePass(node, { backend: "flow" });
  t.strictSame(failures, []);
  t.match(await node.sh("ip route show 10.244.2.0/24"), /encap ip .*proto 112/);
});
