import t, { type Test } from "tap";
import { type Attached, addressOf, attach, detach } from "./bridge-fixture.ts";
import type { Node } from "./harness/node.ts";
import type { Pod } from "./harness/pod.ts";
import { startUnderlay, type Underlay } from "./harness/underlay.ts";

interface MeshPeer {
  readonly subnet: string;
  readonly publicIP: string;
  readonly node?: string;
}

const address4 = (index: number) => `192.168.77.${11 + index}`;
const address6 = (index: number) => `fd77::${11 + index}`;
const subnet4 = (index: number) => `10.244.${index + 1}.0/24`;
const subnet6 = (index: number) => `fd00:244:0:${index + 1}::/64`;

/** Every node with a subnet of each family, by way of its IPv4 address. */
const dualStack = (count: number): MeshPeer[] =>
  [...Array(count).keys()].flatMap((i) => [
    { subnet: subnet4(i), publicIP: address4(i) },
    { subnet: subnet6(i), publicIP: address4(i) },
  ]);

/** IPv4 subnets alone. */
const singleStack = (count: number): MeshPeer[] => dualStack(count).filter(({ subnet }) => !subnet.includes(":"));

const meshConf = (peers: readonly MeshPeer[], mesh: object = {}) => ({
  type: "vxlan-overlay",
  cniVersion: "1.1.0",
  name: "mesh",
  mesh: { peers, ...mesh },
});

interface Wired {
  readonly node: Node;
  readonly pod: Pod;
  readonly result: Attached;
}

async function wire(underlay: Underlay, conf: object): Promise<readonly Wired[]> {
  return await Promise.all(
    underlay.nodes.map(async (node) => {
      const pod = await node.pod("pod");
      return { node, pod, result: await attach(node, pod, conf) };
    }),
  );
}

async function allPing(t: Test, wired: readonly Wired[], families: readonly (4 | 6)[]): Promise<void> {
  for (const from of wired) {
    for (const to of wired.filter((each) => each !== from)) {
      for (const family of families) {
        const address = addressOf(to.result, family);
        t.ok(await from.pod.pings(address), `${from.node.name} pings ${address} on ${to.node.name}`);
      }
    }
  }
}

for (const mode of ["flow", "static"] as const) {
  t.test(
    `mesh, ${mode}: pods of three nodes reach each other over both families; one config, no controller`,
    async (t) => {
      const underlay = await startUnderlay(t, 3);
      const conf = meshConf(dualStack(3), { mode });
      const wired = await wire(underlay, conf);
      for (const [i, { result }] of wired.entries()) {
        t.match(addressOf(result, 4), new RegExp(`^10\\.244\\.${i + 1}\\.`));
        t.match(addressOf(result, 6), new RegExp(`^fd00:244:0:${i + 1}::`));
      }
      await allPing(t, wired, [4, 6]);
      const [first] = underlay.nodes as [Node];
      const routes = await first.runOk(["ip", "route", "show", "proto", "112"]);
      const expected =
        mode === "flow"
          ? /10\.244\.2\.0\/24 .*encap ip id 1 .*dst 192\.168\.77\.12/
          : /10\.244\.2\.0\/24 via 10\.244\.2\.0 dev pwvx1 .*onlink/;
      t.match(routes, expected);

      const before = await first.sh(
        "ip -j route show proto 112; nft list table inet podwire; ip -d link show type vxlan",
      );
      const other = await first.pod("other");
      const monitor = first.spawn(["ip", "monitor", "route"]);
      let marks = 1;
      const mark = () => monitor.hears(() => first.sh(`ip route add blackhole 203.0.113.${marks++}/32`), /blackhole/);
      await mark();
      await attach(first, other, conf);
      await detach(first, other, conf);
      await mark();
      t.notMatch(monitor.output, /proto 112/, "a second ADD writes no route of the mesh again");
      t.equal(
        await first.sh("ip -j route show proto 112; nft list table inet podwire; ip -d link show type vxlan"),
        before,
      );
      const check = await first.cni("CHECK", (wired[0] as Wired).pod, { ...conf, prevResult: wired[0]?.result });
      t.match(check, { code: 0, stdout: "" });
      t.match(await first.runtime.call("STATUS", undefined, conf), { code: 0, stdout: "" });
    },
  );

  t.test(`mesh, ${mode}: each family over the underlay of its own; "node" joins a node's entries`, async (t) => {
    const underlay = await startUnderlay(t, 2);
    const peers = [0, 1].flatMap((i) => [
      { subnet: subnet4(i), publicIP: address4(i), node: `n${i}` },
      { subnet: subnet6(i), publicIP: address6(i), node: `n${i}` },
    ]);
    const wired = await wire(underlay, meshConf(peers, { mode }));
    await allPing(t, wired, [4, 6]);
    const routes = await underlay.nodes[0]?.runOk(["ip", "-6", "route", "show", "proto", "112"]);
    if (mode === "static") t.match(routes, /fd00:244:0:2::\/64 .*dev pwvx1-6 /);
    else t.match(routes, /fd00:244:0:2::\/64 .*dst 192\.168\.77\.12/, "flow takes IPv4 where it can");
  });
}

