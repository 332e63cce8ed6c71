import t from "tap";
import { VERSIONS } from "../../cni/version.ts";
import { type Attached, attach, result } from "./bridge-fixture.ts";
import { BIN, type Called, type Node, startNode } from "./harness/node.ts";
import type { Pod } from "./harness/pod.ts";

const SBR = { type: "sbr", cniVersion: "1.1.0", name: "second" } as const;

interface Network {
  readonly name: string;
  readonly ifName: string;
  /** Second byte of its IPv4 subnet, last group of its IPv6 one. */
  readonly number: number;
}

const FIRST: Network = { name: "first", ifName: "eth0", number: 22 };
const SECOND: Network = { name: "second", ifName: "net1", number: 23 };

/** An interface on a bridge of its own, with a gateway of each family and a default route by it. */
function joinNetwork(node: Node, pod: Pod, { name, ifName, number }: Network, cniVersion = "1.1.0"): Promise<Attached> {
  const ranges = [[{ subnet: `10.${number}.0.0/24` }], [{ subnet: `fd00:${number}::/64` }]];
  const routes = [{ dst: "198.51.100.0/24", gw: `10.${number}.0.9` }];
  const ipam = { type: "host-local", ranges, routes };
  const conf = { type: "bridge", cniVersion, name, bridge: name, isDefaultGateway: true, ipam };
  return attach(node, pod, conf, { CNI_IFNAME: ifName });
}

/** A pod with two interfaces, the second of which is to be routed by source. */
async function twoLegged(node: Node, cniVersion = "1.1.0"): Promise<{ pod: Pod; prevResult: Attached }> {
  const pod = await node.pod("pod");
  await node.runtime.loopback(pod);
  await joinNetwork(node, pod, FIRST, cniVersion);
  return { pod, prevResult: await joinNetwork(node, pod, SECOND, cniVersion) };
}

function call(node: Node, verb: "ADD" | "DEL" | "CHECK", pod: Pod, keys: object): Promise<Called> {
  return node.cni(verb, pod, { ...SBR, ...keys }, { CNI_IFNAME: SECOND.ifName });
}

/** Rules and routes of all tables, but for what the kernel has for addresses and links. */
async function routing(pod: Pod): Promise<string> {
  const text = await pod.runOk([
    "sh",
    "-c",
    "for f in -4 -6; do ip $f rule; for t in main $(seq 99 104); do ip $f route show table $t 2>/dev/null | sed s/^/$t:/; done; done",
  ]);
  const plain = text.replace(/ (pref medium|linkdown|proto 112)\b/g, "").replace(/[ \t]+/g, " ");
  const lines = plain.split("\n").map((line) => line.trim());
  return lines.filter((line) => line !== "" && !/fe80::|lookup (local|main|default)$/.test(line)).join("\n");
}

const sourceOf = async (pod: Pod, words: string) =>
  /dev \S+/.exec(await pod.runOk(["sh", "-c", `ip route get ${words}`]))?.[0];

t.test("what comes from the interface's addresses goes by its own routes, and the rest by the others", async (t) => {
  const node = await startNode(t);
  const { pod, prevResult } = await twoLegged(node);
  const before = await routing(pod);
  const added = await call(node, "ADD", pod, { prevResult });
  t.match(added.json, prevResult, "prevResult is passed on");
  t.equal(
    await routing(pod),
    `32765: from 10.23.0.2 lookup 100
main:default via 10.22.0.1 dev eth0
main:10.22.0.0/24 dev eth0 proto kernel scope link src 10.22.0.2
main:198.51.100.0/24 via 10.22.0.9 dev eth0
100:default via 10.23.0.1 dev net1
100:10.23.0.0/24 dev net1 proto kernel scope link src 10.23.0.2
100:198.51.100.0/24 via 10.23.0.9 dev net1
32765: from fd00:23::2 lookup 101
main:fd00:22::/64 dev eth0 proto kernel metric 256
main:default via fd00:22::1 dev eth0 metric 1024
101:fd00:23::/64 dev net1 proto kernel metric 256
101:default via fd00:23::1 dev net1 metric 1024`,
  );
  t.match(await pod.runOk(["ip", "rule"]), /from 10\.23\.0\.2 lookup 100 proto 112/, "marked as ours");
  t.match(await pod.runOk(["ip", "-6", "route"]), /fe80::\/64 dev net1/, "link-local addresses are reached still");
  const ways = ["192.0.2.1 from 10.23.0.2", "192.0.2.1", "2001:db8::1 from fd00:23::2", "2001:db8::1"];
  const links = await Promise.all(ways.map((way) => sourceOf(pod, way)));
  t.strictSame(links, ["dev net1", "dev eth0", "dev net1", "dev eth0"]);
  t.equal((await pod.run(["ping", "-c1", "-W10", "-I", "10.23.0.2", "10.23.0.1"])).code, 0);

  const check = () => call(node, "CHECK", pod, { prevResult });
  t.equal((await check()).stdout, "");
  await pod.runOk(["sh", "-c", "ip rule del from 10.23.0.2; ip -6 route del default table 101"]);
  t.match((await check()).json, {
    code: 100,
    msg: /rule from 10\.23\.0\.2: want a table, have none; default route of table 101: want fd00:23::1, have none$/,
  });
  for (const round of ["once", "twice"]) {
    t.equal((await call(node, "DEL", pod, { prevResult })).stdout, "", round);
    t.notMatch(await routing(pod), /^\d+:.*lookup/m);
  }
  t.match(before, /^main:default via 10\.23/m, "which was so before");
});

