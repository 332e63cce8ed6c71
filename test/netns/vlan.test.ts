import t from "tap";
import { attach, detach, kernelState } from "./bridge-fixture.ts";
import { affords, lackingFeatures, needs } from "./harness/full-kernel.ts";
import { startNode } from "./harness/node.ts";
import { IPAM, joinLan, linkOf, linksOf } from "./lan-fixture.ts";

const CONF = { type: "vlan", cniVersion: "1.1.0", name: "test", master: "eth0", vlanId: 5, ipam: IPAM } as const;
const ROUTER = { device: "five", setup: "ip -n lan link add five link wire type vlan id 5" } as const;

t.test("a pod is in a VLAN of the node's network; P5: DEL works when the master is gone", needs("vlan"), async (t) => {
  const node = await startNode(t);
  await joinLan(node, ROUTER);
  const pod = await node.pod("pod");
  const before = await kernelState(node);
  const answer = await attach(node, pod, CONF);
  const link = await linkOf(pod);
  t.match(answer, {
    interfaces: [{ name: "eth0", mac: link.address, mtu: 1500, sandbox: pod.netns }],
    ips: [
      { address: "10.22.0.2/16", gateway: "10.22.0.1", interface: 0 },
      { address: "fd00:22::2/64", gateway: "fd00:22::1", interface: 0 },
    ],
  });
  t.match(link, {
    ifalias: `podwire interface net=test cid=${pod.containerId} if=eth0`,
    linkinfo: { info_kind: "vlan", info_data: { id: 5 } },
  });
  for (const address of ["10.22.0.1", "fd00:22::1"]) t.ok(await pod.pings(address), address);
  await detach(node, pod, CONF);
  t.equal(await linksOf(pod), "lo");
  t.equal(await kernelState(node), before);

  await attach(node, pod, CONF);
  await node.sh("ip link del eth0");
  await detach(node, pod, CONF);
  t.equal(await node.sh("ls /var/lib/cni/networks/test"), "last_reserved_ip.0\nlast_reserved_ip.1\nlock\n");
});

t.test("one VLAN has one pod; mtu, CHECK and a master in the pod", needs("vlan"), async (t) => {
  if (!affords("vlan")) return;
  const node = await startNode(t);
  await joinLan(node, ROUTER);
  const [pod, other] = [await node.pod("pod"), await node.pod("other")];
  const conf = { ...CONF, mtu: 1400 };
  const prevResult = await attach(node, pod, conf);
  t.match(await linkOf(pod), { mtu: 1400 });
  t.match(await node.cni("CHECK", pod, { ...conf, prevResult }), { code: 0 });
  const checked = await node.cni("CHECK", pod, { ...conf, vlanId: 6, prevResult });
  t.match(checked.json, { code: 100, msg: /vlanId: want 6, have 5/ });
  const second = await node.cni("ADD", other, conf);
  t.match(second.json, { code: 7, msg: /vlanId: 5 of "eth0" has a link already/ });
  t.equal(await linksOf(other), "lo");
  const inside = { ...CONF, name: "inside", vlanId: 9, linkInContainer: true };
  await attach(node, pod, inside, { CNI_IFNAME: "eth0.9" });
  t.equal(await linksOf(pod), "lo eth0 eth0.9");
  t.match(await linkOf(pod, "eth0.9"), { linkinfo: { info_data: { id: 9 } } });
  const large = await node.cni("ADD", other, { ...CONF, vlanId: 7, mtu: 1501 });
  t.match(large.json, { code: 7, msg: /mtu: 1501 is more than the 1500 of master "eth0"/ });
  t.match(await node.runtime.call("STATUS", undefined, conf), { code: 0, stdout: "" });
  const missing = await node.runtime.call("STATUS", undefined, { ...conf, master: "eth7" });
  t.match(missing.json, { code: 50, msg: /master: "eth7"/ });
});

t.test("what cannot be is told; so is a kernel without the device", async (t) => {
  const node = await startNode(t);
  const pod = await node.pod("pod");
  t.match((await node.cni("ADD", pod, { ...CONF, master: "" })).json, { code: 7, msg: /master is missing/ });
  t.match((await node.cni("ADD", pod, { ...CONF, vlanId: 4095 })).json, { code: 7, msg: /vlanId: 4095/ });
  t.match((await node.cni("ADD", pod, CONF)).json, { code: 7, msg: /master: "eth0" is no interface/ });
  await detach(node, pod, { ...CONF, master: "", vlanId: "x" });
  if (!lackingFeatures().includes("vlan")) return;
  t.match((await node.cni("ADD", pod, { ...CONF, master: "lo" })).json, { code: 101, msg: /vlan.*CONFIG_VLAN_8021Q/ });
  t.match((await node.runtime.call("STATUS", undefined, CONF)).json, { code: 50, msg: /vlan.*CONFIG_VLAN_8021Q/ });
  t.equal(await linksOf(pod), "lo");
});
