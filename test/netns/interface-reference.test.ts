import t from "tap";
import { affords, type Feature } from "./harness/full-kernel.ts";
import { compare } from "./reference-fixture.ts";

const FORWARDING = "cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding";
const HOST_END = `ip -4 route; ip -6 route | sed /fe80/d; ip -o address show to 10.22.0.0/16
ip -o address show to fd00:22::/64 | sed "s/ tentative//"; ${FORWARDING}`;
const ranges = [[{ subnet: "10.22.0.0/16" }], [{ subnet: "fd00:22::/64" }]];
const routes = [{ dst: "0.0.0.0/0" }, { dst: "::/0" }, { dst: "192.0.2.0/24", gw: "10.22.0.1" }];
const ipam = { type: "host-local", ranges, routes };

for (const [name, conf] of [
  ["dual stack with routes", {}],
  [
    "IPv4 alone, mtu and dns",
    { mtu: 1400, dns: { nameservers: ["10.0.0.53"] }, ipam: { ...ipam, ranges: [ranges[0]], routes: [] } },
  ],
] as const) {
  t.test(`the reference plugin 1.1.1 answers and sets up the same: ptp, ${name}`, (t) =>
    compare(t, { conf: { type: "ptp", ipam, ...conf }, outside: HOST_END }),
  );
}

/** The node's own eth0, which has the name of the pod's interface to be. */
const LAN = `ip link add eth0 type veth peer name wire; ip link set eth0 up; ip link set wire up
ip address add 192.0.2.2/24 dev eth0; ip route add default via 192.0.2.1`;

for (const [kind, keys] of [
  ["macvlan", {}],
  ["macvlan", { master: "wire", mode: "private", mtu: 1400 }],
  ["ipvlan", { master: "wire", mode: "l3" }],
  ["vlan", { master: "eth0", vlanId: 5, mtu: 1400 }],
] as const satisfies readonly (readonly [Feature, object])[]) {
  if (!affords(kind)) continue;
  t.test(`the reference plugin 1.1.1 answers and sets up the same: ${kind} ${JSON.stringify(keys)}`, (t) =>
    compare(t, { conf: { type: kind, ipam, ...keys }, outside: "ip -br link show eth0", setup: LAN }),
  );
}
