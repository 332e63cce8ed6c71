import { existsSync, readFileSync, writeFileSync } from "node:fs";
import t, { type Test } from "tap";
import type { Attached } from "./bridge-fixture.ts";
import { addressOf, result } from "./bridge-fixture.ts";
import { eventually } from "./harness/eventually.ts";
import { lackingFeatures } from "./harness/full-kernel.ts";
import { BIN, type Node, startNode } from "./harness/node.ts";
import type { Pod } from "./harness/pod.ts";
import { clean } from "./harness/snapshot.ts";
import { startUnderlay } from "./harness/underlay.ts";

const CONFLIST = "/etc/cni/net.d/10-podwire.conflist";
const LEASE = "/run/podwire/networks/default.json";
const CONFIG = "/etc/podwire/mesh.json";

function spawnAgent(node: Node, ...flags: readonly string[]) {
  return node.spawn([`${BIN}/podwire-agent`, "--standalone", ...flags]);
}

const conflist = (node: Node) => JSON.parse(readFileSync(node.path(CONFLIST), "utf8"));

async function addPod(node: Node, name: string): Promise<{ readonly pod: Pod; readonly result: Attached }> {
  const pod = await node.pod(name);
  await node.runtime.loopback(pod);
  return { pod, result: result(await node.runtime.add(conflist(node), pod)) };
}

/** The agent with a configuration of its own. */
async function startWith(node: Node, config: object, ...flags: readonly string[]) {
  await node.sh("mkdir -p /etc/podwire");
  writeFileSync(node.path(CONFIG), JSON.stringify(config));
  const agent = spawnAgent(node, `--standalone-config=${CONFIG}`, ...flags);
  await agent.prints(/"msg":"conflist written"/);
  return agent;
}

t.test("one machine, no file: conflist, addresses, and the world through masquerade", async (t) => {
  const underlay = await startUnderlay(t, 1);
  const [node] = underlay.nodes as [Node];
  const agent = spawnAgent(node);
  await agent.prints(/"msg":"conflist written"/);
  t.match(conflist(node), { cniVersion: "1.0.0", name: "default", plugins: [{ type: "vxlan-overlay" }] });
  t.match(JSON.parse(readFileSync(node.path(LEASE), "utf8")), {
    state: "held",
    ready: true,
    subnets: ["10.244.0.0/24"],
  });
  const [one, two] = [await addPod(node, "one"), await addPod(node, "two")];
  t.equal(addressOf(one.result, 4), "10.244.0.2");
  t.ok(await one.pod.pings(addressOf(two.result, 4)), "pods reach each other");
  t.ok(await one.pod.pings("10.244.0.1"), "and the node");

  const dump = underlay.hub.spawn(["tcpdump", "-n", "-l", "-i", "under", "-c1", "icmp[icmptype]=icmp-echo"]);
  await dump.prints(/listening on/);
  t.ok(await one.pod.pings("192.168.77.1"), "and the world");
  t.match(await dump.prints(/IP ([\d.]+) > 192\.168\.77\.1:/), { 1: "192.168.77.11" }, "which sees the node's address");
  await eventually(
    async () => (await node.run(["curl", "-s", "http://127.0.0.1:7446/readyz"])).stdout === "ok\n",
    "ready",
  );
  t.match(await node.runtime.status({ ...conflist(node), cniVersion: "1.1.0" }), { code: 0 });

  await agent.stop();
  t.ok(await one.pod.pings("192.168.77.1"), "without the agent too");
  const late = await addPod(node, "late");
  t.ok(await late.pod.pings(addressOf(one.result, 4)), "and for new pods");
  const state = await node.sh("nft list table inet podwire; ip route; ip -d link show type vxlan");
  const again = spawnAgent(node);
  await again.prints(/"msg":"started"/);
  await eventually(
    async () => (await node.run(["curl", "-sf", "http://127.0.0.1:7446/readyz"])).code === 0 || undefined,
    "ready again",
  );
  t.equal(await node.sh("nft list table inet podwire; ip route; ip -d link show type vxlan"), state, "a restart");
});

