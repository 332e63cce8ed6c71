import { parseListing } from "../../../firewall/listing.ts";
import type { Node } from "../../netns/harness/node.ts";

/** A whole number from 0 to below `end`. */
export type Pick = (end: number) => number;

/** The same numbers again for the same seed (Numerical Recipes' generator). */
export function seeded(seed: number): Pick {
  let state = seed >>> 0;
  return (end) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * end);
  };
}

/** What the overlay put into the kernel, as lines in an order that does not tell which came back last. */
export function overlayState(node: Node): Promise<string> {
  return node.sh(`{ ip -d link show type vxlan | sed -E 's/^[0-9]+: //'
    ip -o address show | grep -E 'pw(vx|flow)' | grep -v fe80 | sed -E 's/^[0-9]+: //'
    ip route show proto 112; ip -6 route show proto 112; ip neighbour show nud permanent; bridge fdb show | grep dst || true
    sysctl net.ipv4.ip_forward net.ipv6.conf.all.forwarding
    sysctl -a -r 'conf.pw(vx|flow).*(accept_ra|_redirects|rp_filter)$'
    nft list table inet podwire; } | sort`);
}

/** One object of a kind, chosen by chance: the shell line that takes it away or changes it. Undefined: the node has none. */
export type Breakage = (node: Node, pick: Pick) => Promise<string | undefined>;

async function lines(node: Node, command: string): Promise<string[]> {
  return (await node.sh(`${command} || true`)).split("\n").filter(Boolean);
}

/** A line of what the command prints, put in place of {}. */
const oneOf =
  (command: string, action: string): Breakage =>
  async (node, pick) => {
    const found = await lines(node, command);
    const chosen = found[pick(found.length)];
    return chosen && action.replaceAll("{}", chosen);
  };

const DEVICES = "ip -o link show type vxlan | grep -oE 'pw(vx|flow)[0-9-]+' | sort -u";

/** A rule's or a set's part of our table that the agent writes. */
async function listing(node: Node) {
  return parseListing(JSON.parse(await node.runOk(["nft", "-j", "list", "table", "inet", "podwire"])).nftables);
}

export const BREAKAGES: Readonly<Record<string, Breakage>> = {
  link: oneOf(DEVICES, "ip link del {}"),
  "link down": oneOf(DEVICES, "ip link set {} down"),
  MAC: oneOf(
    "ip -o link show type vxlan | grep -oE 'pwvx[0-9-]+' | sort -u",
    "ip link set {} address 02:00:00:00:00:99",
  ),
  MTU: oneOf(DEVICES, "ip link set {} mtu 1300"),
  address: oneOf("ip -o address show | awk '/pw(vx|flow)/ && !/fe80/ {print $4, \"dev\", $2}'", "ip address del {}"),
  neighbour: oneOf("ip neighbour show nud permanent | awk '/pwvx/ {print $1, $2, $3}'", "ip neighbour del {}"),
  FDB: oneOf("bridge fdb show | awk '/pwvx.*dst/ {print $1, $2, $3}'", "bridge fdb del {}"),
  route: oneOf(
    "{ ip route show proto 112; ip -6 route show proto 112; } | awk '!/unreachable/ {print $1}'",
    "ip route del {} proto 112",
  ),
  "route, another": oneOf(
    "{ ip route show proto 112; ip -6 route show proto 112; } | awk '!/unreachable/ {print $1}'",
    "ip route replace {} dev lo proto 112",
  ),
  "nft table": async () => "nft delete table inet podwire",
  "nft chain": async (node, pick) => {
    const chains = [...(await listing(node)).chains.keys()].filter((name) => /^(tunnel|overlay)_/.test(name));
    return `nft flush chain inet podwire ${chains[pick(chains.length)]}`;
  },
  "nft set": async (node, pick) => {
    const sets = [...(await listing(node)).sets.values()].filter(
      ({ name, elements }) => /^(tunnel|overlay)_/.test(name) && elements.length > 0,
    );
    return `nft flush set inet podwire ${sets[pick(sets.length)]?.name}`;
  },
  "nft element": async (node, pick) => {
    const elements = [...(await listing(node)).sets.values()]
      .filter(({ name }) => /^(tunnel|overlay)_/.test(name))
      .flatMap(({ name, elements }) => elements.map(({ key }) => `${name} '{ ${key} }'`));
    return `nft delete element inet podwire ${elements[pick(elements.length)]}`;
  },
  sysctl: oneOf(
    `for d in $(${DEVICES}); do echo net/ipv4/conf/$d/rp_filter=0 net/ipv4/conf/$d/send_redirects=1 net/ipv6/conf/$d/accept_ra=1 net/ipv4/conf/$d/accept_redirects=1 | tr ' ' '\\n'; done; echo net/ipv4/ip_forward=0; echo net/ipv6/conf/all/forwarding=0`,
    "sysctl -qw {}",
  ),
};
