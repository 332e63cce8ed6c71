import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { applyOverlay } from "../../dataplane/apply.ts";
import { type DatapathType, Switches } from "../../dataplane/switches.ts";
import { hasGenericFamily } from "../../kernel/generic.ts";
import { currentNetns, enterNetns, openNetns } from "../../kernel/netns.ts";
import { openRoute } from "../../kernel/rtnetlink/socket.ts";
import type { DesiredState } from "../../overlay/state.ts";
import type { Changes } from "../../reconcile/step.ts";
import { NODES, type NodeName, underlayAddress } from "./overlay-fixture.ts";
import type { Sandbox } from "./sandbox.ts";

interface Test {
  teardown(callback: () => unknown): void;
}

/** The kernel's datapath where it has one, else the one of ovs-vswitchd's own process. */
export const DATAPATH: DatapathType = hasGenericFamily("ovs_datapath") ? "system" : "netdev";

/** The device that bears a node's address: a bridge of Open vSwitch where only such a one reaches other nodes. */
export const UNDERLAY_DEVICE = DATAPATH === "system" ? "eth0" : "br-underlay";

/** An Open vSwitch of a node's own: its database server and its switch, in the node's namespace and a folder of their own. */
export interface OwnSwitch {
  readonly socket: string;
  readonly vsctl: string;
  /** ovs-ofctl's name of a bridge. */
  bridge(name: string): string;
  startSwitch(): void;
  stopSwitch(): void;
  stopDatabase(): void;
}

