import t from "tap";
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
