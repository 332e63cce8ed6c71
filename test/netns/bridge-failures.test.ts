import t from "tap";
import { attach, bridgeConf, detach, FULL, fakeIpam, ipamCalls, kernelState, RANGE_4 } from "./bridge-fixture.ts";
import { startNode } from "./harness/node.ts";
import { clean } from "./harness/snapshot.ts";

t.test("P4: whatever fails in an ADD, nothing of it is left", async (t) => {
  const node = await startNode(t);
  const first = await node.pod("first");
  await attach(node, first, FULL);
  await detach(node, first, FULL);
  const idle = await kernelState(node);
  const lease = { ips: [{ address: "10.22.0.7/16" }, { address: "fd00:22::7/64" }] };
  const conf = { ...FULL, ipam: { type: "fake" } };
  for (const [what, answer, script, keys, error, calls] of [
    ["IPAM fails", lease, 'echo \'{"code":50,"msg":"no more"}\'; exit 1', {}, { code: 50, msg: "no more" }, "ADD DEL"],
    ["IPAM says nonsense", lease, "echo nonsense; exit 0", {}, { code: 6 }, "ADD DEL"],
    ["IPAM has no address", { ips: [] }, ":", {}, { code: 7, msg: /ips is empty/ }, "ADD DEL"],
    [
      "the kernel refuses an address",
      { ips: [{ address: "ff02::7/64", gateway: "fd00:22::1" }] },
      ":",
      {},
      { code: 7, msg: /ff02::7/ },
      "ADD DEL",
    ],
    [
      "the kernel refuses a gateway",
      { ips: [{ address: "ff02::7/64" }] },
      ":",
      {},
      { code: 7, msg: /ff02::1/ },
      "ADD DEL",
    ],
    [
      "the default route is another's",
      { ...lease, routes: [{ dst: "0.0.0.0/0", gw: "10.22.0.9" }] },
      ":",
      {},
      { code: 7, msg: /isDefaultGateway/ },
      "ADD DEL",
    ],
    [
      "the bridge has another address",
      { ips: [{ address: "10.22.0.7/16", gateway: "10.22.0.254" }] },
      ":",
      {},
      { code: 7, msg: /forceAddress/ },
      "ADD DEL",
    ],
    [
      "the kernel refuses a route",
      { ...lease, routes: [{ dst: "192.0.2.0/24", gw: "203.0.113.1" }] },
      ":",
      {},
      { code: 7, msg: /192.0.2.0\/24 via 203.0.113.1/ },
      "ADD DEL",
    ],
    [
      "the pod's link disappears meanwhile",
      lease,
      'nsenter --net="$CNI_NETNS" ip link del "$CNI_IFNAME"',
      {},
      { code: /\d+/ },
      "ADD DEL",
    ],
    ["there is no such IPAM plugin", lease, ":", { ipam: { type: "nowhere" } }, { code: 7, msg: /nowhere/ }, ""],
    [
      "vlan without VLAN filtering",
      lease,
      ":",
      { bridge: "cni7", vlan: 100 },
      { code: 7, msg: /vlan: 100.*CONFIG_BRIDGE_VLAN_FILTERING/ },
      "",
    ],
    [
      "vlanTrunk without VLAN filtering",
      lease,
      ":",
      { bridge: "cni7", vlanTrunk: [{ id: 5 }, { minID: 7, maxID: 9 }] },
      { code: 7, msg: /vlanTrunk: 5,7-9/ },
      "",
    ],
  ] as const) {
    const env = await fakeIpam(node, answer, script);
    const called = await node.cni("ADD", await node.pod("pod"), { ...conf, ...keys }, env);
    t.not(called.code, 0, what);
    t.match(called.json, error, what);
    t.equal(await kernelState(node), idle, `${what}: the node is as before`);
    t.equal(await ipamCalls(node), calls, `${what}: the address is given back`);
  }
});

