import t from "tap";
import { attach, collect, detach } from "./bridge-fixture.ts";
import { dhcpConf, LEASES, makeLan, onlyLease, startDnsmasq } from "./dhcp-fixture.ts";
import { HOSTED, startNode } from "./harness/node.ts";

t.test("dhcp: pods get leases of a dnsmasq, use them, and give them back", async (t) => {
  const node = await startNode(t);
  await makeLan(node);
  const dnsmasq = await startDnsmasq(
    node,
    "--dhcp-option=option:router,10.40.0.1",
    "--dhcp-option=option:classless-static-route,192.168.7.0/24,10.40.0.7,0.0.0.0/0,10.40.0.1",
  );
  const [red, blue] = [await node.pod("red"), await node.pod("blue")];
  const env = { CNI_ARGS: "IgnoreUnknown=1;K8S_POD_NAME=web-7" };
  const provide = [
    { option: "host-name", fromArg: "K8S_POD_NAME" },
    { option: "60", value: "podwire" },
  ];
  const named = dhcpConf({
    provide,
    request: [{ option: "121" }],
    priority: 70,
    daemonSocketPath: "/run/cni/dhcp.sock",
  });

  const called = await node.cni("ADD", red, named, env);
  t.equal(called.code, 0, called.stdout);
  t.match(called.stderr, /daemonSocketPath is not used/);
  const warned = /no podwire-agent runs.*"seconds":(35\d\d|3600)/.test(called.stderr);
  t.equal(warned, !HOSTED, "without an agent ADD says how long the lease lasts");
  const first = called.json as { ips: [{ address: string }] };
  const [{ address }] = first.ips;
  t.match(first, {
    ips: [{ address: /^10\.40\.0\.\d+\/24$/, gateway: "10.40.0.1", interface: 2 }],
    routes: [
      { dst: "192.168.7.0/24", gw: "10.40.0.7", priority: 70 },
      { dst: "0.0.0.0/0", gw: "10.40.0.1", priority: 70 },
    ],
  });
  t.match(await red.runOk(["ip", "-4", "addr", "show", "eth0"]), `inet ${address}`);
  const routes = await red.runOk(["ip", "route"]);
  t.match(routes, /^default via 10\.40\.0\.1 dev eth0 .*metric 70/m);
  t.match(routes, /^192\.168\.7\.0\/24 via 10\.40\.0\.7 dev eth0 .*metric 70/m);
  const id = Buffer.from(`\0${red.containerId}/test/eth0`)
    .toString("hex")
    .replace(/..(?=.)/g, "$&:");
  t.match(dnsmasq.leases(), new RegExp(`^\\d+ \\S+ ${address.split("/")[0]} web-7 ${id}$`, "m"), "name and client id");

  const second = await attach(node, blue, dhcpConf());
  t.match(second.routes, [{ dst: "0.0.0.0/0", gw: "10.40.0.1" }], "who does not ask for option 121 gets the router");
  const other = second.ips[0]?.address.split("/")[0] ?? "";
  t.ok(await red.pings(other), "pod to pod");
  t.ok(await blue.pings("10.40.0.1"), "pod to server");
  t.equal(dnsmasq.leases().trim().split("\n").length, 2);
  t.match(await node.sh(`stat -c '%a %U' ${LEASES} ${LEASES}/*.lease`), /^700 root\n600 root\n600 root\n$/);

  t.match(await node.cni("CHECK", red, { ...named, prevResult: first }, env), { code: 0, stdout: "" });
  const moved = { ...first, ips: [{ address: "10.40.0.99/24" }] };
  t.match(await node.cni("CHECK", red, { ...named, prevResult: moved }, env), { code: 1, json: { code: 100 } });
  const status = await node.runtime.call("STATUS", undefined, dhcpConf());
  t.match(status, { code: 0, stdout: "" });
  t.equal(/no podwire-agent runs/.test(status.stderr), !HOSTED);

  await detach(node, red, named);
  t.notMatch(dnsmasq.leases(), "web-7", "given back");
  t.match(await node.cni("CHECK", red, { ...named, prevResult: first }, env), { json: { code: 100 } });
  await detach(node, red, named);
  const again = await attach(node, red, named, env);
  t.not(again.ips[0]?.address, undefined);

  const ipam = { ...dhcpConf(), type: "dhcp" };
  t.match(await collect(node, [red], ipam), { code: 0, stdout: "" });
  t.equal(dnsmasq.leases().trim().split("\n").length, 1, "GC gives back what is not listed");
  t.match(await onlyLease(node), { containerId: red.containerId });
  await red.deleteNetns();
  t.match(await node.cni("DEL", red, named, { CNI_NETNS: "" }), { code: 0, stdout: "" });
  t.equal(await node.sh(`ls ${LEASES}/*.lease 2>/dev/null || true`), "", "forgotten without a namespace, too");
});

t.test("dhcp: without a server ADD is tried again later, and leaves nothing", async (t) => {
  const node = await startNode(t);
  const pod = await node.pod("pod");
  const before = await node.snapshot({ files: false });
  const failed = await node.cni("ADD", pod, dhcpConf({ resendtimeout: "300ms" }, { bridge: "lan1" }));
  t.match(failed, {
    code: 1,
    json: { code: 11, msg: /no DHCP server answered 1 message in \d s; see whether a server/ },
  });
  t.equal(await node.snapshot({ files: false }), before);
  t.equal(await node.sh(`ls ${LEASES}/*.lease 2>/dev/null || true`), "");
});
