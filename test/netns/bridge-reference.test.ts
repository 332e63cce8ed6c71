import t from "tap";
import { compare } from "./reference-fixture.ts";

const OUTSIDE =
  "ip -br address show cni0; bridge -d link show; cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding";
const four = { subnet: "10.22.0.0/16" };
const six = { subnet: "fd00:22::/64" };

for (const [name, conf] of [
  ["plain", { ipam: { ranges: [[four]] } }],
  ["isGateway", { isGateway: true, ipam: { ranges: [[four]] } }],
  ["isDefaultGateway, dual stack", { isDefaultGateway: true, ipam: { ranges: [[four], [six]] } }],
  ["IPv6 alone", { isDefaultGateway: true, ipam: { ranges: [[six]] } }],
  ["a default route of IPAM's", { isGateway: true, ipam: { ranges: [[four]], routes: [{ dst: "0.0.0.0/0" }] } }],
  [
    "routes and gateways of IPAM's",
    {
      isGateway: true,
      ipam: {
        ranges: [[{ ...four, gateway: "10.22.0.9" }]],
        routes: [{ dst: "192.0.2.0/24", gw: "10.22.0.77" }, { dst: "198.51.100.0/24" }],
      },
    },
  ],
  ["mtu and hairpinMode", { isGateway: true, mtu: 1400, hairpinMode: true, ipam: { ranges: [[four]] } }],
  ["mac", { args: { cni: { mac: "02:00:00:00:00:02" } }, ipam: { ranges: [[four]] } }],
  ["dns", { dns: { nameservers: ["10.0.0.53"], search: ["a.example"] }, ipam: { ranges: [[four]] } }],
] as const) {
  t.test(`the reference plugin 1.1.1 answers and sets up the same: ${name}`, (t) =>
    compare(t, { conf: { type: "bridge", ...conf, ipam: { type: "host-local", ...conf.ipam } }, outside: OUTSIDE }),
  );
}