t.test("DEL puts the interface's routes back where they were", async (t) => {
  const node = await startNode(t);
  const { pod, prevResult } = await twoLegged(node);
  const before = await routing(pod);
  result(await call(node, "ADD", pod, { prevResult }));
  t.not(await routing(pod), before);
  t.equal((await call(node, "DEL", pod, {})).stdout, "");
  t.equal(await routing(pod), before);
});

t.test("table, gateways and addSourceHints", async (t) => {
  const node = await startNode(t);
  const { pod, prevResult } = await twoLegged(node);
  const before = await routing(pod);
  await call(node, "ADD", pod, { prevResult, table: 5001 });
  const rules = "32765: from 10.23.0.2 lookup 5001\n";
  t.equal(
    await routing(pod),
    `${rules}${before.replace(/^main:(default|fd).*metric/m, "32765: from fd00:23::2 lookup 5001\n$&")}`,
    "routes stay",
  );
  t.equal((await call(node, "CHECK", pod, { prevResult, table: 5001 })).stdout, "");
  t.match((await call(node, "CHECK", pod, { prevResult, table: 5002 })).json, {
    code: 100,
    msg: /want 5002, have 5001/,
  });
  await call(node, "DEL", pod, { table: 5001 });
  t.equal(await routing(pod), before, "DEL without prevResult");

  const added = await call(node, "ADD", pod, {
    prevResult,
    gateways: ["10.23.0.77", "fd00:23::77"],
    addSourceHints: true,
  });
  t.equal(added.code, 0, added.stdout);
  t.equal(
    (await routing(pod)).replace(/^main:.*(eth0).*\n/gm, ""),
    `32765: from 10.23.0.2 lookup 100
main:10.23.0.0/24 dev net1 scope link src 10.23.0.2
100:default via 10.23.0.77 dev net1
100:10.23.0.0/24 dev net1 proto kernel scope link src 10.23.0.2
100:198.51.100.0/24 via 10.23.0.9 dev net1
32765: from fd00:23::2 lookup 101
main:fd00:23::/64 dev net1 src fd00:23::2 metric 1024
101:fd00:23::/64 dev net1 proto kernel metric 256
101:default via fd00:23::77 dev net1 metric 1024`,
  );
  t.equal(await sourceOf(pod, "10.23.0.9"), "dev net1", "without a source, too");
});

t.test("a failed ADD leaves all as it was", async (t) => {
  const node = await startNode(t);
  const { pod, prevResult } = await twoLegged(node);
  const before = await routing(pod);
  const rows: readonly [keys: object, answer: object][] = [
    [
      { gateways: ["10.23.0.1", "fd00:99::1"] },
      { code: 7, msg: /^sbr of net1 is refused by the kernel: RTM_NEWROUTE/ },
    ],
    [{ gateways: ["10.23.0.1", "10.23.0.2"] }, { code: 7, msg: /^gateways: .* both of IPv4/ }],
    [{ gateways: ["nonsense"] }, { code: 7, msg: /^gateways\[0\]/ }],
    [{ table: 0 }, { code: 7, msg: /^table: 0/ }],
    [{ prevResult: { ...prevResult, ips: [] } }, { code: 7, msg: /^prevResult\.ips: none is of net1/ }],
    [{ prevResult: undefined }, { code: 7, msg: /^prevResult is missing/ }],
  ];
  for (const [keys, answer] of rows) {
    t.match((await call(node, "ADD", pod, { prevResult, ...keys })).json, answer);
    t.equal(await routing(pod), before, JSON.stringify(keys));
  }
  t.match(
    (
      await node.cni(
        "ADD",
        pod,
        { ...SBR, prevResult: { ips: prevResult.ips.map(({ address }) => ({ address })) } },
        { CNI_IFNAME: "net9" },
      )
    ).json,
    { code: 4 },
  );
});