/** Starts it; gone after the test. */
export function startOwnSwitch(t: Test, sandbox: Sandbox, netns: string): OwnSwitch {
  const folder = mkdtempSync(join(tmpdir(), "podwire-ovs-"));
  const file = (name: string) => join(folder, name);
  const socket = file("db.sock");
  const daemon = (name: string, ...args: readonly string[]) =>
    sandbox.sh(
      `export OVS_RUNDIR=${folder} OVS_LOGDIR=${folder} OVS_DBDIR=${folder} OVS_SYSCONFDIR=${folder}
       ip netns exec ${netns} ${[name, ...args].join(" ")} --pidfile=${file(`${name}.pid`)} --detach --no-chdir \
         --log-file=${file(`${name}.log`)} --unixctl=${file(`${name}.ctl`)} -vconsole:off 2>/dev/null`,
    );
  const stop = (name: string, signal: NodeJS.Signals) => {
    const pid = pidOf(file(`${name}.pid`));
    if (pid === undefined) return;
    process.kill(pid, signal);
    sandbox.sh(`tail --pid=${pid} -s 0.02 -f /dev/null; rm -f ${file(`${name}.pid`)}`);
  };
  t.teardown(() => {
    for (const name of ["ovs-vswitchd", "ovsdb-server"]) stop(name, "SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  });
  waitForHandlers(sandbox);
  sandbox.sh(`ovsdb-tool create ${file("conf.db")} /usr/share/openvswitch/vswitch.ovsschema`);
  daemon("ovsdb-server", file("conf.db"), `--remote=punix:${socket}`);
  const own: OwnSwitch = {
    socket,
    vsctl: `ovs-vsctl --db=unix:${socket}`,
    bridge: (name) => `unix:${file(`${name}.mgmt`)}`,
    startSwitch: () => void daemon("ovs-vswitchd", `unix:${socket}`),
    stopSwitch: () => stop("ovs-vswitchd", "SIGKILL"),
    stopDatabase: () => stop("ovsdb-server", "SIGTERM"),
  };
  sandbox.sh(`${own.vsctl} --no-wait init`);
  own.startSwitch();
  return own;
}

// With the kernel's datapath, ovs-vswitchd makes no handlers of packets during the first ten seconds of a kernel's life.
function waitForHandlers(sandbox: Sandbox): void {
  if (DATAPATH === "system")
    sandbox.sh("until awk '{ exit $1 < 11 }' /proc/uptime; do read -rt 0.2 <> <(:) || :; done");
}

function pidOf(path: string): number | undefined {
  try {
    return Number(readFileSync(path, "utf8"));
  } catch {
    return undefined;
  }
}

/** A node with an Open vSwitch, brought to states by the agent's own code. */
export interface SwitchNode {
  readonly own: OwnSwitch;
  readonly switches: Switches;
  /** How often something was said to have changed. */
  notices(): number;
  apply(state: DesiredState): Promise<Changes>;
}

/** Nodes on one segment, each with an Open vSwitch and a pod behind a veth that stands for the Linux bridge. */
export function buildSwitchNodes(
  t: Test,
  sandbox: Sandbox,
  families: readonly (4 | 6)[],
  mtu: number,
): Record<NodeName, SwitchNode> {
  sandbox.sh("ip link add lan0 type bridge && ip link set lan0 up");
  const nodes = (Object.keys(NODES) as NodeName[]).map((node) => {
    const i = NODES[node];
    // Packets between these namespaces never get a checksum from a driver; a switch in user space would see none.
    sandbox.sh(`
      ip netns add ${node}; ip netns add pod-${node}
      for n in ${node} pod-${node}; do
        ip netns exec $n sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0; done
      ip link add port${i} type veth peer name eth0 netns ${node}; ip link set port${i} master lan0 up
      ethtool -K port${i} tx off >/dev/null 2>&1 || true
      ip -n ${node} link set lo up; ip -n ${node} link set eth0 up
      ip netns exec ${node} sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.default.rp_filter=1`);
    const own = startOwnSwitch(t, sandbox, node);
    if (DATAPATH === "netdev") {
      sandbox.sh(`${own.vsctl} add-br ${UNDERLAY_DEVICE} -- set bridge ${UNDERLAY_DEVICE} datapath_type=netdev \
        -- add-port ${UNDERLAY_DEVICE} eth0 && ip -n ${node} link set ${UNDERLAY_DEVICE} up`);
    }
    for (const family of families) {
      const address = `${underlayAddress(family, i)}/${family === 4 ? 24 : 64}`;
      sandbox.sh(`ip -n ${node} address add ${address} dev ${UNDERLAY_DEVICE} ${family === 6 ? "nodad" : ""}`);
    }
    sandbox.sh(`
      ip -n ${node} link add pod0 mtu ${mtu} type veth peer name eth0 mtu ${mtu} netns pod-${node}
      ip -n ${node} address add 10.244.${i}.1/24 dev pod0; ip -n ${node} address add fd00:244:0:${i}::1/64 dev pod0 nodad
      ip -n ${node} link set pod0 up; ip -n pod-${node} link set eth0 up; ip -n pod-${node} link set lo up
      ip -n pod-${node} address add 10.244.${i}.2/24 dev eth0; ip -n pod-${node} address add fd00:244:0:${i}::2/64 dev eth0 nodad
      ip -n pod-${node} route add default via 10.244.${i}.1; ip -n pod-${node} route add default via fd00:244:0:${i}::1`);
    return [node, switchNode(t, sandbox, node, own)] as const;
  });
  return Object.fromEntries(nodes) as Record<NodeName, SwitchNode>;
}

function switchNode(t: Test, sandbox: Sandbox, node: NodeName, own: OwnSwitch): SwitchNode {
  let notices = 0;
  const switches = new Switches({ socket: own.socket, onChange: () => void notices++ });
  t.teardown(() => switches[Symbol.dispose]());
  return {
    own,
    switches,
    notices: () => notices,
    async apply(state) {
      using home = currentNetns();
      using there = openNetns(sandbox.netns(node));
      enterNetns(there); // no callback, for a pass lets the event loop run; nothing else does in here
      try {
        using rt = openRoute();
        return await applyOverlay(rt, state, { switches });
      } finally {
        enterNetns(home);
      }
    },
  };
}