t.test("the conflist appears when ADD will succeed, not before", async (t) => {
  const underlay = await startUnderlay(t, 1);
  const [node] = underlay.nodes as [Node];
  await node.sh("ip link add pwflow4790 type dummy 2>/dev/null || ip link add pwflow4790 type veth peer name other");
  const agent = spawnAgent(node);
  await agent.prints(/pwflow4790/);
  t.notOk(existsSync(node.path(CONFLIST)), "somebody else's device is in the way");
  const says = async (look: () => Promise<string | undefined>, what: string) =>
    await eventually(async () => (await look())?.includes("pwflow4790"), what);
  await says(async () => (await node.run(["curl", "-s", "http://127.0.0.1:7446/readyz"])).stdout, "readyz tells");
  const list = { cniVersion: "1.1.0", name: "default", plugins: [{ type: "vxlan-overlay" }] };
  await says(async () => (await node.runtime.status(list))?.stdout, "STATUS tells");
  t.match((await node.runtime.status(list))?.json, { code: 50, msg: /pwflow4790/ });
  t.match((await node.runtime.add(list, await node.pod("early"))).json, { code: 11, msg: /pwflow4790/ });
  await node.sh("ip link del pwflow4790");
  await agent.prints(/"msg":"conflist written"/);
  const { pod } = await addPod(node, "pod");
  t.ok(await pod.pings("192.168.77.1"));
});

const network = (subnets: readonly object[], keys: object = {}) => ({
  networks: [{ name: "default", cidrs: ["10.244.0.0/16", "fd00:244::/48"], subnets, ...keys }],
});

const SUBNETS = [0, 1].flatMap((i) => [
  { subnet: `10.244.${i + 1}.0/24`, publicIP: `192.168.77.${11 + i}` },
  { subnet: `fd00:244:0:${i + 1}::/64`, publicIP: `192.168.77.${11 + i}` },
]);

async function meshPings(t: Test, config: object): Promise<void> {
  const underlay = await startUnderlay(t, 2);
  await Promise.all(underlay.nodes.map((node) => startWith(node, config)));
  const [here, there] = await Promise.all(underlay.nodes.map((node) => addPod(node, "pod")));
  if (here === undefined || there === undefined) throw new Error("two nodes were started");
  t.match(addressOf(here.result, 4), /^10\.244\.1\./);
  t.match(addressOf(there.result, 4), /^10\.244\.2\./);
  for (const family of [4, 6] as const) {
    t.ok(await here.pod.pings(addressOf(there.result, family)), `IPv${family} there`);
    t.ok(await there.pod.pings(addressOf(here.result, family)), `IPv${family} back`);
  }
}

t.test("--standalone-config: a mesh of two nodes with the same file, both families", (t) =>
  meshPings(t, network(SUBNETS)),
);

t.test("--standalone-config in static mode: each node knows the other's VTEP MAC from the file alone", (t) =>
  meshPings(t, network(SUBNETS, { backend: { mode: "static" } })),
);

t.test("--standalone-config with host-gw: plain routes", (t) =>
  meshPings(
    t,
    network(
      SUBNETS.map((each) =>
        each.subnet.includes(":")
          ? { ...each, publicIP: each.publicIP.replace("192.168.77.", "fd77::"), nodeName: `n${each.publicIP}` }
          : { ...each, nodeName: `n${each.publicIP}` },
      ),
      { backend: { type: "host-gw" } },
    ),
  ),
);

