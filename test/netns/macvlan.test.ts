import t from "tap";
import { attach, collect, detach, fakeIpam, ipamCalls, kernelState } from "./bridge-fixture.ts";
import { startNode } from "./harness/node.ts";
import { IPAM, joinLan, linkOf, linksOf } from "./lan-fixture.ts";

const CONF = { type: "macvlan", cniVersion: "1.1.0", name: "test", ipam: IPAM } as const;

t.test("pods are on the node's network, each with its own MAC address; DEL leaves the node as it was", async (t) => {
  const node = await startNode(t);
  await joinLan(node);
  const [red, blue] = [await node.pod("red"), await node.pod("blue")];
  const before = await kernelState(node);
  const answer = await attach(node, red, { ...CONF, dns: { nameservers: ["10.0.0.53"] } });
  const link = await linkOf(red);
  t.strictSame(answer, {
    cniVersion: "1.1.0",
    interfaces: [{ name: "eth0", mac: link.address, mtu: 1500, sandbox: red.netns }],
    ips: [
      { address: "10.22.0.2/16", gateway: "10.22.0.1", interface: 0 },
      { address: "fd00:22::2/64", gateway: "fd00:22::1", interface: 0 },
    ],
    routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }],
    dns: { nameservers: ["10.0.0.53"] },
  });
  t.match(link, {
    ifalias: `podwire interface net=test cid=${red.containerId} if=eth0`,
    linkinfo: { info_kind: "macvlan", info_data: { mode: "bridge" } },
  });
  t.equal(await red.runOk(["cat", "/proc/sys/net/ipv6/conf/eth0/accept_ra"]), "0\n", "S5");
  await attach(node, blue, { ...CONF, master: "eth0" });
  for (const address of ["10.22.0.3", "fd00:22::3", "10.22.0.1", "fd00:22::1", "198.51.100.9"]) {
    t.ok(await red.pings(address, 1), `${address} answers at once`);
  }
  const heard = await node.sh("ip -n lan neighbour show 10.22.0.2");
  t.match(heard, link.address, "the network knows the pod's own MAC address");
  for (const pod of [red, blue, blue]) await detach(node, pod, CONF); // twice is fine
  t.equal(await linksOf(red), "lo");
  t.equal(await kernelState(node), before);
});

t.test("mode, mtu, mac, bcqueuelen, and a master in the pod", async (t) => {
  const node = await startNode(t);
  await joinLan(node);
  const pod = await node.pod("pod");
  const runtimeConfig = { mac: "02:00:00:00:00:03" };
  const conf = { ...CONF, mode: "private", mtu: 1400, mac: "02:00:00:00:00:01", bcqueuelen: 77 };
  for (const [keys, args, mac] of [
    [{}, "", "02:00:00:00:00:01"],
    [{}, "IgnoreUnknown=1;MAC=02:00:00:00:00:02", "02:00:00:00:00:02"],
    [{ runtimeConfig }, "IgnoreUnknown=1;MAC=02:00:00:00:00:02", "02:00:00:00:00:03"],
  ] as const) {
    const answer = await attach(node, pod, { ...conf, ...keys }, { CNI_ARGS: args });
    t.match(answer.interfaces, [{ mac, mtu: 1400 }]);
    t.match(await linkOf(pod), {
      address: mac,
      mtu: 1400,
      linkinfo: { info_data: { mode: "private", bcqueuelen: 77 } },
    });
    await detach(node, pod, conf);
  }
  await attach(node, pod, { ...CONF, ipam: {} }); // a network of layer 2 alone
  t.equal((await pod.runOk(["ip", "-4", "address"])).includes("eth0"), false);
  const inside = { ...CONF, name: "inside", master: "eth0", linkInContainer: true };
  const answer = await attach(node, pod, inside, { CNI_IFNAME: "eth1" });
  t.match(answer.interfaces, [{ name: "eth1" }]);
  t.ok(await pod.pings("10.22.0.1"), "by way of both");
  t.match(await node.cni("CHECK", pod, { ...inside, prevResult: answer }, { CNI_IFNAME: "eth1" }), { stdout: "" });
  await node.runtime.call("DEL", pod, inside, { CNI_IFNAME: "eth1" });
  t.equal(await linksOf(pod), "lo eth0");
});

