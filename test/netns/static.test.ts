import t from "tap";
import { attach, bridgeConf, detach } from "./bridge-fixture.ts";
import { startNode } from "./harness/node.ts";

t.test("static: pods get the addresses that were asked for, reach each other, and every verb is served", async (t) => {
  const node = await startNode(t);
  const [red, blue] = [await node.pod("red"), await node.pod("blue")];
  const conf = (ipam: object, keys: object = {}) =>
    bridgeConf({ isDefaultGateway: false, isGateway: true, ...keys, ipam: { type: "static", ...ipam } });
  const written = conf({
    addresses: [{ address: "10.30.0.5/24", gateway: "10.30.0.1" }, { address: "fd00:30::5/64" }],
    routes: [
      { dst: "0.0.0.0/0", mtu: 1300 },
      { dst: "192.168.77.0/24", gw: "10.30.0.9", priority: 50 },
    ],
    dns: { nameservers: ["10.30.0.53"] },
  });
  const added = await attach(node, red, written);
  t.match(added, {
    ips: [
      { address: "10.30.0.5/24", gateway: "10.30.0.1", interface: 2 },
      { address: "fd00:30::5/64", gateway: "fd00:30::1", interface: 2 },
    ],
    dns: { nameservers: ["10.30.0.53"] },
  });
  const routes = await red.runOk(["ip", "route", "show"]);
  t.match(routes, /^default via 10\.30\.0\.1 dev eth0 .*mtu 1300/m);
  t.match(routes, /^192\.168\.77\.0\/24 via 10\.30\.0\.9 dev eth0 .*metric 50/m);

  const asked = conf({}, { runtimeConfig: { ips: ["10.30.0.6/24", "fd00:30::6/64"] } });
  await attach(node, blue, asked);
  for (const address of ["10.30.0.6", "fd00:30::6"]) t.ok(await red.pings(address), address);

  t.match(await node.cni("CHECK", red, { ...written, prevResult: added }), { code: 0, stdout: "" });
  const moved = { ...written, ipam: { ...written.ipam, addresses: [{ address: "10.30.0.99/24" }] }, prevResult: added };
  t.match(await node.cni("CHECK", red, moved), { code: 1, json: { code: 100, msg: /10\.30\.0\.99\/24/ } });
  t.match(await node.runtime.call("STATUS", undefined, written), { code: 0, stdout: "" });
  const broken = conf({ addresses: [{ address: "10.30.0.5" }] });
  t.match(await node.runtime.call("STATUS", undefined, broken), { code: 1, json: { code: 7 } });
  for (const pod of [red, blue, blue]) await detach(node, pod, written);
  t.notMatch(await node.sh("ip -br link"), /pw[0-9a-f]{12}/);

  const args = await attach(node, red, conf({}), { CNI_ARGS: "IgnoreUnknown=1;IP=10.31.0.7/24;GATEWAY=10.31.0.1" });
  t.match(args.ips, [{ address: "10.31.0.7/24", gateway: "10.31.0.1" }], "by CNI_ARGS");
  await detach(node, red, conf({}));
});
