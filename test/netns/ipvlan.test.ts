import t from "tap";
import { attach, detach, kernelState } from "./bridge-fixture.ts";
import { affords, lackingFeatures, needs } from "./harness/full-kernel.ts";
import { startNode } from "./harness/node.ts";
import { IPAM, joinLan, linkOf, linksOf } from "./lan-fixture.ts";

const CONF = { type: "ipvlan", cniVersion: "1.1.0", name: "test", ipam: IPAM } as const;

t.test("a pod is on the node's network by the node's MAC address; DEL needs nothing", needs("ipvlan"), async (t) => {
  const node = await startNode(t);
  await joinLan(node);
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
    linkinfo: { info_kind: "ipvlan", info_data: { mode: "l2" } },
  });
  for (const address of ["10.22.0.1", "fd00:22::1"]) t.ok(await pod.pings(address), address);
  t.match(await node.sh("ip link show eth0"), link.address);
  await detach(node, pod, { ...CONF, master: "gone", mode: "nonsense" });
  t.equal(await linksOf(pod), "lo");
  t.equal(await kernelState(node), before);
});

t.test("modes, mtu, and a plugin before it in the chain", needs("ipvlan"), async (t) => {
  if (!affords("ipvlan")) return;
  const node = await startNode(t);
  await joinLan(node);
  const pod = await node.pod("pod");
  for (const mode of ["l3", "l3s", "l2"] as const) {
    const conf = { ...CONF, master: "eth0", mode, mtu: 1400 };
    const prevResult = await attach(node, pod, conf);
    t.match(await linkOf(pod), { mtu: 1400, linkinfo: { info_data: { mode } } });
    t.match(await node.cni("CHECK", pod, { ...conf, prevResult }), { code: 0 });
    await pod.runOk(["ip", "link", "set", "eth0", "type", "ipvlan", "mode", mode === "l2" ? "l3" : "l2"]);
    t.match((await node.cni("CHECK", pod, { ...conf, prevResult })).json, { code: 100, msg: /mode: want l/ });
    await detach(node, pod, conf);
  }
  const before = {
    interfaces: [{ name: "eth0" }],
    ips: [{ address: "10.22.0.9/16" }],
    routes: [{ dst: "192.0.2.0/24" }],
  };
  const chained = { ...CONF, ipam: {}, prevResult: before };
  t.match(await attach(node, pod, chained), {
    interfaces: [{ name: "eth0", sandbox: pod.netns }],
    ips: [{ address: "10.22.0.9/16", interface: 0 }],
  });
  t.ok(await pod.pings("10.22.0.1"));
  await detach(node, pod, chained);
  const several = { ...before, interfaces: [{ name: "a" }, { name: "b" }] };
  const refused = await node.cni("ADD", pod, { ...chained, prevResult: several });
  t.match(refused.json, { code: 7, msg: /prevResult has 2 interfaces/ });
});

t.test("what cannot be is told; so is a kernel without the device", async (t) => {
  const node = await startNode(t);
  const pod = await node.pod("pod");
  t.match((await node.cni("ADD", pod, { ...CONF, ipam: {} })).json, { code: 7, msg: /ipam is missing/ });
  t.match((await node.cni("ADD", pod, { ...CONF, mode: "l4" })).json, { code: 7, msg: /mode: "l4"/ });
  t.match((await node.cni("ADD", pod, CONF)).json, { code: 7, msg: /this node has no default route/ });
  await detach(node, pod, CONF);
  if (!lackingFeatures().includes("ipvlan")) return;
  t.match((await node.cni("ADD", pod, { ...CONF, master: "lo" })).json, { code: 101, msg: /ipvlan.*CONFIG_IPVLAN/ });
  t.match((await node.runtime.call("STATUS", undefined, CONF)).json, { code: 50, msg: /ipvlan.*CONFIG_IPVLAN/ });
  t.equal(await linksOf(pod), "lo");
});
