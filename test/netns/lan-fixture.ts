import type { Node } from "./harness/node.ts";
import type { Pod } from "./harness/pod.ts";

/** What the pods of one network are given; the LAN has the gateway. */
export const IPAM = {
  type: "host-local",
  ranges: [[{ subnet: "10.22.0.0/16" }], [{ subnet: "fd00:22::/64" }]],
  routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }],
} as const;

/**
 * A network outside the node, behind its eth0, with a router that has the gateway's addresses. The node's own default route
 * goes there.
 * @param device of the router; made by `setup` when it is not the wire itself
 */
export async function joinLan(node: Node, { device = "wire", setup = "" } = {}): Promise<void> {
  await node.sh(`
    ip netns add lan
    ip link add eth0 type veth peer name wire netns lan
    ip link set eth0 up; ip address add 192.0.2.2/24 dev eth0; ip route add default via 192.0.2.1
    ip -n lan link set lo up; ip -n lan link set wire up
    ${setup}
    ip -n lan link set ${device} up; ip -n lan address add 10.22.0.1/16 dev ${device}
    ip -n lan address add fd00:22::1/64 dev ${device} nodad; ip -n lan address add 198.51.100.9/32 dev lo`);
}

/** The pod's interfaces by name, `lo` first. */
export async function linksOf(pod: Pod): Promise<string> {
  const links: { ifname: string }[] = JSON.parse(await pod.runOk(["ip", "-j", "link"]));
  return links.map(({ ifname }) => ifname).join(" ");
}

/** One interface of the pod, as `ip -d -j link` tells. */
export async function linkOf(pod: Pod, name = "eth0"): Promise<{ readonly [key: string]: unknown } & PodLink> {
  const [link] = JSON.parse(await pod.runOk(["ip", "-d", "-j", "link", "show", name]));
  return link;
}

interface PodLink {
  readonly address: string;
  readonly mtu: number;
  readonly group: string;
  readonly ifalias?: string;
  readonly linkinfo?: { readonly info_kind: string; readonly info_data?: { readonly [key: string]: unknown } };
}
