import t from "tap";
import {
  type Attached,
  addressOf,
  attach,
  collect,
  detach,
  fakeIpam,
  ipamCalls,
  kernelState,
  RANGE_4,
  RANGE_6,
} from "./bridge-fixture.ts";
import { type Node, startNode } from "./harness/node.ts";
import type { Pod } from "./harness/pod.ts";

const CONF = {
  type: "ptp",
  cniVersion: "1.1.0",
  name: "test",
  ipMasq: true,
  ipam: { type: "host-local", ranges: [RANGE_4, RANGE_6], routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }] },
} as const;

/** The node as it is when the first pod has come and gone. */
async function idleState(node: Node): Promise<string> {
  const pod = await node.pod("first");
  await attach(node, pod, CONF);
  await detach(node, pod, CONF);
  return await kernelState(node);
}

t.test(
  "pods reach each other and the node in both families; DEL leaves the node as it was, GC as it began",
  async (t) => {
    const node = await startNode(t);
    const [red, blue] = [await node.pod("red"), await node.pod("blue")];
    const untouched = await kernelState(node);
    const idle = await idleState(node);
    const answers = [await attach(node, red, CONF), await attach(node, blue, CONF)] as const;
    for (const family of [4, 6] as const) {
      t.ok(await red.pings(addressOf(answers[1], family), 1), `red pings blue, IPv${family}, at once`);
      t.ok(await blue.pings(addressOf(answers[0], family)), `blue pings red, IPv${family}`);
      t.ok(await red.pings(family === 4 ? "10.22.0.1" : "fd00:22::1"), `red pings the node, IPv${family}`);
      const fromNode = await node.run(["ping", "-n", "-c", "1", "-W", "10", addressOf(answers[0], family)]);
      t.equal(fromNode.code, 0, `the node pings red, IPv${family}`);
    }
    t.match(await node.sh("nft list ruleset"), addressOf(answers[0], 4), "masqueraded");
    for (const pod of [red, blue, blue]) await detach(node, pod, CONF); // twice is fine
    t.equal(await kernelState(node), idle);
    t.match(await collect(node, [], CONF), { code: 0, stdout: "" });
    t.equal(await kernelState(node), untouched);
  },
);

t.test("ADD answers with both ends as the kernel has them, and the pod has a route to its gateway alone", async (t) => {
  const node = await startNode(t);
  const pod = await node.pod("pod");
  const answer = await attach(node, pod, { ...CONF, mtu: 1400, dns: { nameservers: ["10.0.0.53"] } });
  const [host] = JSON.parse(await node.sh("ip -j link show type veth"));
  const [inside] = JSON.parse(await pod.runOk(["ip", "-j", "link", "show", "eth0"]));
  t.strictSame(answer, {
    cniVersion: "1.1.0",
    interfaces: [
      { name: host.ifname, mac: host.address, mtu: 1400 },
      { name: "eth0", mac: inside.address, mtu: 1400, sandbox: pod.netns },
    ],
    ips: [
      { address: "10.22.0.2/16", gateway: "10.22.0.1", interface: 1 },
      { address: "fd00:22::2/64", gateway: "fd00:22::1", interface: 1 },
    ],
    routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }],
    dns: { nameservers: ["10.0.0.53"] },
  });
  t.match(host.ifalias, `podwire veth net=test cid=${pod.containerId} if=eth0`);
  t.equal(
    await pod.runOk(["ip", "-4", "route"]),
    "default via 10.22.0.1 dev eth0 \n10.22.0.0/16 via 10.22.0.1 dev eth0 src 10.22.0.2 \n10.22.0.1 dev eth0 scope link src 10.22.0.2 \n",
  );
  // S5: nobody's router advertisements or redirects are believed.
  const hardening = "cat /proc/sys/net/ipv6/conf/DEV/accept_ra /proc/sys/net/ipv6/conf/DEV/accept_redirects";
  t.equal(await node.sh(hardening.replaceAll("DEV", host.ifname)), "0\n0\n", "S5: the node's end");
  t.equal(await pod.runOk(["sh", "-c", hardening.replaceAll("DEV", "eth0")]), "0\n0\n", "S5: the pod's");
  t.notMatch(await pod.runOk(["ip", "-6", "address"]), "tentative");
});

t.test("P3: DEL without the namespace, without prevResult and with a wrong configuration leaves nothing", async (t) => {
  const node = await startNode(t);
  const idle = await idleState(node);
  const pod = await node.pod("pod");
  await attach(node, pod, CONF);
  await pod.deleteNetns();
  await detach(node, pod, { ...CONF, mtu: "nonsense" });
  t.equal(await kernelState(node), idle);
  t.equal(await node.sh("ls /var/lib/cni/networks/test"), "last_reserved_ip.0\nlast_reserved_ip.1\nlock\n");
  await detach(node, pod, { ...CONF, mtu: "nonsense" });
});