t.test("mesh: IPv6 alone, and from one mode to the other and back in place", async (t) => {
  const underlay = await startUnderlay(t, 2);
  for (const node of underlay.nodes) await node.sh("ip -4 address flush dev eth0");
  const peers = [0, 1].map((i) => ({ subnet: subnet6(i), publicIP: address6(i) }));
  for (const mode of ["flow", "static", "flow"]) {
    const conf = meshConf(peers, { mode });
    const wired = await wire(underlay, conf);
    await allPing(t, wired, [6]);
    for (const { node, pod } of wired) await detach(node, pod, conf);
    const devices = await underlay.nodes[0]?.runOk(["ip", "-6", "route", "show", "proto", "112"]);
    t.match(devices, mode === "flow" ? /dev pwflow4790/ : /dev pwvx1-6/, mode);
  }
});

t.test("mesh: what cannot be a mesh is code 7 with a sentence that says what to do, and changes nothing", async (t) => {
  const underlay = await startUnderlay(t, 1);
  const [node] = underlay.nodes as [Node];
  const pod = await node.pod("pod");
  const before = await node.snapshot();
  const own = { subnet: subnet4(0), publicIP: address4(0) };
  const unjoined = [own, { subnet: subnet6(0), publicIP: address6(0) }];
  for (const [what, conf, msg] of [
    [
      "no address of this node",
      meshConf([
        { subnet: subnet4(1), publicIP: "192.168.77.99" },
        { subnet: subnet4(2), publicIP: "fd77::99" },
      ]),
      /mesh\.peers: none of 192\.168\.77\.99, fd77::99 is an address of this node; list this node's own/,
    ],
    ["an empty list", meshConf([]), /mesh\.peers: \[\] lists no node/],
    ["no list", { ...meshConf([]), mesh: {} }, /mesh\.peers/],
    [
      "a subnet with host bits",
      meshConf([{ ...own, subnet: "10.244.1.7/24" }]),
      /mesh\.peers\[0\]\.subnet.*10\.244\.1\.7\/24/,
    ],
    ["a name for an address", meshConf([{ ...own, publicIP: "node-1" }]), /mesh\.peers\[0\]\.publicIP.*node-1/],
    ["an unknown mode", meshConf([own], { mode: "magic" }), /mesh\.mode.*magic/],
    ["a VNI too large", meshConf([own], { vni: 2 ** 24 }), /mesh\.vni.*16777216/],
    ["a subnet over the underlay", meshConf([{ ...own, subnet: "192.168.77.0/24" }]), /mesh\.peers.*192\.168\.77/],
    [
      "a subnet outside the CIDRs",
      meshConf([own], { cidrs: ["10.9.0.0/16"] }),
      /10\.244\.1\.0\/24.*10\.9\.0\.0\/16|10\.9\.0\.0\/16/,
    ],
    [
      "static mode with two names for a node",
      meshConf(unjoined, { mode: "static" }),
      /192\.168\.77\.11 and fd77::11 .*"node"/,
    ],
  ] as const) {
    t.match((await node.cni("ADD", pod, conf)).json, { code: 7, msg }, what);
    t.match((await node.runtime.call("STATUS", undefined, conf)).json, { code: 7, msg }, `${what}: STATUS`);
    t.match(await node.cni("DEL", pod, conf), { code: 0, stdout: "" }, `${what}: DEL does not mind`);
  }
  t.equal(await node.snapshot(), before);
});

for (const mode of ["flow", "static"] as const) {
  t.test(
    `mesh, ${mode}: a peer that left the list loses its route, neighbour and FDB entry at the next ADD`,
    async (t) => {
      const underlay = await startUnderlay(t, 3);
      const wired = await wire(underlay, meshConf(dualStack(3), { mode }));
      const [first, second, third] = wired as [Wired, Wired, Wired];
      t.ok(await first.pod.pings(addressOf(third.result, 4)));
      const entries = () =>
        first.node.sh(`ip route show proto 112; ip -6 route show proto 112; ip neighbour show nud permanent
        bridge fdb show | grep dst || true; nft list table inet podwire | grep -o '192.168.77.1[0-9]' | sort -u`);
      t.match(await entries(), /192\.168\.77\.13/);
      await attach(first.node, await first.node.pod("late"), meshConf(dualStack(2), { mode }));
      t.notMatch(await entries(), /192\.168\.77\.13|10\.244\.3\.|fd00:244:0:3::/);
      t.ok(await first.pod.cannotPing(addressOf(third.result, 4)));
      t.ok(await first.pod.pings(addressOf(second.result, 4)), "the others stay");
      const moved = singleStack(2).map((peer, i) => (i === 1 ? { ...peer, publicIP: address4(2) } : peer));
      await attach(first.node, await first.node.pod("later"), meshConf(moved, { mode }));
      t.match(await entries(), mode === "flow" ? /10\.244\.2\.0\/24 .*dst 192\.168\.77\.13/ : /dst 192\.168\.77\.13/);
      t.notMatch(await entries(), /192\.168\.77\.12|fd00:244:0:2::/, "a subnet that moved to another node");
    },
  );
}