t.test("whatever backend the network gets, pods are added as vxlan-overlay and as gre-overlay", async (t) => {
  const underlay = await startUnderlay(t, 2);
  const [first] = underlay.nodes as [Node];
  const noGre = lackingFeatures().includes("gre");
  const running: { pod: Pod; result: Attached }[] = [];
  for (const [type, mode] of [
    ["vxlan", "flow"],
    ["host-gw", undefined],
    ["gre", "flow"],
    ["gre", "static"],
    ["vxlan", "static"],
  ] as const) {
    const what = `${type} ${mode ?? ""}`;
    const subnets = SUBNETS.filter(({ subnet }) => !subnet.includes(":"));
    const agents = await Promise.all(
      underlay.nodes.map(async (node) => {
        await node.sh("mkdir -p /etc/podwire");
        writeFileSync(
          node.path(CONFIG),
          JSON.stringify(network(subnets, { backend: { type, ...(mode && { mode }) } })),
        );
        return spawnAgent(node, `--standalone-config=${CONFIG}`);
      }),
    );
    const says = type === "gre" && noGre ? /CONFIG_NET_IPGRE/ : /^ok\n$/;
    for (const node of underlay.nodes) {
      await eventually(
        async () => says.test((await node.run(["curl", "-s", "http://127.0.0.1:7446/readyz"])).stdout) || undefined,
        `${what}: readyz says ${says}`,
      );
    }
    t.match(conflist(first).plugins, [{ type: "vxlan-overlay" }], `${what}: the conflist stays`);
    for (const name of ["vxlan-overlay", "gre-overlay"]) {
      const list = { cniVersion: "1.1.0", name: "default", plugins: [{ type: name }] };
      if (says.source.includes("CONFIG")) {
        const refused = await first.runtime.add(list, await first.pod("early"));
        t.match(refused.json, { code: 11, msg: says }, `${what}: ${name} says what the kernel lacks`);
        continue;
      }
      for (const node of underlay.nodes) {
        const pod = await node.pod("pod");
        running.push({ pod, result: result(await node.runtime.add(list, pod)) });
        t.match(await node.runtime.status(list), { code: 0 }, `${what}: STATUS of ${name}`);
      }
    }
    if (!says.source.includes("CONFIG")) {
      for (const to of running.filter(({ pod }) => pod.node !== first)) {
        t.ok(await running[0]?.pod.pings(addressOf(to.result, 4)), `${what}: the oldest pod reaches old and new ones`);
      }
    }
    for (const agent of agents) await agent.stop();
  }
});

t.test("a node that the file does not list says so, and writes no conflist", async (t) => {
  const underlay = await startUnderlay(t, 1);
  const [node] = underlay.nodes as [Node];
  await node.sh("mkdir -p /etc/podwire");
  const strangers = SUBNETS.map((each) => ({ ...each, publicIP: each.publicIP.replace("77.1", "77.20") }));
  writeFileSync(node.path(CONFIG), JSON.stringify(network(strangers)));
  spawnAgent(node, `--standalone-config=${CONFIG}`);
  const said = await eventually(async () => {
    const { stdout } = await node.run(["curl", "-s", "http://127.0.0.1:7446/readyz"]);
    return stdout.includes("none of the network's subnets") ? stdout : undefined;
  }, "readyz tells");
  t.match(said, /192\.168\.77\.11/, "with the addresses that it has");
  t.notOk(existsSync(node.path(CONFLIST)));
  const lease = await eventually(() => JSON.parse(readFileSync(node.path(LEASE), "utf8")), "the lease file");
  t.match(lease, {
    state: "none",
    ready: false,
    reason: /192\.168\.77\.11/,
  });
});