t.test("GC removes what is not valid and keeps what is", async (t) => {
  const node = await startNode(t);
  const [kept, lost] = [await node.pod("kept"), await node.pod("lost")];
  await attach(node, kept, CONF);
  const before = await kernelState(node);
  await attach(node, lost, CONF);
  await lost.deleteNetns();
  t.match(await collect(node, [kept], CONF), { code: 0 });
  t.equal(await kernelState(node), before);
  t.ok(await kept.pings("10.22.0.1"));
});

t.test("P4: whatever fails in an ADD, nothing of it is left", async (t) => {
  const node = await startNode(t);
  const idle = await idleState(node);
  const conf = { ...CONF, ipam: { type: "fake" } };
  const lease = { ips: [{ address: "10.22.0.7/16", gateway: "10.22.0.1" }] };
  for (const [what, answer, script, error] of [
    ["IPAM fails", lease, 'echo \'{"code":50,"msg":"no more"}\'; exit 1', { code: 50, msg: "no more" }],
    ["IPAM has no address", { ips: [] }, ":", { code: 7, msg: /ips is empty/ }],
    [
      "IPAM names no gateway",
      { ips: [{ address: "10.22.0.7/16" }] },
      ":",
      { code: 7, msg: /10.22.0.7\/16 has no gateway/ },
    ],
    [
      "the kernel refuses a route",
      { ...lease, routes: [{ dst: "192.0.2.0/24", gw: "203.0.113.1" }] },
      ":",
      { code: 7, msg: /192.0.2.0\/24 via 203.0.113.1/ },
    ],
  ] as const) {
    const env = await fakeIpam(node, answer, script);
    t.match((await node.cni("ADD", await node.pod("pod"), conf, env)).json, error, what);
    t.equal(await kernelState(node), idle, `${what}: the node is as before`);
    t.equal(await ipamCalls(node), "ADD DEL", `${what}: the address is given back`);
  }
  const pod = await node.pod("pod");
  for (const [keys, msg] of [
    [{ ipam: undefined }, /ipam is missing/],
    [{ mtu: 70000 }, /mtu: 70000/],
    [{ ipMasq: "yes" }, /ipMasq: "yes"/],
    [{ ipMasqBackend: "pf" }, /ipMasqBackend: "pf"/],
  ] as const) {
    t.match((await node.cni("ADD", pod, { ...CONF, ...keys })).json, { code: 7, msg }, JSON.stringify(keys));
  }
  t.equal(await kernelState(node), idle);
});

/** Does it, HOST being the node's end and POD ip(8) in the pod. */
async function damage(node: Node, pod: Pod, { interfaces }: Attached, command: string): Promise<void> {
  await node.sh(command.replaceAll("HOST", interfaces[0]?.name ?? "").replaceAll("POD", `ip -n ${pod.containerId}`));
}

t.test("P14: CHECK notices each thing that is not as ADD left it, and says what", async (t) => {
  const node = await startNode(t);
  const pod = await node.pod("pod");
  for (const damages of [
    [
      ["ip link set HOST down", /pw[0-9a-f]{12}: want up, have down/],
      ["ip address del 10.22.0.1/32 dev HOST", /address of pw[0-9a-f]{12}: want 10.22.0.1\/32/],
      ["ip route del 10.22.0.3 dev HOST 2>/dev/null || true", /route over pw[0-9a-f]{12}: want 10.22.0.\d\/32/],
      ["POD route del 10.22.0.0/16", /route: want 10.22.0.0\/16 via 10.22.0.1, have nothing/],
      ["POD -6 route del default", /route \(IPv6\): want ::\/0 via fd00:22::1/],
      ["POD link set eth0 mtu 1200", /mtu: want 1500, have 1200/],
      ["sysctl -qw net.ipv4.ip_forward=0", /net\/ipv4\/ip_forward: want 1, have 0/],
      ["nft flush map inet podwire egress4", /10.22.0.\d is not masqueraded/],
    ],
    [["ip link del HOST", /interface: want eth0, have nothing; host link: want pw[0-9a-f]{12}, have nothing/]],
    [["rm /var/lib/cni/networks/test/10.22.*", /10\.22\.0\.\d/]],
  ] as const) {
    const prevResult = await attach(node, pod, CONF);
    t.match(await node.cni("CHECK", pod, { ...CONF, prevResult }), { code: 0, stdout: "" });
    for (const [command] of damages) await damage(node, pod, prevResult, command);
    const { json } = await node.cni("CHECK", pod, { ...CONF, prevResult });
    for (const [command, msg] of damages) t.match(json, { msg }, command);
    await detach(node, pod, CONF);
  }
});

t.test("P1: STATUS says when there is no address left", async (t) => {
  const node = await startNode(t);
  const ranges = [[{ subnet: "10.22.0.0/30" }]];
  const conf = { ...CONF, ipam: { type: "host-local", ranges } };
  t.match(await node.runtime.call("STATUS", undefined, conf), { code: 0, stdout: "" });
  await attach(node, await node.pod("pod"), conf);
  t.match((await node.runtime.call("STATUS", undefined, conf)).json, { code: 50 });
});
