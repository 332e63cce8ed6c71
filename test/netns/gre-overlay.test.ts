import { mkdirSync, writeFileSync } from "node:fs";
import t, { type Test } from "tap";
import { type Attached, addressOf, attach, collect, detach, result } from "./bridge-fixture.ts";
import { lackingFeatures, needs } from "./harness/full-kernel.ts";
import { type Node, startNode } from "./harness/node.ts";
import type { Pod } from "./harness/pod.ts";
import { startUnderlay, type Underlay } from "./harness/underlay.ts";

const CONF = { type: "gre-overlay", cniVersion: "1.1.0", name: "over" } as const;
const FOLDER = "/run/podwire/networks";
const LEASE = {
  network: "over",
  state: "held",
  ready: true,
  subnets: ["10.244.5.0/24", "fd00:244:0:5::/64"],
  cidrs: ["10.244.0.0/16", "fd00:244::/48"],
  mtu: 1476,
};

/** What the agent writes. */
function writeLease(node: Node, lease: object = LEASE): void {
  mkdirSync(node.path(FOLDER), { recursive: true, mode: 0o700 });
  writeFileSync(node.path(`${FOLDER}/over.json`), JSON.stringify(lease), { mode: 0o600 });
}

const status = (node: Node, conf: object) => node.runtime.call("STATUS", undefined, conf);

for (const cniVersion of ["0.3.1", "0.4.0", "1.0.0", "1.1.0"] as const) {
  t.test(`P17, F7: with an agent's lease, CNI ${cniVersion}: all its verbs; the MTU is said since 1.1.0`, async (t) => {
    const node = await startNode(t);
    writeLease(node);
    const conf = { ...CONF, cniVersion };
    const pod = await node.pod("pod");
    const version = await node.cni("VERSION", pod, conf);
    t.match(version, { code: 0, json: { cniVersion, supportedVersions: /0\.3\.1.*1\.1\.0/ } });
    const added = result(await node.cni("ADD", pod, conf));
    t.match(added, { cniVersion, ips: [{ address: "10.244.5.2/24" }, { address: "fd00:244:0:5::2/64" }] });
    const said = cniVersion === "1.1.0" ? LEASE.mtu : undefined;
    t.strictSame(
      added.interfaces.map(({ mtu }) => mtu),
      [said, said, said],
      "of the bridge, of the host's end and of the pod's",
    );
    const { mtu } = JSON.parse(await pod.runOk(["ip", "-j", "link", "show", "eth0"]))[0];
    t.equal(mtu, LEASE.mtu, "and it is so");
    t.ok(await pod.pings("10.244.5.1"));
    if (cniVersion !== "0.3.1") t.match(await node.cni("CHECK", pod, { ...conf, prevResult: added }), { code: 0 });
    if (cniVersion === "1.1.0") {
      t.match(await status(node, conf), { code: 0, stdout: "" });
      t.match(await collect(node, [pod], conf), { code: 0, stdout: "" });
      t.match(await node.cni("CHECK", pod, { ...conf, prevResult: added }), { code: 0 }, "GC left it alone");
      t.match(await collect(node, [], conf), { code: 0, stdout: "" });
      t.notMatch(await node.runOk(["ip", "-br", "link"]), /^pw/m, "GC took the pod's link and the bridge");
    }
    for (const what of ["once", "twice"]) t.match(await node.cni("DEL", pod, conf), { code: 0, stdout: "" }, what);
    t.notMatch(await node.runOk(["ip", "-br", "link"]), /^pw[0-9a-f]{12}/m);
  });
}

t.test("without a lease: ADD 11, STATUS 50, each with the reason; DEL and GC do not mind", async (t) => {
  const node = await startNode(t);
  const pod = await node.pod("pod");
  const msg = /no subnet in network "over" yet.*is podwire-agent running/;
  t.match((await node.cni("ADD", pod, CONF)).json, { code: 11, msg });
  t.match((await status(node, CONF)).json, { code: 50, msg });
  t.match(await node.cni("DEL", pod, CONF), { code: 0, stdout: "" });
  t.match(await collect(node, [], CONF), { code: 0, stdout: "" });
});

