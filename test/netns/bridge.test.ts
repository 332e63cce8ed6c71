import t from "tap";
import {
  addressOf,
  attach,
  bridgeConf,
  collect,
  detach,
  FULL,
  kernelState,
  RANGE_4,
  RANGE_6,
} from "./bridge-fixture.ts";
import { startNode } from "./harness/node.ts";

for (const [name, ranges, families] of [
  ["IPv4", [RANGE_4], [4]],
  ["IPv6", [RANGE_6], [6]],
  ["dual stack", [RANGE_4, RANGE_6], [4, 6]],
] as const) {
  t.test(`${name}: pods reach each other and the gateway, DEL leaves the node as it was, GC as it began`, async (t) => {
    const node = await startNode(t);
    const [red, blue] = [await node.pod("red"), await node.pod("blue")];
    const conf = { ...FULL, ipam: { type: "host-local", ranges } };
    const untouched = await kernelState(node);
    await attach(node, red, conf);
    await detach(node, red, conf);
    const idle = await kernelState(node);

    const answers = [await attach(node, red, conf), await attach(node, blue, conf)] as const;
    for (const family of families) {
      t.ok(await red.pings(addressOf(answers[1], family)), `red pings blue, IPv${family}`);
      t.ok(await blue.pings(addressOf(answers[0], family)), `blue pings red, IPv${family}`);
      t.ok(await red.pings(family === 4 ? "10.22.0.1" : "fd00:22::1"), `red pings the gateway, IPv${family}`);
    }
    for (const pod of [red, blue, blue]) await detach(node, pod, conf); // twice is fine
    t.equal(await kernelState(node), idle);
    t.match(await collect(node, [], conf), { code: 0, stdout: "" });
    t.equal(await kernelState(node), untouched, "an idle network's bridge and tables go with GC");
  });
}

t.test("ADD answers with bridge, host end and pod's end, as the kernel has them", async (t) => {
  const node = await startNode(t);
  const pod = await node.pod("pod");
  const conf = bridgeConf({ bridge: "br-test", mtu: 1400, dns: { nameservers: ["10.0.0.53"] } });
  const answer = await attach(node, pod, conf, { CNI_ARGS: "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-1" });
  const [bridge, host] = JSON.parse(await node.sh("ip -j link show br-test; ip -j link show type veth").then(join));
  const [inside] = JSON.parse(await pod.runOk(["ip", "-j", "link", "show", "eth0"]));
  t.strictSame(answer, {
    cniVersion: "1.1.0",
    interfaces: [
      { name: "br-test", mac: bridge.address, mtu: 1400 },
      { name: host.ifname, mac: host.address, mtu: 1400 },
      { name: "eth0", mac: inside.address, mtu: 1400, sandbox: pod.netns },
    ],
    ips: [
      { address: "10.22.0.2/16", gateway: "10.22.0.1", interface: 2 },
      { address: "fd00:22::2/64", gateway: "fd00:22::1", interface: 2 },
    ],
    routes: [
      { dst: "0.0.0.0/0", gw: "10.22.0.1" },
      { dst: "::/0", gw: "fd00:22::1" },
    ],
    dns: { nameservers: ["10.0.0.53"] },
  });
  t.match(await node.sh(`ip link show ${host.ifname}`), / cid=pod-\w+ if=eth0 pod=shop\/web-1\n$/);
  t.equal(await node.sh("cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding"), "1\n1\n");
});

/** Two JSON lists, one after the other, as one. */
function join(text: string): string {
  return text.trim().replace(/\]\s*\[/g, ",");
}

t.test("P13: an IPv6 address can be used the moment ADD returns", async (t) => {
  const node = await startNode(t);
  const pod = await node.pod("pod");
  await attach(node, pod, bridgeConf({ ipam: { type: "host-local", ranges: [RANGE_6] } }));
  const addresses = await pod.runOk(["ip", "-6", "address", "show", "dev", "eth0", "scope", "global"]);
  t.match(addresses, /fd00:22::2\/64 scope global nodad/);
  t.notMatch(addresses, /tentative/);
  t.ok(await pod.pings("fd00:22::1", 1), "the first ping is answered");
});

t.test(
  "enabledad: ADD returns when the kernel has found no other owner of the address, and fails when it has",
  async (t) => {
    const node = await startNode(t);
    const [first, second] = [await node.pod("first"), await node.pod("second")];
    const conf = bridgeConf({ enabledad: true, ipam: { type: "host-local", ranges: [RANGE_6] } });
    await attach(node, first, conf);
    const addresses = await first.runOk(["ip", "-6", "address", "show", "dev", "eth0", "scope", "global"]);
    t.match(addresses, /fd00:22::2\/64 scope global/);
    t.notMatch(addresses, /tentative|nodad/);

    await first.runOk(["ip", "address", "add", "fd00:22::3/64", "dev", "eth0", "nodad"]);
    const before = await kernelState(node);
    const refused = await node.cni("ADD", second, conf);
    t.match(refused.json, { code: 7, msg: /fd00:22::3\/64 of eth0 is in use/ });
    t.equal(await kernelState(node), before);
  },
);

