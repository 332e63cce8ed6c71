import t from "tap";
import { attach, collect, detach, fakeIpam, kernelState } from "./bridge-fixture.ts";
import { startNode } from "./harness/node.ts";
import { linkOf, linksOf } from "./lan-fixture.ts";

const ipam = { type: "host-local", ranges: [[{ subnet: "10.22.0.0/16" }], [{ subnet: "fd00:22::/64" }]] } as const;
const CONF = { type: "host-device", cniVersion: "1.1.0", name: "test", device: "nic", ipam } as const;
/** The node's card, and what is behind it. */
const CARD = `ip netns add lan; ip link add nic type veth peer name wire netns lan; ip link set nic up
ip -n lan link set wire up; ip -n lan address add 10.22.0.1/16 dev wire; ip -n lan address add fd00:22::1/64 dev wire nodad`;

t.test(
  "a device of the node is the pod's until DEL, which gives it its name back; whatever fails, it comes back",
  async (t) => {
    const node = await startNode(t);
    await node.sh(`${CARD}; ip link add eth0 type bridge`); // the node may have an eth0 of its own
    const pod = await node.pod("pod");
    const [card] = JSON.parse(await node.sh("ip -j link show nic"));
    const before = await kernelState(node);
    const answer = await attach(node, pod, CONF);
    t.strictSame(answer, {
      cniVersion: "1.1.0",
      interfaces: [{ name: "eth0", mac: card.address, mtu: 1500, sandbox: pod.netns }],
      ips: [
        { address: "10.22.0.2/16", gateway: "10.22.0.1", interface: 0 },
        { address: "fd00:22::2/64", gateway: "fd00:22::1", interface: 0 },
      ],
      routes: [],
    });
    t.match(await linkOf(pod), { ifalias: `podwire device net=test cid=${pod.containerId} if=eth0 from=nic` });
    for (const address of ["10.22.0.1", "fd00:22::1"]) t.ok(await pod.pings(address), address);
    t.match(await node.cni("CHECK", pod, { ...CONF, prevResult: answer }), { stdout: "" });
    t.match((await node.cni("ADD", pod, CONF)).json, { code: 4, msg: /"eth0" exists already/ });
    t.match((await node.cni("ADD", await node.pod("other"), CONF)).json, {
      code: 7,
      msg: /device: "nic" is no network device/,
    });
    for (const each of [pod, pod]) await detach(node, each, CONF); // twice is fine
    t.equal(await linksOf(pod), "lo");
    t.match(await node.sh("ip link show nic"), card.address);
    await node.sh("ip link set nic up");
    t.equal(await kernelState(node), before);

    const env = await fakeIpam(node, { ips: [{ address: "ff02::7/64" }] });
    t.match((await node.cni("ADD", pod, { ...CONF, ipam: { type: "fake" } }, env)).json, { code: 7, msg: /ff02::7/ });
    t.equal(await kernelState(node), before, "P4: it is as it was, and up");
    const plain = { ...CONF, ipam: {}, device: "", hwaddr: card.address.toUpperCase() };
    t.match((await attach(node, pod, plain)).interfaces, [{ name: "eth0", mac: card.address }], "by its MAC address");
    await detach(node, pod, plain);
  },
);

