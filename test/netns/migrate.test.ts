import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import t from "tap";
import { addressOf, result } from "./bridge-fixture.ts";
import { eventually } from "./harness/eventually.ts";
import { BIN, type Node } from "./harness/node.ts";
import type { Pod } from "./harness/pod.ts";
import { type CallOptions, type ConfList, Runtime } from "./harness/runtime.ts";
import { startUnderlay } from "./harness/underlay.ts";
import { Talker } from "./talker.ts";

/** Debian's folder of plugins. */
const REFERENCE = "/usr/lib/cni";
const FORGET = fileURLToPath(new URL("../../hack/forget-reference-rules", import.meta.url));

/** What `podman network create --subnet 10.89.7.0/24 red` of 4.3 writes. */
const PODMAN: ConfList = {
  cniVersion: "0.4.0",
  name: "red",
  plugins: [
    {
      type: "bridge",
      bridge: "cni-podman1",
      isGateway: true,
      ipMasq: true,
      hairpinMode: true,
      ipam: {
        type: "host-local",
        routes: [{ dst: "0.0.0.0/0" }],
        ranges: [[{ subnet: "10.89.7.0/24", gateway: "10.89.7.1" }]],
      },
      capabilities: { ips: true },
    },
    { type: "portmap", capabilities: { portMappings: true } },
    { type: "firewall", backend: "" },
    { type: "tuning" },
  ],
};

/** What containerd's documentation and its install script write. */
const CONTAINERD: ConfList = {
  cniVersion: "1.0.0",
  name: "containerd-net",
  plugins: [
    {
      type: "bridge",
      bridge: "cni0",
      isGateway: true,
      ipMasq: true,
      promiscMode: true,
      ipam: {
        type: "host-local",
        ranges: [[{ subnet: "10.88.0.0/16" }], [{ subnet: "2001:4860:4860::/64" }]],
        routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }],
      },
    },
    { type: "portmap", capabilities: { portMappings: true } },
  ],
};

/** What CRI-O installs. */
const CRIO: ConfList = {
  cniVersion: "1.0.0",
  name: "crio",
  plugins: [
    {
      type: "bridge",
      bridge: "cni1",
      isGateway: true,
      ipMasq: true,
      hairpinMode: true,
      ipam: {
        type: "host-local",
        routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }],
        ranges: [[{ subnet: "10.85.0.0/16" }], [{ subnet: "1100:200::/24" }]],
      },
    },
  ],
};

/** What flannel's plugin gives to `bridge` for `{ "type": "flannel", "delegate": { "hairpinMode": true, "isDefaultGateway": true } }`. */
const FLANNEL: ConfList = {
  cniVersion: "0.3.1",
  name: "cbr0",
  plugins: [
    {
      type: "bridge",
      hairpinMode: true,
      isDefaultGateway: true,
      isGateway: true,
      ipMasq: false,
      mtu: 1450,
      ipam: { type: "host-local", ranges: [[{ subnet: "10.5.52.0/24" }]], routes: [{ dst: "10.5.0.0/16" }] },
    },
    { type: "portmap", capabilities: { portMappings: true } },
  ],
};

const publish = (hostPort: number): CallOptions => ({
  runtimeConfig: { portMappings: [{ hostPort, containerPort: 80, protocol: "tcp" }] },
});

/** Adds the pod as the list says, and returns its address of the family. */
async function add(runtime: Runtime, list: ConfList, pod: Pod, options?: CallOptions, family: 4 | 6 = 4) {
  return addressOf(result(await runtime.add(list, pod, options)), family);
}

const enter = (pod: Pod) => [...pod.node.enter, "ip", "netns", "exec", pod.containerId];
const reserved = (node: Node, network: string) =>
  readdirSync(node.path(`/var/lib/cni/networks/${network}`)).filter((name) => /^\d+\.|:/.test(name));
const iptables = (node: Node) => node.sh("iptables-save | grep -v '^#' || true");

async function oneNode(t: Parameters<typeof startUnderlay>[0]) {
  const { hub, nodes, addressesOf } = await startUnderlay(t, 1);
  const [node] = nodes;
  if (node === undefined) throw new Error("no node");
  return { hub, node, address: addressesOf(0)[0] };
}

