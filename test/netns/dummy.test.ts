import t from "tap";
import { attach, collect, detach, fakeIpam, ipamCalls, kernelState, RANGE_4, RANGE_6 } from "./bridge-fixture.ts";
import { affords, lackingFeatures, needs } from "./harness/full-kernel.ts";
import { startNode } from "./harness/node.ts";
import type { Pod } from "./harness/pod.ts";

const ipam = { type: "host-local", ranges: [RANGE_4, RANGE_6] } as const;
const CONF = { type: "dummy", cniVersion: "1.1.0", name: "test", ipam } as const;

t.test("a dummy interface comes with its addresses, and goes by DEL", needs("dummy"), async (t) => {
  const node = await startNode(t);
  const pod = await node.pod("pod");
  await pod.runOk(["ip", "link", "set", "lo", "up"]);
  const before = await kernelState(node);
  const prevResult = await attach(node, pod, CONF);
  const [inside] = JSON.parse(await pod.runOk(["ip", "-d", "-j", "link", "show", "eth0"]));
  t.equal(inside.linkinfo.info_kind, "dummy");
  t.strictSame(prevResult, {
    cniVersion: "1.1.0",
    interfaces: [{ name: "eth0", mac: inside.address, mtu: 1500, sandbox: pod.netns }],
    ips: [
      { address: "10.22.0.2/16", gateway: "10.22.0.1", interface: 0 },
      { address: "fd00:22::2/64", gateway: "fd00:22::1", interface: 0 },
    ],
    routes: [],
  });
  t.ok(await pod.pings("10.22.0.2", 1));
  t.equal(inside.ifalias, `podwire interface net=test cid=${pod.containerId} if=eth0`);
  t.equal(await kernelState(node), before, "the node has nothing of it");
  await detach(node, pod, CONF);
  t.equal(await linksOf(pod), "lo");
});

t.test("what becomes of a dummy interface otherwise", needs("dummy"), async (t) => {
  if (!affords("dummy")) return;
  const node = await startNode(t);
  const [pod, other] = [await node.pod("pod"), await node.pod("other")];
  const prevResult = await attach(node, pod, CONF);
  const [{ group }] = JSON.parse(await pod.runOk(["ip", "-j", "link", "show", "eth0"]));
  t.match((await node.cni("ADD", pod, CONF)).json, { code: 4, msg: /"eth0" exists already/ });
  t.match(await node.cni("CHECK", pod, { ...CONF, prevResult }), { code: 0, stdout: "" });
  await pod.runOk(["ip", "link", "set", "eth0", "down"]);
  t.match((await node.cni("CHECK", pod, { ...CONF, prevResult })).json, { code: 100, msg: /eth0: want up, have down/ });
  t.match(await node.runtime.call("STATUS", undefined, CONF), { code: 0, stdout: "" });

  await attach(node, other, CONF);
  for (const each of [pod, pod]) await detach(node, each, CONF); // twice is fine
  await other.deleteNetns();
  t.match(await collect(node, [], CONF), { code: 0 });
  t.notMatch(await node.sh("ls /var/lib/cni/networks/test"), "10.22.0.", "P3: no address is kept");

  await pod.runOk(["ip", "link", "add", "eth0", "type", "dummy"]);
  await detach(node, pod, CONF);
  t.match(await linksOf(pod), "eth0", "S15: somebody else's interface of that name stays");
  await pod.runOk(["ip", "link", "set", "eth0", "group", String(group)]);
  await detach(node, pod, CONF);
  t.equal(await linksOf(pod), "lo", "ours that an ADD did not live to mark does not");

  const env = await fakeIpam(node, { ips: [{ address: "ff02::7/64" }] });
  t.match((await node.cni("ADD", pod, { ...CONF, ipam: { type: "fake" } }, env)).json, { code: 7, msg: /ff02::7/ });
  t.equal(await linksOf(pod), "lo", "P4: nothing is left of a failed ADD");
  t.equal(await ipamCalls(node), "ADD DEL");
});

async function linksOf(pod: Pod): Promise<string> {
  const links: { ifname: string }[] = JSON.parse(await pod.runOk(["ip", "-j", "link"]));
  return links.map(({ ifname }) => ifname).join(" ");
}

t.test("without IPAM there is nothing to do, and a kernel without the device says so", async (t) => {
  const node = await startNode(t);
  const pod = await node.pod("pod");
  t.match((await node.cni("ADD", pod, { ...CONF, ipam: {} })).json, { code: 7, msg: /ipam is missing/ });
  if (!lackingFeatures().includes("dummy")) return;
  t.match((await node.cni("ADD", pod, CONF)).json, { code: 101, msg: /dummy.*CONFIG_DUMMY/ });
  t.match((await node.runtime.call("STATUS", undefined, CONF)).json, { code: 50, msg: /dummy.*CONFIG_DUMMY/ });
  await detach(node, pod, CONF);
  t.equal(await linksOf(pod), "lo");
});