t.test("mesh: a peer that leaves takes its route along when the mesh's CIDR shrinks too", async (t) => {
  const underlay = await startUnderlay(t, 1);
  const [node] = underlay.nodes as [Node];
  const peers = [...singleStack(2), { subnet: "10.99.0.0/24", publicIP: address4(2) }];
  const foreign = "10.99.7.0/24 dev lo proto static";
  await node.sh(`ip route add ${foreign}`);
  await attach(node, await node.pod("first"), meshConf(peers));
  t.match(await node.runOk(["ip", "route"]), /^10\.99\.0\.0\/24 /m);
  await attach(node, await node.pod("second"), meshConf(singleStack(2)));
  t.notMatch(await node.runOk(["ip", "route"]), /^10\.99\.0\.0\/24 /m);
  t.match(
    await node.runOk(["ip", "route"]),
    /^10\.99\.7\.0\/24 dev lo proto static/m,
    "a route of somebody else's stays",
  );
});

t.test("mesh: two networks on one node keep out of each other's way", async (t) => {
  const underlay = await startUnderlay(t, 2);
  const [here] = underlay.nodes as [Node];
  const red = meshConf(singleStack(2));
  const other = singleStack(2).map((peer) => ({ ...peer, subnet: peer.subnet.replace("10.244", "10.245") }));
  const blue = { ...meshConf(other, { vni: 2, mode: "static" }), name: "blue" };
  const reds = await wire(underlay, red);
  const blues = await wire(underlay, blue);
  await allPing(t, reds, [4]);
  await allPing(t, blues, [4]);
  await attach(here, await here.pod("lonely"), meshConf(singleStack(1)));
  await allPing(t, blues, [4]);
  t.ok(await reds[0]?.pod.cannotPing(addressOf((reds[1] as Wired).result, 4)), "only red lost its peer");
});

t.test(
  "P3, P15: DEL needs nothing of the mesh: two interfaces, no mesh key, a gone namespace, a broken key",
  async (t) => {
    const underlay = await startUnderlay(t, 1);
    const [node] = underlay.nodes as [Node];
    const conf = meshConf(dualStack(2));
    const bare = { type: "vxlan-overlay", cniVersion: "1.1.0", name: "mesh" };
    const first = await node.pod("first");
    await attach(node, first, conf);
    await detach(node, first, conf);
    const state = () => node.snapshot();
    const idle = await state();
    const gone = { CNI_NETNS: "" };
    for (const [what, del] of [
      ["the same config", conf],
      ["config without mesh", bare],
      ["no address of this node any more", meshConf([{ subnet: subnet4(5), publicIP: address4(5) }])],
      ["broken keys", { ...bare, mesh: 7, mtu: "x", bridge: 3, network: "../..", delegate: [] }],
      ["an older version", { ...bare, cniVersion: "0.3.1" }],
    ] as const) {
      const pod = await node.pod("pod");
      const eth0 = await attach(node, pod, conf);
      const eth1 = await attach(node, pod, conf, { CNI_IFNAME: "net1" });
      t.not(addressOf(eth0, 4), addressOf(eth1, 4), `${what}: two interfaces have two addresses`);
      t.match(await node.cni("DEL", pod, del, { CNI_IFNAME: "net1" }), { code: 0, stdout: "" }, what);
      const left = await node.sh(
        "ls /var/lib/cni/networks/mesh | grep -c '^10\\.'; ip -br link show type veth | grep -c '^pw'",
      );
      t.equal(left, "1\n1\n", `${what}: the other interface stays`);
      t.ok(await pod.pings("10.244.1.1"), `${what}: and works`);
      await pod.deleteNetns();
      t.match(await node.cni("DEL", pod, del, gone), { code: 0, stdout: "" }, `${what}: the namespace gone`);
      t.match(await node.cni("DEL", pod, del, gone), { code: 0, stdout: "" }, `${what}: twice`);
      t.equal(await state(), idle, `${what}: nothing is left`);
    }
  },
);