t.test("P4: a failed first ADD of a network takes bridge and tables away again", async (t) => {
  const node = await startNode(t);
  const untouched = await kernelState(node);
  const lease = { ips: [{ address: "10.22.0.7/16" }], routes: [{ dst: "192.0.2.0/24", gw: "203.0.113.1" }] };
  const env = await fakeIpam(node, lease);
  t.match(await node.cni("ADD", await node.pod("pod"), { ...FULL, ipam: { type: "fake" } }, env), { code: 1 });
  t.equal(await kernelState(node), untouched);
});

t.test("P4: nftables refusing the rules undoes the rest", async (t) => {
  const node = await startNode(t);
  await node.sh("nft 'add table inet podwire; add map inet podwire egress4 { type inet_service : verdict; }'");
  const before = await kernelState(node);
  const env = await fakeIpam(node, { ips: [{ address: "10.22.0.7/16" }] });
  t.match(await node.cni("ADD", await node.pod("pod"), { ...FULL, ipam: { type: "fake" } }, env), { code: 1 });
  t.equal(await kernelState(node), before);
  t.equal(await ipamCalls(node), "ADD DEL");
});

t.test("a bridge that disappears during ADD is an error, and nothing is left", async (t) => {
  const node = await startNode(t);
  const untouched = await kernelState(node);
  const env = await fakeIpam(node, { ips: [{ address: "10.22.0.7/16" }] }, "ip link del cni0");
  for (const isDefaultGateway of [true, false]) {
    const conf = bridgeConf({ ipam: { type: "fake" }, isDefaultGateway });
    t.match(await node.cni("ADD", await node.pod("pod"), conf, env), { code: 1 });
    t.equal(await kernelState(node), untouched);
  }
});

t.test("an interface or an attachment that exists is refused and not touched", async (t) => {
  const node = await startNode(t);
  const pod = await node.pod("pod");
  const conf = bridgeConf();
  await attach(node, pod, conf);
  const state = async () => [await kernelState(node), clean(await pod.runOk(["ip", "address"]))];
  const before = await state();
  const again = await node.cni("ADD", pod, conf);
  t.match(again.json, { code: 4, msg: /CNI_IFNAME "eth0" exists already/ });
  t.strictSame(await state(), before);

  const other = await node.pod("other"); // the same attachment, but another namespace
  const elsewhere = await node.cni("ADD", pod, conf, { CNI_NETNS: other.netns });
  t.match(elsewhere.json, { code: 4, msg: /is attached already/ });
  t.strictSame(await state(), before);
});

