import type { CheckRequest } from "../../cni/plugin.ts";
import { type AttachmentName, hostVethName } from "../../kernel/mark.ts";
import { listAddresses } from "../../kernel/rtnetlink/address.ts";
import { getLink, type Link } from "../../kernel/rtnetlink/link.ts";
import { openRoute, type RouteSocket } from "../../kernel/rtnetlink/socket.ts";
import { checkVethEnd, Differences, ownPart, type Report, type Told } from "../interface/check.ts";
import { FORWARDING, isForwarding } from "../interface/forwarding.ts";
import { planAddresses } from "../interface/plan.ts";
import { ruleProblems } from "../interface/rules.ts";
import { findVeth, podMac } from "../interface/veth.ts";
import type { NodeMachine } from "../node/machine.ts";
import { openPodNetns } from "../pod-netns.ts";
import { isPromiscuous } from "./bridge.ts";
import { type BridgeConf, decodeBridgeConf } from "./conf.ts";

/**
 * Compares everything that ADD made with what is there: links, addresses, routes, port flags, gateway, rules, and IPAM's
 * own CHECK. What ADD did not make, such as more addresses or routes, is other plugins' affair.
 * @throws CniError 100 that lists what differs, IPAM's own error, 7 for a prevResult that is not of this attachment
 */
export async function check(
  { conf: netConf, attachment, delegator }: CheckRequest,
  machine: NodeMachine,
): Promise<void> {
  const conf = decodeBridgeConf(netConf, attachment);
  const name = { network: netConf.name, containerId: attachment.containerId, ifName: attachment.ifName };
  const told = ownPart(netConf.prevResult, attachment.ifName, attachment.netns);
  const differences = new Differences();
  const { report } = differences;
  using netns = openPodNetns(attachment);
  using node = machine.openNode();
  using pod = openRoute(netns);
  const bridge = checkBridge(node, conf, told, netConf.ipam !== undefined, report);
  const host = checkPort(node, name, conf, bridge, report);
  checkVethEnd(pod, { up: !conf.disableContainerInterface, host }, told, report);
  const addresses = told.ips.map(({ address }) => address);
  differences.add(ruleProblems(machine, name, { mac: podMac(name, conf), addresses, conf }));

  differences.refuse(name);
  if (netConf.ipam !== undefined) await delegator.check(netConf.ipam.type, netConf.raw);
}

function checkBridge(
  node: RouteSocket,
  conf: BridgeConf,
  told: Told,
  layer3: boolean,
  report: Report,
): Link | undefined {
  const bridge = getLink(node, conf.bridge);
  if (bridge === undefined) return void report("bridge", conf.bridge, undefined);
  if (bridge.kind !== "bridge") report(`${conf.bridge} kind`, "bridge", bridge.kind);
  if (!bridge.up) report(conf.bridge, "up", "down");
  if (conf.promiscMode && !isPromiscuous(bridge)) report("promiscMode", true, false);
  if (!conf.isGateway || !layer3 || told.ips.length === 0) return bridge;
  const { gateways, families } = planAddresses(told, conf, 0);
  const present = listAddresses(node, { index: bridge.index }).map(({ address }) => address);
  for (const gateway of gateways) if (!present.includes(gateway)) report(`address of ${conf.bridge}`, gateway, present);
  for (const family of families) if (!isForwarding(family)) report(FORWARDING[family], 1, 0);
  return bridge;
}

function checkPort(
  node: RouteSocket,
  name: AttachmentName,
  conf: BridgeConf,
  bridge: Link | undefined,
  report: Report,
): Link | undefined {
  const port = findVeth(node, name);
  if (port === undefined) return void report("host link", hostVethName(name), undefined);
  if (!port.up) report(port.name, "up", "down");
  if (bridge !== undefined && port.master !== bridge.index) report(`master of ${port.name}`, bridge.name, port.master);
  if (conf.mtu !== undefined && port.mtu !== conf.mtu) report(`mtu of ${port.name}`, conf.mtu, port.mtu);
  if (port.port === undefined) return port;
  const { hairpin = false, isolated = false } = port.port;
  if (hairpin !== conf.hairpinMode) report("hairpinMode", conf.hairpinMode, hairpin);
  if (isolated !== conf.portIsolation) report("portIsolation", conf.portIsolation, isolated);
  return port;
}
