import t from "tap";
import { EMPTY_LISTING } from "../../firewall/listing.ts";
import { addMacCheck } from "../../firewall/mac-check.ts";
import { addMasqueradedPod, ensureMasqueradeNetwork } from "../../firewall/masquerade.ts";
import { overlayMasquerade } from "../../firewall/node-rules.ts";
import { difference } from "../../firewall/ruleset.ts";
import { type Address, parseAddress } from "../../net/address.ts";
import { parseMac } from "../../net/mac.ts";
import { parsePrefix } from "../../net/prefix.ts";
import { openSandbox, type Sandbox } from "./sandbox.ts";

const network = "pods";
const POD = { 4: "10.22.0.2", 6: "fd00:22::2" } as const;
const NEAR = { 4: "10.22.9.9", 6: "fd00:22::9:9" } as const;
const FAR = { 4: "198.51.100.9", 6: "2001:db8:51::9" } as const;
const NODE = { 4: "192.0.2.1", 6: "2001:db8::1" } as const;
const FAMILIES = [4, 6] as const;

/**
 * A pod behind the node, and a world beyond it that has near and far addresses, knows the way back to the pod, and
 * notes whose packets it sees: the pod pings until it is answered, for so many seconds at most.
 */
function build(sandbox: Sandbox): {
  apply(text: string): void;
  seenAs(to: Address | string, patience?: number): string[];
} {
  sandbox.sh(`
    for n in node pod world; do
      ip netns add $n; ip -n $n link set lo up; ip netns exec $n sysctl -qw net.ipv6.conf.default.accept_dad=0
    done
    ip -n node link add pod0 type veth peer name eth0 address 0a:58:0a:16:00:02 netns pod
    ip -n node link add eth0 type veth peer name eth0 netns world
    for n in node pod world; do ip -n $n link set eth0 up; done
    ip -n node link add cni0 type bridge; ip -n node link set cni0 up; ip -n node link set pod0 up master cni0
    ip -n node address add 10.22.0.1/24 dev cni0; ip -n node address add fd00:22::1/112 dev cni0 nodad
    ip -n pod address add ${POD[4]}/24 dev eth0; ip -n pod address add ${POD[6]}/112 dev eth0 nodad
    ip -n pod route add default via 10.22.0.1; ip -n pod route add default via fd00:22::1
    ip -n node address add ${NODE[4]}/24 dev eth0; ip -n node address add ${NODE[6]}/64 dev eth0 nodad
    ip -n world address add 192.0.2.2/24 dev eth0; ip -n world address add 2001:db8::2/64 dev eth0 nodad
    for a in ${NEAR[4]} ${NEAR[6]} ${FAR[4]} ${FAR[6]}; do ip -n world address add $a dev lo; done
    ip -n world route add 10.22.0.0/24 via ${NODE[4]}; ip -n world route add fd00:22::/112 via ${NODE[6]}
    ip -n node route add default via 192.0.2.2; ip -n node route add default via 2001:db8::2
    ip netns exec node sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
    ip netns exec world nft 'add table inet seen
      add set inet seen from4 { type ipv4_addr; }; add set inet seen from6 { type ipv6_addr; }
      add chain inet seen in { type filter hook input priority 0; }
      add rule inet seen in icmp type echo-request add @from4 { ip saddr }
      add rule inet seen in icmpv6 type echo-request add @from6 { ip6 saddr }'`);
  // A link may take a second to be operational, and lose packets until then (linkwatch).
  for (const [from, to] of [
    ["pod", "10.22.0.1"],
    ["pod", "fd00:22::1"],
    ["node", "192.0.2.2"],
    ["node", "2001:db8::2"],
  ]) {
    sandbox.sh(`ip netns exec ${from} ping -qc1 -w30 ${to}`);
  }
  return {
    apply: (text) => void sandbox.sh("ip netns exec node nft -f -", text),
    seenAs(to, patience = 30) {
      const family = to.includes(":") ? 6 : 4;
      sandbox.sh(`ip netns exec world nft flush set inet seen from${family}`);
      sandbox.succeeds(`ip netns exec pod ping -qc1 -w${patience} ${to}`);
      const set = JSON.parse(sandbox.sh(`ip netns exec world nft -j list set inet seen from${family}`));
      return set.nftables[1].set.elem ?? [];
    },
  };
}

t.test("S14: a masqueraded pod is seen as the node from afar and as itself from near, in both families", async (t) => {
  const { apply, seenAs } = build(openSandbox(t));
  const localSubnets = ["10.22.0.0/16", "fd00:22::/64"].map(parsePrefix);
  const pod = { network, owner: "aa", addresses: [POD[4], POD[6]].map(parseAddress) };
  for (const family of FAMILIES) t.strictSame(seenAs(FAR[family]), [POD[family]], "before");
  apply(ensureMasqueradeNetwork({ network, localSubnets }) + addMasqueradedPod(pod));
  for (const family of FAMILIES) {
    t.strictSame(seenAs(FAR[family]), [NODE[family]]);
    t.strictSame(seenAs(NEAR[family]), [POD[family]]);
  }
  apply(`delete element inet podwire egress4 { ${POD[4]} }\ndelete element inet podwire egress6 { ${POD[6]} }\n`);
  for (const family of FAMILIES) t.strictSame(seenAs(FAR[family]), [POD[family]], "after");
});

t.test("S14: the node's own subnets are masqueraded beyond the cluster's CIDRs, in both families", async (t) => {
  const { apply, seenAs } = build(openSandbox(t));
  const ownSubnets = ["10.22.0.0/24", "fd00:22::/112"].map(parsePrefix);
  const clusterCidrs = ["10.22.0.0/16", "fd00:22::/64"].map(parsePrefix);
  apply(difference(overlayMasquerade({ ownSubnets, clusterCidrs }), EMPTY_LISTING));
  for (const family of FAMILIES) {
    t.strictSame(seenAs(FAR[family]), [NODE[family]]);
    t.strictSame(seenAs(NEAR[family]), [POD[family]]);
  }
});

t.test("a checked port sends with its own MAC address only, and others are not checked", async (t) => {
  const sandbox = openSandbox(t);
  const { apply, seenAs } = build(sandbox);
  apply(addMacCheck({ owner: "aa", port: "pod0", mac: parseMac("0a:58:0a:16:00:02") }));
  t.strictSame(seenAs(FAR[4]), [POD[4]]);
  sandbox.sh("ip -n pod link set eth0 address 0a:58:0a:16:00:99");
  t.strictSame(seenAs(FAR[4], 1), [], "a forged source");
  apply('delete element bridge podwire checked_ports { "pod0" }\n');
  sandbox.sh("ip -n node neigh flush dev cni0; ip -n pod route replace default via 10.22.0.1");
  t.strictSame(seenAs(FAR[4]), [POD[4]]);
});
