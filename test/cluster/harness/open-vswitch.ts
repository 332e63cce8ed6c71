import { hasGenericFamily } from "../../../kernel/generic.ts";
import { eventually } from "../../netns/harness/eventually.ts";
import type { Daemon } from "../../netns/harness/exec.ts";
import type { Node } from "../../netns/harness/node.ts";
import type { Underlay } from "../../netns/harness/underlay.ts";

/** Starts a node's switch, whose database runs, and waits until it answers. */
export async function startSwitch(node: Node): Promise<Daemon> {
  const daemon = node.spawn(["ovs-vswitchd", "--pidfile", "--log-file=/run/openvswitch/switch.log"]);
  await eventually(async () => (await node.run(["ovs-appctl", "version"])).code === 0 || undefined, "ovs-vswitchd");
  return daemon;
}

/**
 * Open vSwitch on every node as an operator installs it: where its package puts it, and without the kernel's module with
 * the node's addresses on a bridge of its own.
 * @returns the switches, in the nodes' order
 */
export async function installSwitches(underlay: Underlay): Promise<Daemon[]> {
  const daemons: Daemon[] = [];
  for (const [index, node] of underlay.nodes.entries()) daemons.push(await installSwitch(underlay, node, index));
  return daemons;
}

async function installSwitch({ hub, families }: Underlay, node: Node, index: number): Promise<Daemon> {
  const inKernel = hasGenericFamily("ovs_datapath");
  await node.sh(`mkdir -p /run/openvswitch
    ovsdb-tool create /run/openvswitch/conf.db /usr/share/openvswitch/vswitch.ovsschema`);
  node.spawn(["ovsdb-server", "/run/openvswitch/conf.db", "--remote=punix:/run/openvswitch/db.sock"]);
  await node.sh("ovs-vsctl --retry --no-wait init");
  // With the kernel's datapath, ovs-vswitchd makes no handlers of packets during the first ten seconds of a kernel's life.
  if (inKernel) await node.sh("until awk '{ exit $1 < 11 }' /proc/uptime; do sleep 0.2; done");
  const daemon = await startSwitch(node);
  if (inKernel) return daemon;
  await hub.sh(`ethtool -K up${index} tx off`);
  const gateway = { 4: "ip route replace default via 192.168.77.1", 6: "ip -6 route replace default via fd77::1" };
  await node.sh(`addresses=$(ip -o address show dev eth0 scope global | awk '{ print $4 }')
    ovs-vsctl add-br br-underlay -- set bridge br-underlay datapath_type=netdev -- add-port br-underlay eth0
    ip address flush dev eth0 scope global; ip link set br-underlay up
    for address in $addresses; do ip address add $address dev br-underlay nodad 2>/dev/null || ip address add $address dev br-underlay; done
    ${families.map((family) => gateway[family]).join("; ")}`);
  return daemon;
}