t.test("a pod of one name is checked and removed under the other: they differ in what a mesh is of", async (t) => {
  const node = await startNode(t);
  writeLease(node);
  const other = { ...CONF, type: "vxlan-overlay" };
  for (const [from, to] of [
    [CONF, other],
    [other, CONF],
  ] as const) {
    const [pod, more] = [await node.pod("pod"), await node.pod("more")];
    const prevResult = await attach(node, pod, from);
    const second = await attach(node, more, to);
    t.ok(await pod.pings(addressOf(second, 4)), "they are on one bridge");
    t.match(await node.cni("CHECK", pod, { ...to, prevResult }), { code: 0, stdout: "" });
    await detach(node, pod, to);
    await detach(node, more, from);
    t.notMatch(await node.runOk(["ip", "-br", "link"]), /^pw[0-9a-f]{12}/m);
    t.equal(await node.sh("ls /var/lib/cni/networks/over | grep -c '^10\\|^fd' || true"), "0\n");
  }
});

// A mesh, which the plugin itself makes.

const subnet4 = (i: number) => `10.244.${i + 1}.0/24`;
const subnet6 = (i: number) => `fd00:244:0:${i + 1}::/64`;

const UNDERLAYS = {
  IPv4: { addresses: [4], kind: "gre", mtu: { flow: 1476, static: 1472 } },
  IPv6: { addresses: [6], kind: "ip6gre", mtu: { flow: 1456, static: 1452 } },
} as const;
type Over = keyof typeof UNDERLAYS;
/** Without it one mesh: an emulated processor is slow. */
const LONG = process.env.PODWIRE_TEST_LONG === "1";

function meshConf(underlay: Underlay, over: Over, count: number, mesh: object = {}) {
  const peers = [...Array(count).keys()].flatMap((i) => {
    const publicIP = underlay.addressesOf(i)[over === "IPv4" ? 0 : 1];
    return [subnet4(i), subnet6(i)].map((subnet) => ({ subnet, publicIP, node: `n${i}` }));
  });
  return { ...CONF, name: "mesh", mesh: { peers, ...mesh } };
}

/** What there is of the mesh, the rules and the tunnels of the three kinds. */
const made = (node: Node) =>
  node.sh("ip -d link show type gre; ip -d link show type ip6gre; ip route show proto 112; ip -6 route show proto 112");

interface Wired {
  readonly node: Node;
  readonly pod: Pod;
  readonly result: Attached;
}

async function allPing(t: Test, wired: readonly Wired[], mtu: number): Promise<void> {
  for (const from of wired) {
    for (const to of wired.filter((each) => each !== from)) {
      for (const [family, headers] of [
        [4, 28],
        [6, 48],
      ] as const) {
        const address = addressOf(to.result, family);
        const { code } = await from.pod.run(["ping", "-qc1", "-W30", "-Mdo", "-s", String(mtu - headers), address]);
        t.equal(code, 0, `${from.node.name} pings ${address} on ${to.node.name} with ${mtu} bytes`);
      }
    }
  }
}

