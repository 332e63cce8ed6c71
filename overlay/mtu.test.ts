import t from "tap";
import { podMtu } from "./mtu.ts";
import { parseNetworkSpec, parseUnderlay, type UncheckedNetwork } from "./parse-network.ts";

const IPV4 = ["192.0.2.1/24"];
const IPV6 = ["2001:db8::1/64"];
const POD4 = ["10.244.0.0/16"];
const POD6 = ["fd00:244::/48"];
const flow = { type: "vxlan", mode: "flow" };
const gre = { type: "gre", mode: "flow" };
const keyed = { type: "gre", mode: "static" };
const wireguard = { type: "wireguard" };
const still = { type: "vxlan", mode: "static" };

type Row = [what: string, backend: UncheckedNetwork["backend"], cidrs: string[], underlay: string[], mtu: number];
const rows: readonly Row[] = [
  ["flow over IPv4", flow, POD4, IPV4, 1464],
  ["flow over IPv4, IPv6 pods", flow, POD6, IPV4, 1464],
  ["flow over IPv6", flow, POD4, IPV6, 1444],
  ["flow over both takes IPv4", flow, [...POD4, ...POD6], [...IPV6, ...IPV4], 1464],
  ["static over IPv4", still, POD4, IPV4, 1450],
  ["static over IPv6", still, POD6, IPV6, 1430],
  ["static, IPv4 pods over IPv6", still, POD4, IPV6, 1430],
  ["static, IPv6 pods over IPv4", still, POD6, IPV4, 1450],
  ["static over both, IPv4 pods", still, POD4, [...IPV4, ...IPV6], 1450],
  ["static over both, pods of both: IPv6 pods go over IPv6", still, [...POD4, ...POD6], [...IPV4, ...IPV6], 1430],
  ["gre flow over IPv4", gre, POD6, IPV4, 1476],
  ["gre flow over IPv6", gre, POD4, IPV6, 1456],
  ["gre flow over both takes IPv4", gre, [...POD4, ...POD6], [...IPV6, ...IPV4], 1476],
  ["gre static over IPv4", keyed, POD4, IPV4, 1472],
  ["gre static over IPv6", keyed, POD6, IPV6, 1452],
  ["gre static over both takes IPv4", keyed, [...POD4, ...POD6], [...IPV6, ...IPV4], 1472],
  ["ipip flow", { type: "ipip", mode: "flow" }, POD4, IPV4, 1480],
  ["ipip static", { type: "ipip", mode: "static" }, POD4, [...IPV6, ...IPV4], 1480],
  ["wireguard over IPv4", wireguard, POD4, IPV4, 1440],
  ["wireguard over IPv6", wireguard, POD6, IPV6, 1420],
  ["wireguard over both takes IPv4", wireguard, [...POD4, ...POD6], [...IPV6, ...IPV4], 1440],
  ["ovs over gre", { type: "ovs", tunnel: "gre", mode: "both" }, POD6, IPV4, 1458],
  ["ovs over gre on IPv6", { type: "ovs", tunnel: "gre", mode: "flow" }, POD4, IPV6, 1438],
  ["ovs over vxlan", { type: "ovs", tunnel: "vxlan", mode: "static" }, POD4, [...IPV6, ...IPV4], 1450],
  ["ovs over geneve on IPv6", { type: "ovs", tunnel: "geneve", mode: "flow" }, POD6, IPV6, 1430],
  ["host-gw", { type: "host-gw" }, POD4, IPV4, 1500],
  ["a network's own bound", { ...flow, mtu: 1400 }, POD4, IPV4, 1400],
  ["a bound above what fits", { ...flow, mtu: 9000 }, POD4, IPV4, 1464],
];

for (const [what, backend, cidrs, addresses, mtu] of rows) {
  t.test(`F7: the pods' MTU with ${what} is ${mtu}`, async (t) => {
    const network = parseNetworkSpec({ name: "pods", cidrs, backend, masquerade: true });
    t.equal(podMtu(network, parseUnderlay("eth0", 1500, addresses)), mtu);
  });
}

t.test("F7: the pods' MTU follows the link", async (t) => {
  const network = parseNetworkSpec({ name: "pods", cidrs: POD4, backend: flow, masquerade: true });
  t.equal(podMtu(network, parseUnderlay("eth0", 9000, IPV4)), 8964);
  t.equal(podMtu(network, parseUnderlay("eth0", 1400, IPV4)), 1364);
});
