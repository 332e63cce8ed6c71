import type { Family } from "../../../net/address.ts";
import type { Node, Owner } from "./node.ts";
import { startNode } from "./node.ts";

export interface Underlay {
  /** The namespace in the middle; its bridge `under` joins the nodes, and it is where the controller runs. */
  readonly hub: Node;
  readonly nodes: readonly Node[];
  /** The hub's addresses on the bridge, v4 and v6. */
  readonly hubAddresses: readonly [string, string];
  /** Which of the two families it has. */
  readonly families: readonly Family[];
  /** Addresses of node i (from 0), v4 and v6. */
  addressesOf(index: number): readonly [string, string];
}

/**
 * Nodes joined by a bridge in a namespace of its own. Node i has 192.168.77.(11+i)/24 and fd77::(11+i)/64 on its eth0,
 * the hub has .1 and is every node's default gateway. Of a family that is not asked for nobody has addresses.
 */
export async function startUnderlay(
  owner: Owner,
  count: number,
  mtu = 1500,
  families: readonly Family[] = [4, 6],
): Promise<Underlay> {
  const only = (family: Family, words: string) => (families.includes(family) ? words : "");
  const hub = await startNode(owner, "underlay");
  await hub.sh(`ip -batch - <<'.'
link add under type bridge mcast_snooping 0
link set under mtu ${mtu} up
${only(4, "address add 192.168.77.1/24 dev under")}
${only(6, "address add fd77::1/64 dev under nodad")}
.
    echo 1 >/proc/sys/net/ipv4/ip_forward`);
  const addressesOf = (index: number) => [`192.168.77.${11 + index}`, `fd77::${11 + index}`] as const;
  const nodes: Node[] = [];
  for (let i = 0; i < count; i++) {
    const node = await startNode(owner, `node-${i + 1}`);
    const [v4, v6] = addressesOf(i);
    await hub.sh(`ip -batch - <<'.'
link add up${i} mtu ${mtu} type veth peer name eth0 mtu ${mtu} netns ${node.pid}
link set up${i} master under up
.`);
    await node.sh(`ip -batch - <<'.'
link set eth0 up
${only(4, `address add ${v4}/24 dev eth0\nroute add default via 192.168.77.1`)}
${only(6, `address add ${v6}/64 dev eth0 nodad\nroute add default via fd77::1`)}
.`);
    nodes.push(node);
  }
  return { hub, nodes, hubAddresses: ["192.168.77.1", "fd77::1"], families, addressesOf };
}
