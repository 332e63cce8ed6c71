import type { Node, Owner } from "./node.ts";
import { startNode } from "./node.ts";

export interface Underlay {
  /** The namespace in the middle; its bridge `under` joins the nodes, and it is where the controller runs. */
  readonly hub: Node;
  readonly nodes: readonly Node[];
  /** The hub's addresses on the bridge, v4 and v6. */
  readonly hubAddresses: readonly [string, string];
  /** Addresses of node i (from 0), v4 and v6. */
  addressesOf(index: number): readonly [string, string];
}

/**
 * Nodes joined by a bridge in a namespace of its own. Node i has 192.168.77.(11+i)/24 and fd77::(11+i)/64 on its eth0,
 * the hub has .1 and is every node's default gateway.
 */
export async function startUnderlay(owner: Owner, count: number, mtu = 1500): Promise<Underlay> {
  const hub = await startNode(owner, "underlay");
  await hub.sh(`ip link add under type bridge mcast_snooping 0 && ip link set under mtu ${mtu} up
    ip address add 192.168.77.1/24 dev under; ip address add fd77::1/64 dev under nodad
    sysctl -qw net.ipv4.ip_forward=1`);
  const addressesOf = (index: number) => [`192.168.77.${11 + index}`, `fd77::${11 + index}`] as const;
  const nodes: Node[] = [];
  for (let i = 0; i < count; i++) {
    const node = await startNode(owner, `node-${i + 1}`);
    const [v4, v6] = addressesOf(i);
    await hub.sh(`ip link add up${i} mtu ${mtu} type veth peer name eth0 mtu ${mtu} netns ${node.pid}
      ip link set up${i} master under up`);
    await node.sh(`ip link set eth0 up; ip address add ${v4}/24 dev eth0; ip address add ${v6}/64 dev eth0 nodad
      ip route add default via 192.168.77.1; ip -6 route add default via fd77::1`);
    nodes.push(node);
  }
  return { hub, nodes, hubAddresses: ["192.168.77.1", "fd77::1"], addressesOf };
}
