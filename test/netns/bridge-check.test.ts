import t from "tap";
import { type Attached, attach, detach, FULL, kernelState } from "./bridge-fixture.ts";
import { type Node, startNode } from "./harness/node.ts";
import type { Pod } from "./harness/pod.ts";

const CONF = { ...FULL, mtu: 1400, promiscMode: true, portIsolation: true };

/** The next pod gets 10.22.0.2 again, and a new bridge. */
const AFRESH = "rm -rf /var/lib/cni/networks; sysctl -qw net.ipv4.ip_forward=1; ip link del cni0 2>/dev/null || true";

/** The names in a command: HOST is the host's end, POD is ip(8) in the pod. */
async function damage(node: Node, pod: Pod, { interfaces }: Attached, command: string): Promise<void> {
  await node.sh(command.replaceAll("HOST", interfaces[1]?.name ?? "").replaceAll("POD", `ip -n ${pod.containerId}`));
}

t.test("P14: CHECK notices each thing that is not as ADD left it, and says what", async (t) => {
  const node = await startNode(t);
  const pod = await node.pod("pod");
  const answer = await attach(node, pod, CONF);
  t.match(await node.cni("CHECK", pod, { ...CONF, prevResult: answer }), { code: 0, stdout: "" });
  await detach(node, pod, CONF);
  await node.sh(AFRESH);
  for (const [command, msg] of [
    ["ip link set cni0 down", /cni0: want up, have down/],
    ["ip link del cni0", /bridge: want cni0, have nothing/],
    ["ip link set HOST nomaster", /master of pw/],
    ["ip link set HOST down", /pw[0-9a-f]{12}: want up, have down/],
    ["ip link set HOST mtu 1300", /mtu of pw[0-9a-f]{12}: want 1400, have 1300/],
    ["ip link set HOST type bridge_slave hairpin on", /hairpinMode: want false, have true/],
    ["ip link set cni0 promisc off", /promiscMode: want true, have false/],
    ["ip link set HOST type bridge_slave isolated off", /portIsolation: want true, have false/],
    ["ip link del HOST", /host link.*interface: want eth0, have nothing/],
    ["POD link set eth0 down", /eth0: want up, have down/],
    ["POD link set eth0 name eth9", /interface: want eth0, have nothing/],
    ["POD link set eth0 mtu 1200", /mtu: want 1400, have 1200/],
    ["POD link set eth0 address 02:00:00:00:00:09", /mac: want \S+, have 02:00:00:00:00:09/],
    ["POD address del 10.22.0.2/16 dev eth0", /address: want 10.22.0.2\/16/],
    ["POD address del fd00:22::2/64 dev eth0", /address: want fd00:22::2\/64/],
    ["POD route del default", /route \(IPv4\): want 0.0.0.0\/0 via 10.22.0.1, have none/],
    [
      "POD -6 route replace default via fd00:22::9",
      /route \(IPv6\): want ::\/0 via fd00:22::1, have ::\/0 via fd00:22::9/,
    ],
    ["ip address del 10.22.0.1/16 dev cni0", /address of cni0: want 10.22.0.1\/16/],
    ["ip address del fd00:22::1/64 dev cni0", /address of cni0: want fd00:22::1\/64/],
    ["sysctl -qw net.ipv4.ip_forward=0", /net\/ipv4\/ip_forward: want 1, have 0/],
    ["nft delete table inet podwire", /masquerade/],
    ["nft flush chain inet podwire egress", /egress/],
    ["nft flush map inet podwire egress6", /fd00:22::2 is not masqueraded/],
    ["nft delete table bridge podwire", /pw[0-9a-f]{12}/],
    ["nft flush set bridge podwire port_macs", /port_macs|bridge podwire/],
    ["nft flush chain bridge podwire mac_check", /mac_check/],
    ["rm /var/lib/cni/networks/test/10.22.0.2", /10\.22\.0\.2/],
  ] as const) {
    const prevResult = await attach(node, pod, CONF);
    await damage(node, pod, prevResult, command);
    const checked = await node.cni("CHECK", pod, { ...CONF, prevResult });
    t.not(checked.code, 0, command);
    t.match(checked.json, { msg }, command);
    await detach(node, pod, CONF);
    await node.sh(AFRESH);
  }
});

t.test("CHECK tolerates what later plugins add", async (t) => {
  const node = await startNode(t);
  const pod = await node.pod("pod");
  const answer = await attach(node, pod, FULL);
  await damage(
    node,
    pod,
    answer,
    `POD address add 192.0.2.9/24 dev eth0; POD route add 198.51.100.0/24 via 10.22.0.1
    POD route add default via 10.22.0.1 table 100; POD route del default
    POD link set eth0 address 02:00:00:00:00:09; ip address add 192.0.2.1/24 dev cni0; nft add table inet other`,
  );
  const interfaces = answer.interfaces.map((each, i) => (i === 2 ? { ...each, mac: "02:00:00:00:00:09" } : each));
  const prevResult = {
    ...answer,
    interfaces: [...interfaces, { name: "ifb0" }],
    ips: [...answer.ips, { address: "192.0.2.1/24", interface: 3 }],
  };
  t.match(await node.cni("CHECK", pod, { ...FULL, prevResult }), { code: 0 });
});

t.test("CHECK needs a prevResult of this attachment, and changes nothing", async (t) => {
  const node = await startNode(t);
  const pod = await node.pod("pod");
  const prevResult = await attach(node, pod, FULL);
  const before = await kernelState(node);
  t.match((await node.cni("CHECK", pod, FULL)).json, { code: 7, msg: /prevResult/ });
  const other = { ...prevResult, interfaces: [] };
  t.match((await node.cni("CHECK", pod, { ...FULL, prevResult: other })).json, {
    code: 7,
    msg: /prevResult.interfaces/,
  });
  t.match(await node.cni("CHECK", pod, { ...FULL, prevResult }), { code: 0 });
  t.equal(await kernelState(node), before);
});