t.test("P3, P5: DEL needs neither namespace nor interface nor prevResult", async (t) => {
  const node = await startNode(t);
  const [gone, bare] = [await twoLegged(node), await twoLegged(node)];
  for (const { pod, prevResult } of [gone, bare]) result(await call(node, "ADD", pod, { prevResult }));
  await bare.pod.runOk(["ip", "rule", "add", "from", "192.0.2.9", "table", "100"]);
  await bare.pod.runOk(["ip", "link", "del", "net1"]);
  t.equal((await call(node, "DEL", bare.pod, { table: "wrong" })).stdout, "");
  t.match(await routing(bare.pod), /^32764: from 192\.0\.2\.9 lookup 100\nmain:/, "somebody else's rule stays");
  t.notMatch(await routing(bare.pod), /from fd00/);
  await gone.pod.deleteNetns();
  t.equal((await call(node, "DEL", gone.pod, {})).stdout, "");
  t.equal((await node.cni("DEL", gone.pod, SBR, { CNI_NETNS: "" })).stdout, "");
});

t.test("every version of the specification, GC and STATUS", async (t) => {
  const node = await startNode(t);
  const { pod, prevResult } = await twoLegged(node);
  const { interfaces, ips, routes } = prevResult;
  for (const cniVersion of VERSIONS) {
    const typed = ips.map((ip) =>
      cniVersion < "1.0.0" ? { version: ip.address.includes(":") ? "6" : "4", ...ip } : ip,
    );
    const old = { ip4: { ip: "10.23.0.2/24", gateway: "10.23.0.1" } };
    const told = cniVersion < "0.3.0" ? old : { interfaces, ips: typed, routes };
    const called = await call(node, "ADD", pod, { cniVersion, table: 500, prevResult: told });
    t.match(called.json, { cniVersion, ...(cniVersion < "0.3.0" ? old : { ips: typed }) });
    t.match(await pod.runOk(["ip", "rule"]), /from 10\.23\.0\.2 lookup 500/);
    t.equal((await call(node, "DEL", pod, { cniVersion, prevResult: told })).stdout, "");
  }
  for (const verb of ["GC", "STATUS"] as const)
    t.equal((await node.runtime.call(verb, undefined, { ...SBR, "cni.dev/valid-attachments": [] })).stdout, "");
});

/** That one copies IPv6 routes into IPv4 addresses' tables too, and leaves the interface's path of a default route with others. */
const V6_ROUTE = /^(main|\d+):(fd00|default metric| nexthop|default via fd00)/;

/** One ADD by the sbr of a folder. */
async function routedBy(node: Node, folder: string): Promise<{ answer: unknown; routing: string; codes: number[] }> {
  const { pod, prevResult } = await twoLegged(node, "1.0.0");
  const [PATH, conf] = [process.env.PATH ?? "", { ...SBR, cniVersion: "1.0.0", prevResult }];
  const env = { PATH, CNI_PATH: folder, CNI_CONTAINERID: pod.containerId, CNI_NETNS: pod.netns, CNI_IFNAME: "net1" };
  const run = (command: string) =>
    node.run([`${folder}/sbr`], { input: JSON.stringify(conf), env: { ...env, CNI_COMMAND: command } });
  const added = await run("ADD");
  const after = await routing(pod);
  const deleted = await run("DEL");
  const text = added.stdout
    .replaceAll(pod.containerId, "CONTAINER")
    .replace(/"([0-9a-f]{2}:){5}[0-9a-f]{2}"/g, '"MAC"')
    .replace(/"(veth|pw)[0-9a-f]+"/g, '"HOST"');
  const { dns: _empty, ...answer } = JSON.parse(text);
  const left = (await routing(pod)).split("\n").filter((line) => line.includes("lookup"));
  const lines = [...after.split("\n"), ...left].filter((line) => !V6_ROUTE.test(line));
  return { answer, routing: lines.join("\n"), codes: [added.code, deleted.code] };
}

t.test("the reference plugin 1.1.1 answers and sets up the same", async (t) => {
  const [ours, theirs] = await Promise.all(
    [BIN, "/usr/lib/cni"].map(async (folder) => await routedBy(await startNode(t), folder)),
  );
  t.strictSame(ours, theirs);
});