t.test("P5: DEL finds a device that came back by itself, and GC does; a name that is taken is told", async (t) => {
  const node = await startNode(t);
  await node.sh(CARD);
  const pod = await node.pod("pod");
  // What the kernel does with hardware when its namespace ends.
  const comesBack = () => node.sh(`ip -n ${pod.containerId} link set eth0 netns ${node.pid} name dev7`);
  await attach(node, pod, CONF);
  await comesBack();
  await detach(node, pod, CONF);
  t.notMatch(await node.sh("ip link"), "dev7");
  t.notMatch(await node.sh("ip link show nic"), "alias");

  await attach(node, pod, CONF);
  await comesBack();
  t.match(await collect(node, [pod], CONF), { code: 0 });
  t.match(await node.sh("ip link"), "dev7", "a valid attachment's is left alone");
  t.match(await collect(node, [], CONF), { code: 0 });
  t.notMatch(await node.sh("ip link"), "dev7");

  await attach(node, pod, CONF);
  await node.sh("ip link add nic type bridge");
  const refused = await node.cni("DEL", pod, CONF);
  t.match(refused.json, { msg: /the node has another interface "nic" now/ });
  t.equal(await linksOf(pod), "lo eth0");
  await node.sh("ip link del nic");
  await pod.deleteNetns(); // a virtual device goes with the namespace
  await detach(node, pod, CONF);
  t.equal(await node.sh("ls /var/lib/cni/networks/test"), "last_reserved_ip.0\nlast_reserved_ip.1\nlock\n", "P5");
});

t.test("what the reference plugin moved is given back; somebody else's interface stays", async (t) => {
  const node = await startNode(t);
  await node.sh(CARD);
  const pod = await node.pod("pod");
  const conf = { ...CONF, cniVersion: "1.0.0", ipam: {} };
  const before = await kernelState(node);
  const env = { CNI_COMMAND: "ADD", CNI_CONTAINERID: pod.containerId, CNI_NETNS: pod.netns, CNI_IFNAME: "eth0" };
  const theirs = await node.run(["/usr/lib/cni/host-device"], {
    input: JSON.stringify(conf),
    env: { PATH: process.env.PATH ?? "", CNI_PATH: "/usr/lib/cni", ...env },
  });
  const ours = { name: "eth0", sandbox: pod.netns };
  t.match(JSON.parse(theirs.stdout), { interfaces: [ours] });
  await detach(node, pod, { ...conf, device: "other" });
  t.equal(await linksOf(pod), "lo eth0", "not the device of this configuration");
  await detach(node, pod, conf);
  await node.sh("ip link set nic up");
  t.equal(await kernelState(node), before);
  t.match(await attach(node, pod, conf), { interfaces: [ours], ips: [], routes: [] });
});

t.test("what cannot be is told with key and value", async (t) => {
  const node = await startNode(t);
  const pod = await node.pod("pod");
  await node.sh("ip link add br0 type bridge; ip link set br0 alias 'podwire bridge net=other'");
  const before = await kernelState(node);
  for (const [keys, msg] of [
    [{ device: "" }, /device is missing/],
    [{ device: "nowhere" }, /device: "nowhere" is no network device/],
    [{ device: "lo" }, /device: "lo" cannot be moved/],
    [{ device: "br0" }, /device: "br0" serves network "other"/],
    [{ device: "", hwaddr: "zz" }, /hwaddr: .*zz/],
    [{ device: "", kernelpath: "/sys/devices/../../etc" }, /kernelpath: "\/sys\/devices\/..\/..\/etc"/],
    [{ device: "", kernelpath: "/sys/devices/system" }, /kernelpath: "\/sys\/devices\/system" is no network device/],
    [{ device: "", pciBusID: "../../x" }, /pciBusID: "..\/..\/x"/],
    [{ device: "", pciBusID: "0000:ff:1f.7" }, /pciBusID: "0000:ff:1f.7" is no network device/],
    [{ device: "", runtimeConfig: { deviceID: "../x" } }, /runtimeConfig.deviceID: "..\/x"/],
  ] as const) {
    t.match((await node.cni("ADD", pod, { ...CONF, ...keys })).json, { code: 7, msg }, JSON.stringify(keys));
  }
  t.equal(await kernelState(node), before);
  const status = (keys: object) => node.runtime.call("STATUS", undefined, { ...CONF, ...keys });
  t.match(await status({}), { code: 0, stdout: "" });
  t.match(await status({ device: "", capabilities: { deviceID: true } }), { code: 0 }, "the runtime will say which");
  t.match((await status({ device: "" })).json, { code: 7, msg: /device is missing/ });
});