t.test("a node of the reference plugins gets ours in their folder, with pods that live on", async (t) => {
  const { hub, node, address } = await oneNode(t);
  const runtime = new Runtime(node, REFERENCE);
  const [first, second, third] = [await node.pod("first"), await node.pod("second"), await node.pod("third")];
  t.equal(await add(runtime, PODMAN, first, publish(8080)), "10.89.7.2");
  t.equal(await add(runtime, PODMAN, second, publish(8090)), "10.89.7.3");
  t.equal(await add(runtime, PODMAN, third), "10.89.7.4");
  const inFirst = await Talker.start(t, enter(first), "first", [80]);
  const outside = await Talker.start(t, hub.enter, "outside");
  const before = await iptables(node);

  await node.sh(`mount --bind ${BIN} ${REFERENCE}`);
  const fourth = await node.pod("fourth");
  t.equal(await add(runtime, PODMAN, fourth, publish(8081)), "10.89.7.5", "no address of theirs is given again");
  t.strictSame(reserved(node, "red").sort(), ["10.89.7.2", "10.89.7.3", "10.89.7.4", "10.89.7.5"]);
  await Talker.start(t, enter(fourth), "fourth", [80]);
  await t.test("old and new pods, and the world", async (t) => {
    t.ok(await first.pings("10.89.7.5"), "an old one pings a new one on the same bridge");
    t.ok(await fourth.pings("10.89.7.3"), "and the other way round");
    t.ok(await first.pings("192.168.77.1"), "the old one is masqueraded as before");
    t.ok(await fourth.pings("192.168.77.1"), "and the new one by us");
    t.match(await outside.ask(address, 8080), /^first /, "the old one's port leads to it");
    t.match(await outside.ask(address, 8081), /^fourth /, "and the new one's");
    t.equal(await iptables(node), before, "nothing of theirs was touched");
  });
  const wanted = { ...publish(8082).runtimeConfig, ips: ["10.89.7.3"] };
  const refused = await runtime.add(PODMAN, await node.pod("thief"), { runtimeConfig: wanted });
  t.match(refused.json, { code: 11, msg: /"10\.89\.7\.3" .*is taken/ }, "nor on request");
  t.match((await runtime.check(PODMAN, first, publish(8080)))?.json, { code: 100 }, "CHECK knows only what is ours");

  await t.test("DEL gives the address back; the container's rules go by its name", async (t) => {
    inFirst.stop();
    await first.deleteNetns();
    t.match(await runtime.del(PODMAN, first, publish(8080)), { code: 0, stdout: "" });
    t.notOk(reserved(node, "red").includes("10.89.7.2"), "the address is free");
    const ports = async () => (await node.sh("ip -o link show master cni-podman1")).trim().split("\n").length;
    await eventually(async () => (await ports()) === 3, "its link goes with the namespace");
    t.ok((await iptables(node)).includes(first.containerId), "iptables' rules are left");
    await node.runOk([FORGET, first.containerId]);
    const after = await iptables(node);
    t.notMatch(after, first.containerId);
    t.notMatch(after, "8080");
    const others = before.split("\n").filter((line) => line.includes(second.containerId));
    t.equal(others.length, 4, "masquerading and the port: two rules, two lines of the chain");
    for (const line of others) t.ok(after.includes(line), line);
  });
  await t.test("DEL while the namespace lives gives the address back, and leaves the interface", async (t) => {
    t.match(await runtime.del(PODMAN, third), { code: 0, stdout: "" });
    t.notOk(reserved(node, "red").includes("10.89.7.4"));
    t.match(await third.runOk(["ip", "-br", "address", "show", "eth0"]), /10\.89\.7\.4/, "as docs/migrate.md says");
    await third.deleteNetns();
  });
  await t.test("GC gives back what no valid attachment holds", async (t) => {
    t.match(await runtime.gc({ ...PODMAN, cniVersion: "1.1.0" }, [second, fourth]), { code: 0 });
    t.strictSame(
      reserved(node, "red").sort(),
      ["10.89.7.3", "10.89.7.5"],
      "valid ones keep theirs, whoever added them",
    );
    await second.deleteNetns();
    t.match(await runtime.gc({ ...PODMAN, cniVersion: "1.1.0" }, [fourth]), { code: 0 });
    t.strictSame(reserved(node, "red"), ["10.89.7.5"]);
    await node.sh(`iptables -t nat -A PREROUTING -p tcp --dport 9 -j RETURN; ${FORGET} --all`);
    t.notMatch(await iptables(node), "CNI-", "no rule and no chain of theirs is left");
    t.match(await iptables(node), "--dport 9 -j RETURN", "and others' are");
    t.match(await outside.ask(address, 8081), /^fourth /, "ours did not need them");
  });
});

