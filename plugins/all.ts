import type { Plugin } from "../cni/plugin.ts";
import { makeBandwidth } from "./bandwidth/plugin.ts";
import { makeBridge } from "./bridge/plugin.ts";
import { type DhcpMachine, makeDhcpMachine } from "./dhcp/machine.ts";
import { makeDhcp } from "./dhcp/plugin.ts";
import { makeDummy } from "./dummy/plugin.ts";
import { makeFirewall } from "./firewall/plugin.ts";
import { greOverlay } from "./gre-overlay/plugin.ts";
import { makeHostDevice } from "./host-device/plugin.ts";
import { type Machine as IpamMachine, thisMachine as thisIpamMachine } from "./host-local/machine.ts";
import { makeHostLocal } from "./host-local/plugin.ts";
import { makeIpvlan } from "./ipvlan/plugin.ts";
import { loopback } from "./loopback/plugin.ts";
import { makeMacvlan } from "./macvlan/plugin.ts";
import type { PluginName } from "./names.ts";
import { type NodeMachine, thisMachine as thisNode } from "./node/machine.ts";
import { makePortmap } from "./portmap/plugin.ts";
import { makePtp } from "./ptp/plugin.ts";
import { sbr } from "./sbr/plugin.ts";
import { staticPlugin } from "./static/plugin.ts";
import { makeTapPlugin } from "./tap/plugin.ts";
import { tuning } from "./tuning/plugin.ts";
import { makeVlan } from "./vlan/plugin.ts";
import { makeVrfPlugin } from "./vrf/plugin.ts";
import { vxlanOverlay } from "./vxlan-overlay/plugin.ts";

/** What the plugins use of the node: of a host that stays, or of a process that makes one call. */
export interface Machines {
  readonly node: NodeMachine;
  readonly ipam: IpamMachine;
  readonly dhcp: DhcpMachine;
}

export const THIS_MACHINE: Machines = { node: thisNode, ipam: thisIpamMachine, dhcp: makeDhcpMachine() };

/** All plugins, on these machines. */
export function makePlugins({ node, ipam, dhcp }: Machines): Readonly<Record<PluginName, Plugin>> {
  return {
    bridge: makeBridge(node),
    ptp: makePtp(node),
    macvlan: makeMacvlan(node),
    ipvlan: makeIpvlan(node),
    vlan: makeVlan(node),
    "host-device": makeHostDevice(node),
    tap: makeTapPlugin(node),
    dummy: makeDummy(node),
    "host-local": makeHostLocal(ipam),
    static: staticPlugin,
    dhcp: makeDhcp(dhcp),
    loopback,
    "vxlan-overlay": vxlanOverlay,
    "gre-overlay": greOverlay,
    tuning,
    sbr,
    portmap: makePortmap(node),
    firewall: makeFirewall(node),
    vrf: makeVrfPlugin(node),
    bandwidth: makeBandwidth(node),
  };
}