for (const mode of ["flow", "static"] as const) {
  for (const over of Object.keys(UNDERLAYS) as Over[]) {
    if (!LONG && (mode === "flow" || over === "IPv4")) continue;
    const { kind, mtu } = UNDERLAYS[over];
    const name = `mesh, ${mode} over ${over}: pods of both families on three nodes, no agent, no controller`;
    t.test(name, needs(kind), async (t) => {
      const underlay = await startUnderlay(t, 3);
      const [first] = underlay.nodes as [Node];
      const conf = meshConf(underlay, over, 3, { mode });
      const wired = await Promise.all(
        underlay.nodes.map(async (node) => {
          const pod = await node.pod("pod");
          return { node, pod, result: await attach(node, pod, conf) };
        }),
      );
      t.match(wired[0]?.result.interfaces.at(-1), { name: "eth0", mtu: mtu[mode] });
      await allPing(t, wired, mtu[mode]);
      const device = new RegExp(mode === "flow" ? `dev pwgre${over === "IPv4" ? 4 : 6} ` : "dev pwg[0-9a-f]{12} ");
      t.match(await first.runOk(["ip", "route", "show", "10.244.2.0/24"]), device);
      t.match(await first.runOk(["nft", "list", "table", "inet", "podwire"]), /mesh_\w+_tunnel/, "guarded");

      const before = await made(first);
      const other = await first.pod("other");
      await attach(first, other, conf);
      await detach(first, other, conf);
      t.equal(await made(first), before, "a second pod changes nothing of the mesh");
      const own = wired[0] as Wired;
      t.match(await first.cni("CHECK", own.pod, { ...conf, prevResult: own.result }), { code: 0, stdout: "" });
      t.match(await status(first, conf), { code: 0, stdout: "" });

      const smaller = meshConf(underlay, over, 2, { mode });
      await attach(first, await first.pod("late"), smaller);
      t.notMatch(await made(first), /10\.244\.3\.|fd00:244:0:3::/, "a peer that left the list has no route");
      t.ok(await own.pod.pings(addressOf((wired[1] as Wired).result, 4)), "the others stay");
      t.match(await collect(first, [], conf), { code: 0, stdout: "" });
      t.notMatch(
        await first.runOk(["ip", "-br", "link"]),
        /^pw[0-9a-f]{12}|^pw-/m,
        "GC leaves tunnel and routes alone",
      );
    });
  }
}

t.test("mesh, on a kernel without GRE: each verb says what it can, and nothing is left", async (t) => {
  for (const over of Object.keys(UNDERLAYS) as Over[]) {
    const { kind } = UNDERLAYS[over];
    if (!lackingFeatures().includes(kind)) continue;
    const underlay = await startUnderlay(t, 1);
    const [node] = underlay.nodes as [Node];
    const conf = meshConf(underlay, over, 3);
    const pod = await node.pod("pod");
    const before = await node.snapshot();
    const option = kind === "gre" ? "CONFIG_NET_IPGRE" : "CONFIG_IPV6_GRE";
    const { json, code } = await node.cni("ADD", pod, conf);
    t.equal(code, 1);
    t.ok(Number(json?.code) >= 100, `code ${json?.code}`);
    t.match(
      json?.msg,
      new RegExp(`link pw.*: this kernel has no devices of kind ${kind}; use one that is built with ${option}`),
    );
    t.match(await node.cni("DEL", pod, conf), { code: 0, stdout: "" });
    t.match(await collect(node, [], conf), { code: 0, stdout: "" });
    t.equal(await node.snapshot(), before, "nothing is left");
  }
});

t.test("mesh: keys that mean nothing to GRE are code 7 with a sentence, and change nothing", async (t) => {
  const underlay = await startUnderlay(t, 1);
  const [node] = underlay.nodes as [Node];
  const pod = await node.pod("pod");
  const before = await node.snapshot();
  for (const [mesh, msg] of [
    [{ port: 4790 }, /mesh\.port: 4790 means nothing to GRE/],
    [{ vni: 7 }, /mesh\.vni: 7 is the key of mode "static"/],
    [{ mode: "both" }, /mesh\.mode: "both" is not one of "flow", "static"/],
    [{ mode: "static", vni: 2 ** 24 }, /mesh\.vni: 16777216/],
  ] as const) {
    const conf = meshConf(underlay, "IPv4", 1, mesh);
    t.match((await node.cni("ADD", pod, conf)).json, { code: 7, msg });
    t.match((await status(node, conf)).json, { code: 7, msg });
    t.match(await node.cni("DEL", pod, conf), { code: 0, stdout: "" });
  }
  t.equal(await node.snapshot(), before);
});