t.test("P5: DEL needs no master, no default route, no namespace and no sane configuration", async (t) => {
  const node = await startNode(t);
  await joinLan(node);
  const [red, blue, other] = [await node.pod("red"), await node.pod("blue"), await node.pod("other")];
  for (const pod of [red, blue]) await attach(node, pod, CONF);
  await other.runOk(["ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth1"]);
  await detach(node, other, CONF);
  t.match(await linksOf(other), "eth0", "S15: somebody else's interface of that name stays");
  await node.sh("ip route del default");
  await detach(node, red, { ...CONF, mode: "nonsense", mtu: "large" });
  t.equal(await linksOf(red), "lo");
  await node.sh("ip link del eth0");
  await blue.deleteNetns();
  await detach(node, blue, CONF);
  await detach(node, red, CONF);
  t.equal(await node.sh("ls /var/lib/cni/networks/test"), "last_reserved_ip.0\nlast_reserved_ip.1\nlock\n");
});

t.test("P4: whatever fails in an ADD, nothing of it is left; what cannot be is told with key and value", async (t) => {
  const node = await startNode(t);
  await joinLan(node);
  const pod = await node.pod("pod");
  const before = await kernelState(node);
  const env = await fakeIpam(node, { ips: [{ address: "ff02::7/64" }] });
  t.match((await node.cni("ADD", pod, { ...CONF, ipam: { type: "fake" } }, env)).json, { code: 7, msg: /ff02::7/ });
  t.equal(await ipamCalls(node), "ADD DEL");
  for (const [keys, msg] of [
    [{ master: "eth7" }, /master: "eth7" is no interface of this node/],
    [{ master: "eth7", linkInContainer: true }, /master: "eth7" is no interface of the container/],
    [{ linkInContainer: true }, /master is missing, and the container has no default route/],
    [{ mtu: 1501 }, /mtu: 1501 is more than the 1500 of master "eth0"/],
    [{ mode: "source" }, /mode: "source" is not one of/],
    [{ mac: "01:00:00:00:00:00" }, /mac: "01:00:00:00:00:00" is a group address/],
    [{ bcqueuelen: -1 }, /bcqueuelen: -1/],
    [{ cniVersion: "0.2.0", ipam: {} }, /cniVersion: "0.2.0"/],
  ] as const) {
    t.match((await node.cni("ADD", pod, { ...CONF, ...keys })).json, { code: 7, msg }, JSON.stringify(keys));
  }
  const other = await node.pod("other");
  await attach(node, other, CONF);
  const refused = await node.cni("ADD", pod, { ...CONF, mode: "passthru" });
  t.match(refused.json, { code: 7, msg: /macvlan: refused by the kernel: .*EINVAL/ }, "the kernel's own reason");
  t.match((await node.cni("ADD", other, CONF)).json, { code: 4, msg: /"eth0" exists already/ });
  await detach(node, other, CONF);
  t.equal(await linksOf(pod), "lo");
  t.equal(await kernelState(node), before);
});

t.test("CHECK, STATUS and GC", async (t) => {
  const node = await startNode(t);
  await joinLan(node);
  const pod = await node.pod("pod");
  const conf = { ...CONF, master: "eth0" };
  const prevResult = await attach(node, pod, conf);
  t.match(await node.cni("CHECK", pod, { ...conf, prevResult }), { code: 0, stdout: "" });
  await pod.runOk([
    "sh",
    "-c",
    "ip link set eth0 type macvlan mode vepa; ip route del default; ip link set eth0 mtu 1300",
  ]);
  const { json } = await node.cni("CHECK", pod, { ...conf, prevResult });
  for (const msg of [/mode: want bridge, have vepa/, /route \(IPv4\)/, /mtu: want 1500, have 1300/]) {
    t.match(json, { code: 100, msg });
  }
  await node.sh("ip link set eth0 name uplink; ip link add eth0 type bridge");
  t.match((await node.cni("CHECK", pod, { ...conf, prevResult })).json, { code: 100, msg: /master/ });

  t.match(await node.runtime.call("STATUS", undefined, conf), { code: 0, stdout: "" });
  const missing = await node.runtime.call("STATUS", undefined, { ...conf, master: "eth7" });
  t.match(missing.json, { code: 50, msg: /master: "eth7"/ });
  await pod.deleteNetns();
  t.match(await collect(node, [], conf), { code: 0 });
  t.notMatch(await node.sh("ls /var/lib/cni/networks/test"), "10.22");
});