t.test(
  "a broken file: exit code 1 and a sentence that names file, key and value; the kernel is not touched",
  async (t) => {
    const underlay = await startUnderlay(t, 1);
    const [node] = underlay.nodes as [Node];
    await node.sh("mkdir -p /etc/podwire");
    const state = async () => clean(await node.sh("ip link; ip -4 address; ip route; nft list ruleset"));
    const before = await state();
    const own = { subnet: "10.244.1.0/24", publicIP: "192.168.77.11" };
    for (const [what, text, msg] of [
      ["no JSON", "networks:", /mesh\.json: .*JSON/],
      ["empty", "", /mesh\.json: .*JSON/],
      ["null", "null", /mesh\.json: .*null/],
      ["no networks", "{}", /networks.*missing/],
      ["no network", '{"networks": []}', /networks: \[\]/],
      ["a network that is a text", '{"networks": ["default"]}', /networks\[0\].*"default"/],
      ["no name", { networks: [{ cidrs: [], subnets: [] }] }, /networks\[0\]\.name/],
      ["a name that is a path", network([own], { name: "../etc" }), /\.\.\/etc/],
      [
        "a CIDR with host bits",
        network([own], { cidrs: ["10.244.0.1/16"] }),
        /networks\[0\]\.cidrs\[0\].*10\.244\.0\.1\/16/,
      ],
      ["a CIDR that is everything", network([own], { cidrs: ["0.0.0.0/0"] }), /0\.0\.0\.0\/0/],
      [
        "an address that is a name",
        network([{ ...own, publicIP: "node-1" }]),
        /networks\[0\]\.subnets\[0\]\.publicIP.*"node-1"/,
      ],
      ["a subnet that is a number", network([{ ...own, subnet: 7 }]), /networks\[0\]\.subnets\[0\]\.subnet: 7/],
      [
        "a subnet outside",
        network([{ ...own, subnet: "10.9.1.0/24" }]),
        /subnets\[0\]\.subnet: 10\.9\.1\.0\/24 is outside .*10\.244\.0\.0\/16/,
      ],
      [
        "two subnets that overlap",
        network([own, { subnet: "10.244.1.128/25", publicIP: "192.168.77.12" }]),
        /subnets\[1\]\.subnet: 10\.244\.1\.128\/25 overlaps 10\.244\.1\.0\/24/,
      ],
      [
        "two of one node",
        network([own, { ...own, subnet: "10.244.3.0/24" }]),
        /subnets\[1\]\.subnet: 10\.244\.3\.0\/24 is a second one of 192\.168\.77\.11/,
      ],
      ["no subnet", network([]), /networks\[0\]\.subnets: \[\]/],
      ["an unknown backend", network([own], { backend: { type: "udp" } }), /backend\.type: "udp"/],
      ["an unknown mode", network([own], { backend: { mode: "magic" } }), /backend\.mode: "magic"/],
      ["a VNI too large", network([own], { backend: { vni: 2 ** 24 } }), /networks\[0\]\.backend\.vni: 16777216/],
      ["an MTU that is a text", network([own], { backend: { mtu: "1400" } }), /networks\[0\]\.backend\.mtu: "1400"/],
      ["masquerade as a text", network([own], { masquerade: "no" }), /networks\[0\]\.masquerade: "no"/],
    ] as const) {
      writeFileSync(node.path(CONFIG), typeof text === "string" ? text : JSON.stringify(text));
      const { code, stdout } = await node.run([
        `${BIN}/podwire-agent`,
        "--standalone",
        `--standalone-config=${CONFIG}`,
      ]);
      t.equal(code, 1, what);
      const { msg: said = "" } = JSON.parse(stdout.trim().split("\n").at(-1) ?? "{}");
      t.match(said, msg, `${what}: ${said}`);
      t.match(said, CONFIG, `${what} names the file`);
    }
    const missing = await node.run([`${BIN}/podwire-agent`, "--standalone", "--standalone-config=/nowhere.json"]);
    t.match(missing, { code: 1, stdout: /\/nowhere\.json/ });
    t.equal(await state(), before);
  },
);

t.test("a machine without a network: the agent says what it lacks", async (t) => {
  const node = await startNode(t);
  const { code, stdout } = await node.run([`${BIN}/podwire-agent`, "--standalone"]);
  t.not(code, 0);
  t.match(stdout, /no default route; name the device/);
});