t.test("wrong values are code 7 with key and value, before anything is touched", async (t) => {
  const node = await startNode(t);
  const pod = await node.pod("pod");
  const before = await kernelState(node);
  for (const [keys, msg] of [
    [{ hairpinMode: true, promiscMode: true }, /hairpinMode.*promiscMode/],
    [{ disableContainerInterface: true }, /disableContainerInterface.*host-local/],
    [{ bridge: "a-name-that-is-too-long" }, /bridge: "a-name-that-is-too-long"/],
    [{ bridge: "../x" }, /bridge: "..\/x"/],
    [{ bridge: 7 }, /bridge: 7/],
    [{ bridge: "lo" }, /"lo"/],
    [{ mtu: -1 }, /mtu: -1/],
    [{ mtu: 70000 }, /mtu: 70000/],
    [{ isGateway: "yes" }, /isGateway: "yes"/],
    [{ vlan: 4095 }, /vlan: 4095/],
    [{ vlanTrunk: [{ minID: 9, maxID: 3 }] }, /vlanTrunk\[0\].*"minID":9/],
    [{ vlanTrunk: [{ id: 0 }] }, /vlanTrunk\[0\].id: 0/],
    [{ preserveDefaultVlan: "no" }, /preserveDefaultVlan: "no"/],
    [{ ipMasqBackend: "pf" }, /ipMasqBackend: "pf"/],
    [{ runtimeConfig: { mac: "zz" } }, /runtimeConfig.mac: "zz"/],
    [{ args: { cni: { mac: "01:00:5e:00:00:01" } } }, /args.cni.mac: "01:00:5e:00:00:01" is a group address/],
    [{ name: "n".repeat(250) }, /name: "nnn.*255 bytes/],
    [{ cniVersion: "0.2.0", ipam: {} }, /cniVersion: "0.2.0"/],
  ] as const) {
    const called = await node.cni("ADD", pod, bridgeConf(keys));
    t.match(called.json, { code: 7, msg }, JSON.stringify(keys));
  }
  const badMac = await node.cni("ADD", pod, bridgeConf(), { CNI_ARGS: "MAC=1:2" });
  t.match(badMac.json, { code: 4, msg: /CNI_ARGS MAC: "1:2"/ });
  t.equal(await kernelState(node), before);
  t.match(await pod.runOk(["ip", "-br", "link"]), /^lo[^\n]*\n$/);
});

t.test("ipMasqBackend iptables is served by nftables, with a note in the log", async (t) => {
  const node = await startNode(t);
  const called = await node.cni("ADD", await node.pod("pod"), { ...FULL, ipMasqBackend: "iptables" });
  t.match(called, { code: 0, stderr: /ipMasqBackend/ });
  t.match(await node.sh("nft list ruleset"), /10\.22\.0\.2/);
});

t.test("S4: the node's own namespace, something else and nothing at all are refused", async (t) => {
  const node = await startNode(t);
  const pod = await node.pod("pod");
  const before = await kernelState(node);
  await node.sh("mkdir -p /run/x; touch /run/x/file; ln -s /proc/self/ns/net /run/x/own");
  for (const [netns, code] of [
    [`/proc/${node.pid}/ns/net`, 8],
    ["/run/x/own", 8],
    ["/run/x/file", 8],
    ["/run/x", 8],
    [`/proc/${node.pid}/ns/uts`, 8],
    ["/run/netns/missing", 4],
    ["netns/relative", 4],
  ] as const) {
    const called = await node.cni("ADD", pod, FULL, { CNI_NETNS: netns });
    t.match(called.json, { code, msg: /CNI_NETNS/ }, netns);
  }
  t.equal(await kernelState(node), before);
});

t.test("S4: a namespace that is swapped during ADD is not followed", async (t) => {
  const node = await startNode(t);
  const pod = await node.pod("pod");
  const decoy = await node.pod("decoy");
  await node.sh(`ip netns exec ${decoy.containerId} ip link set lo up; ln -s ${pod.netns} /run/swapped`);
  const env = await fakeIpam(node, { ips: [{ address: "10.22.0.7/16" }] }, `ln -sfn ${decoy.netns} /run/swapped`);
  const conf = bridgeConf({ ipam: { type: "fake" } });
  await attach(node, pod, conf, { ...env, CNI_NETNS: "/run/swapped" });
  t.match(await pod.runOk(["ip", "address", "show", "eth0"]), "10.22.0.7/16");
  t.notMatch(await decoy.runOk(["ip", "link"]), "eth0");
});

t.test("forceAddress replaces the bridge's address in the same subnet; without it that is an error", async (t) => {
  const node = await startNode(t);
  await attach(node, await node.pod("old"), bridgeConf({ ipam: { type: "host-local", ranges: [RANGE_4] } }));
  const ranges = [[{ subnet: "10.22.0.0/16", gateway: "10.22.0.254" }]];
  const conf = bridgeConf({ ipam: { type: "host-local", ranges } });
  const refused = await node.cni("ADD", await node.pod("new"), conf);
  t.match(refused.json, { code: 7, msg: /10\.22\.0\.1\/16.*10\.22\.0\.254\/16.*forceAddress/ });
  await attach(node, await node.pod("new"), { ...conf, forceAddress: true });
  const addresses = await node.sh("ip -4 address show cni0");
  t.match(addresses, "10.22.0.254/16");
  t.notMatch(addresses, "10.22.0.1/16");
});
