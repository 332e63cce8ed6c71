// Makes the *.hex files beside it: runs ip(8), bridge(8) and tc(8) under strace(1) in fresh network namespaces, and writes down
// each netlink message that changes something, or (for "show") the kernel's answer, under the command that made it.
// Needs root, iproute2 and strace. Run: node --import=tsx kernel/rtnetlink/testdata/capture.ts [NAME…]. "tunnel" and "lower" need a
// kernel with all such devices.
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";

const BRIDGE = "ip link add br0 type bridge";
const DUO = "ip link add v0 type veth peer name v1; ip link set v0 up; ip link set v1 up";
const ADDRESSED = `${DUO}; ip addr add 10.0.0.1/24 dev v0; ip addr add fd00::1/64 dev v0 nodad`;
const FLOW = "ip link add vx0 type vxlan external gpe dstport 4790; ip link set vx0 up";
const VXLAN = "ip link add vx0 type vxlan id 1 dstport 8472 nolearning; ip link set vx0 up";

const IFB = `${DUO}; ip link add ifb0 type ifb; ip link set ifb0 up`;
const INGRESS = `${IFB}; tc qdisc add dev v0 ingress`;
const HTB = `${DUO}; tc qdisc add dev v0 root handle 7077: htb default 30`;

const FILES: Record<string, readonly [setup: string, command: string][]> = {
  link: [
    ["", "ip link add v0 mtu 1400 txqueuelen 100 type veth peer name v1 address 02:00:00:00:00:02"],
    ["", "ip link add br0 address 02:00:00:00:00:01 type bridge ageing_time 10000 mcast_snooping 0 stp_state 0"],
    ["", "ip link add vx0 type vxlan id 42 dstport 4789 nolearning local 192.0.2.1 ttl 64 df set"],
    ["", "ip link add vx0 type vxlan id 42 dstport 4789 nolearning local fd00::1 udp6zerocsumrx"],
    ["", "ip link add vx0 type vxlan external gpe dstport 4790"],
    [DUO, "ip link set v0 down"],
    [DUO, "ip link set v0 alias pods"],
    [`${BRIDGE}; ${DUO}`, "ip link set v0 master br0"],
    [`${BRIDGE}; ${DUO}; ip link set v0 master br0`, "ip link set v0 type bridge_slave hairpin on isolated on"],
    [DUO, "ip link del v0"],
    [DUO, "ip link show dev v0"],
    [`${BRIDGE}; ${DUO}; ip link set v0 master br0`, "ip -d link show dev v0"],
    [VXLAN, "ip -d link show dev vx0"],
  ],
  address: [
    [DUO, "ip addr add 10.0.0.1/24 dev v0"],
    [DUO, "ip addr add 10.0.0.1/24 broadcast 10.0.0.255 dev v0 noprefixroute"],
    [DUO, "ip addr add 10.0.0.1 peer 10.0.0.2 dev v0 scope link"],
    [DUO, "ip addr add fd00::1/64 dev v0 nodad"],
    [ADDRESSED, "ip addr del fd00::1/64 dev v0"],
  ],
  route: [
    [ADDRESSED, "ip route add default via 10.0.0.2 dev v0 mtu 1300 advmss 1260 proto 112"],
    [ADDRESSED, "ip route replace 10.5.0.0/16 via 192.0.2.7 dev v0 onlink src 10.0.0.1 metric 50 table 1000"],
    [ADDRESSED, "ip route add 10.6.0.0/24 dev v0"],
    [ADDRESSED, "ip route add blackhole 10.7.0.0/16"],
    [ADDRESSED, "ip route add 10.8.0.0/16 nexthop via 10.0.0.2 dev v0 weight 2 nexthop via 10.0.0.3 dev v0 onlink"],
    [FLOW, "ip route add 10.9.0.0/24 encap ip id 7 dst 192.0.2.1 ttl 9 dev vx0"],
    [FLOW, "ip -6 route add fd09::/64 encap ip6 id 7 dst fd00::9 src fd00::1 csum dev vx0"],
    [ADDRESSED, "ip -6 route add default via fd00::2 dev v0 metric 5"],
    [`${ADDRESSED}; ip route add 10.6.0.0/24 dev v0`, "ip route del 10.6.0.0/24"],
  ],
  neighbour: [
    [DUO, "ip neigh replace 10.0.0.2 lladdr 02:00:00:00:00:02 dev v0 nud permanent protocol 112"],
    [DUO, "ip neigh replace fd00::2 lladdr 02:00:00:00:00:02 dev v0 nud stale"],
    [VXLAN, "bridge fdb replace 02:00:00:00:00:03 dev vx0 dst 192.0.2.3 vni 9 port 4789 self permanent"],
    [VXLAN, "bridge fdb append 00:00:00:00:00:00 dev vx0 dst 192.0.2.4 self permanent"],
    [`${BRIDGE}; ${DUO}; ip link set v0 master br0`, "bridge fdb replace 02:00:00:00:00:05 dev v0 master permanent"],
  ],
  tunnel: [
    ["", "ip link add g0 mtu 1476 type gre external"],
    ["", "ip link add g0 type ip6gre external"],
    ["", "ip link add g0 type gre local 192.0.2.1 remote 192.0.2.2 key 7"],
    ["", "ip link add g0 type ip6gre local fd00::1 remote fd00::2 key 7 encaplimit none"],
    ["", "ip link add i0 type ipip external"],
    ["", "ip link add i0 type ipip local 192.0.2.1 remote 192.0.2.2"],
    ["ip link add g0 type gre external", "ip -d link show dev g0"],
    ["ip link add g6 type ip6gre local fd00::1 remote fd00::2 key 7 encaplimit none", "ip -d link show dev g6"],
    ["ip link add i0 type ipip local 192.0.2.1 remote 192.0.2.2", "ip -d link show dev i0"],
    ["ip link add i1 type ipip external", "ip -d link show dev i1"],
  ],
  lower: [
    [DUO, "ip link add m0 link v0 type macvlan mode passthru"],
    [DUO, "ip link add m0 link v0 mtu 1400 type macvlan mode bridge bcqueuelen 500"],
    [DUO, "ip link add i0 link v0 type ipvlan mode l3s"],
    [DUO, "ip link add x0 link v0 type vlan id 5"],
    ["", "ip link add d0 address 02:00:00:00:00:01 type dummy"],
    [`${DUO}; ip link add m0 link v0 type macvlan mode private`, "ip -d link show dev m0"],
    [`${DUO}; ip link add i0 link v0 type ipvlan mode l2`, "ip -d link show dev i0"],
    [`${DUO}; ip link add x0 link v0 type vlan id 5`, "ip -d link show dev x0"],
  ],
  tc: [
    [DUO, "tc qdisc add dev v0 root handle 7077: tbf rate 40mbit burst 32kb limit 157768"],
    [DUO, "tc qdisc add dev v0 root handle 7077: tbf rate 40gbit burst 8mb limit 16mb"],
    [DUO, "tc qdisc add dev v0 root handle 7077: htb default 30"],
    [HTB, "tc class add dev v0 parent 7077: classid 7077:30 htb rate 40mbit burst 32000 cburst 32000 quantum 1518"],
    [
      HTB,
      "tc class add dev v0 parent 7077: classid 7077:1 htb rate 800gbit burst 1600000 cburst 1600000 quantum 200000",
    ],
    [HTB, "tc filter add dev v0 parent 7077: protocol ip pref 16 u32 match ip dst 10.96.0.0/12 flowid 7077:1"],
    [HTB, "tc filter add dev v0 parent 7077: protocol ipv6 pref 15 u32 match ip6 src fd00:22::/40 flowid 7077:1"],
    [DUO, "tc qdisc add dev v0 ingress"],
    [
      INGRESS,
      "tc filter add dev v0 ingress protocol all pref 28791 u32 match u32 0 0 flowid 1:1 action mirred egress redirect dev ifb0",
    ],
    [HTB, "tc qdisc del dev v0 root handle 7077:"],
    [INGRESS, "tc qdisc del dev v0 ingress"],
  ],
  rule: [
    ["", "ip rule add from 10.0.0.0/8 fwmark 0x1/0xf iif lo table 1000 priority 100 protocol 112"],
    ["", "ip -6 rule add not to fd00::/8 blackhole priority 101"],
  ],
};