t.test("P18: the pod's end is made in its namespace and never moves", async (t) => {
  const node = await startNode(t);
  const pod = await node.pod("pod");
  const inNode = node.spawn(["ip", "monitor", "link"]);
  const inPod = pod.spawn(["ip", "monitor", "link"]);
  let mtu = 2000;
  await inNode.hears(() => node.sh(`ip link set lo mtu ${mtu++}`), / lo: /);
  await inPod.hears(() => pod.runOk(["ip", "link", "set", "lo", "mtu", String(mtu++)]), / lo: /);
  await attach(node, pod, bridgeConf());
  await node.sh("ip link add done0 type bridge");
  await inNode.prints(/done0/);
  await inPod.prints(/eth0/);
  t.match(inNode.output, /pw[0-9a-f]{12}/, "the node saw the host's end come");
  t.notMatch(inNode.output, /eth0|Deleted/, "the node never had the pod's end");
  const [inside] = JSON.parse(await pod.runOk(["ip", "-j", "link", "show", "eth0"]));
  t.equal(inside.ifindex, 2, "the first index after lo: it was registered in the pod's namespace");
});

t.test("the bridge keeps its MAC address while ports come and go", async (t) => {
  const node = await startNode(t);
  const conf = bridgeConf();
  const macs = new Set<string>();
  for (let i = 0; i < 4; i++) {
    const answer = await attach(node, await node.pod("pod"), conf);
    macs.add(answer.interfaces[0]?.mac ?? "");
  }
  t.equal(macs.size, 1);
});

t.test("no IPAM: a network of layer 2 alone; its pods choose their addresses themselves", async (t) => {
  const node = await startNode(t);
  const [red, blue] = [await node.pod("red"), await node.pod("blue")];
  const conf = bridgeConf({ ipam: {} });
  const answer = await attach(node, red, conf);
  t.strictSame(answer.ips, []);
  await attach(node, blue, conf);
  await red.runOk(["ip", "address", "add", "192.0.2.1/24", "dev", "eth0"]);
  await blue.runOk(["ip", "address", "add", "192.0.2.2/24", "dev", "eth0"]);
  t.ok(await red.pings("192.0.2.2"));
  t.match(await node.cni("CHECK", red, { ...conf, prevResult: answer }), { code: 0 });
});

t.test("disableContainerInterface leaves the pod's end down, and CHECK agrees", async (t) => {
  const node = await startNode(t);
  const pod = await node.pod("pod");
  const conf = bridgeConf({ ipam: {}, disableContainerInterface: true });
  const prevResult = await attach(node, pod, conf);
  t.match(await pod.runOk(["ip", "link", "show", "eth0"]), /state DOWN/);
  t.match(await node.cni("CHECK", pod, { ...conf, prevResult }), { code: 0 });
});

t.test("the pod's MAC address: runtimeConfig before args.cni before CNI_ARGS", async (t) => {
  const node = await startNode(t);
  const env = { CNI_ARGS: "IgnoreUnknown=1;MAC=02:00:00:00:00:01" };
  const args = { cni: { mac: "02:00:00:00:00:02" } };
  const runtimeConfig = { mac: "02:00:00:00:00:03" };
  for (const [conf, mac] of [
    [{}, "02:00:00:00:00:01"],
    [{ args }, "02:00:00:00:00:02"],
    [{ args, runtimeConfig }, "02:00:00:00:00:03"],
  ] as const) {
    const pod = await node.pod("pod");
    const answer = await attach(node, pod, bridgeConf(conf), env);
    t.equal(answer.interfaces[2]?.mac, mac);
    t.match(await pod.runOk(["ip", "link", "show", "eth0"]), mac);
  }
});

t.test("a pod may have several addresses of a family, and several interfaces", async (t) => {
  const node = await startNode(t);
  const pod = await node.pod("pod");
  const ranges = [RANGE_4, [{ subnet: "10.23.0.0/24" }]];
  const conf = bridgeConf({ ipam: { type: "host-local", ranges } });
  const first = await attach(node, pod, conf);
  t.strictSame(
    first.ips.map(({ address }) => address),
    ["10.22.0.2/16", "10.23.0.2/24"],
  );
  t.ok(await pod.pings("10.22.0.1"));
  t.ok(await pod.pings("10.23.0.1"));
  const second = await attach(node, pod, { ...conf, isDefaultGateway: false }, { CNI_IFNAME: "eth1" });
  t.match(await pod.runOk(["ip", "address", "show", "eth1"]), second.ips[0]?.address);
  await detach(node, pod, conf);
  t.match(await pod.runOk(["ip", "address", "show", "eth1"]), second.ips[0]?.address, "DEL of eth0 leaves eth1");
});

t.test("the IPAM plugin's own routes are put, by way of the gateway unless they name another", async (t) => {
  const node = await startNode(t);
  const pod = await node.pod("pod");
  const routes = [
    { dst: "192.0.2.0/24" },
    { dst: "198.51.100.0/24", gw: "10.22.0.99" },
    { dst: "2001:db8::/32", mtu: 1300, priority: 50 },
  ];
  await attach(node, pod, bridgeConf({ ipam: { ...FULL.ipam, routes } }));
  const four = await pod.runOk(["ip", "route"]);
  t.match(four, "192.0.2.0/24 via 10.22.0.1 dev eth0");
  t.match(four, "198.51.100.0/24 via 10.22.0.99 dev eth0");
  t.match(await pod.runOk(["ip", "-6", "route"]), /2001:db8::\/32 via fd00:22::1 dev eth0 metric 50 mtu 1300/);
});