t.test("podman's own list, unchanged: ports, a chosen address, and nothing of iptables", async (t) => {
  const { hub, node, address } = await oneNode(t);
  const [pod, other] = [await node.pod("pod"), await node.pod("other")];
  const options = { runtimeConfig: { ...publish(8080).runtimeConfig, ips: ["10.89.7.77"] } };
  t.equal(await add(node.runtime, PODMAN, pod, options), "10.89.7.77");
  t.equal(await add(node.runtime, PODMAN, other), "10.89.7.78");
  const outside = await Talker.start(t, hub.enter, "outside");
  await Talker.start(t, enter(pod), "pod", [80]);
  t.match(await outside.ask(address, 8080), /^pod /);
  t.ok(await other.pings("10.89.7.77"));
  t.ok(await other.pings("192.168.77.1"));
  t.match(await node.runtime.check(PODMAN, pod, options), { code: 0 });
  t.equal(await iptables(node), "", "iptables is not used");
  for (const each of [pod, other]) t.match(await node.runtime.del(PODMAN, each, options), { code: 0, stdout: "" });
  t.strictSame(reserved(node, "red"), []);
  t.notMatch(await node.sh("nft list ruleset; ip -o link show type veth"), /10\.89\.7\.7[78]|8080|pw[0-9a-f]{12}/);
});

t.test("the lists of containerd and CRI-O, unchanged, loopback first, both families", async (t) => {
  const { hub, node, address } = await oneNode(t);
  const outside = await Talker.start(t, hub.enter, "outside");
  for (const [list, six] of [
    [CONTAINERD, "2001:4860:4860::2"],
    [CRIO, "1100:200::2"],
  ] as const) {
    const pod = await node.pod("pod");
    await node.runtime.loopback(pod);
    t.equal(await add(node.runtime, list, pod, publish(8080), 6), six, list.name);
    t.match(await node.runtime.check(list, pod, publish(8080)), { code: 0 }, "CHECK, as CRI-O does it");
    for (const to of ["127.0.0.1", "192.168.77.1", "fd77::1"]) t.ok(await pod.pings(to), `${list.name}: ${to}`);
    if (list === CONTAINERD) {
      const talker = await Talker.start(t, enter(pod), "pod", [80]);
      t.match(await outside.ask(address, 8080), /^pod /);
      talker.stop();
    }
    await pod.deleteNetns();
    t.match(await node.runtime.del(list, pod, publish(8080)), { code: 0, stdout: "" }, "DEL without the namespace");
    t.match(await node.runtime.del(list, pod), { code: 0, stdout: "" }, "and again without prevResult");
    t.strictSame(reserved(node, list.name), []);
  }
});

t.test("flannel's pods and vxlan-overlay's share a bridge, addresses and a chain with portmap", async (t) => {
  const { hub, node, address } = await oneNode(t);
  const old = await node.pod("old");
  t.equal(await add(new Runtime(node, REFERENCE), FLANNEL, old), "10.5.52.2");

  const lease = { network: "cbr0", cidrs: ["10.5.0.0/16"], mtu: 1450, subnets: ["10.5.52.0/24"] };
  mkdirSync(node.path("/run/podwire/networks"), { recursive: true, mode: 0o700 });
  const file = node.path("/run/podwire/networks/cbr0.json");
  writeFileSync(file, JSON.stringify({ ...lease, state: "held", ready: true }), { mode: 0o600 });
  const list: ConfList = {
    cniVersion: "0.3.1",
    name: "cbr0",
    plugins: [
      { type: "vxlan-overlay", bridge: "cni0", delegate: { isDefaultGateway: true } },
      { type: "portmap", capabilities: { portMappings: true } },
    ],
  };
  const pod = await node.pod("new");
  t.equal(await add(node.runtime, list, pod, publish(8080)), "10.5.52.3", "the next address of the same files");
  t.match(await pod.runOk(["ip", "link", "show", "eth0"]), /mtu 1450 /);
  t.ok(await pod.pings("10.5.52.2"), "the new pod reaches the old one");
  t.ok(await old.pings("10.5.52.3"));
  await Talker.start(t, enter(pod), "new", [80]);
  const outside = await Talker.start(t, hub.enter, "outside");
  t.match(await outside.ask(address, 8080), /^new /);
  await old.deleteNetns();
  t.match(await node.runtime.del(list, old), { code: 0, stdout: "" }, "DEL of the old pod by the new list");
  t.strictSame(reserved(node, "cbr0"), ["10.5.52.3"]);
  t.match(readFileSync(file, "utf8"), "10.5.52.0/24");
});