/** strace's hex dump: " | 00000  34 00 00 00 10 00 05 06  …   4....... |". */
function dumpsOf(trace: string): { sent: boolean; hex: string }[] {
  const dumps: { sent: boolean; hex: string }[] = [];
  let sent = false;
  for (const line of trace.split("\n")) {
    if (/^(sendmsg|sendto)\(/.test(line)) sent = true;
    if (/^(recvmsg|recvfrom)\(/.test(line)) sent = false;
    if (/bytes in buffer/.test(line)) dumps.push({ sent, hex: "" });
    const [, bytes = ""] = /^ \| [0-9a-f]+ {2}((?:[0-9a-f]{2} {1,2})+)/.exec(line) ?? [];
    const last = dumps.at(-1);
    if (bytes !== "" && last !== undefined) last.hex += bytes.replaceAll(" ", "");
  }
  return dumps;
}

function capture(setup: string, command: string): string {
  const strace = "strace -qq -e trace=sendmsg,sendto,recvmsg,recvfrom -e write=all -e read=all";
  const run = spawnSync("unshare", ["-n", "sh", "-ec", `${setup}\n${strace} ${command}`], { encoding: "utf8" });
  if (run.status !== 0) throw new Error(`${command}: ${run.stderr}`);
  const shows = command.includes(" show ");
  const wanted = dumpsOf(run.stderr).filter(({ sent, hex }) => {
    const type = Buffer.from(hex, "hex").readUInt16LE(4);
    return shows ? !sent && type === 16 : sent && type >= 16 && type % 4 !== 2;
  });
  const last = wanted.at(shows ? 0 : -1); // a link that is shown is asked for first, then those it points to
  if (last === undefined) throw new Error(`${command}: nothing captured`);
  return `# ${command}\n${last.hex}\n`;
}

const asked = process.argv.slice(2);
for (const [name, rows] of Object.entries(FILES)) {
  if (asked.length > 0 && !asked.includes(name)) continue;
  const text = rows.map(([setup, command]) => capture(setup, command)).join("");
  writeFileSync(new URL(`${name}.hex`, import.meta.url), text);
}
