import { CniError, Code } from "../../cni/error.ts";
import type { CheckRequest } from "../../cni/plugin.ts";
import type { Interface, Result } from "../../cni/result.ts";
import { type AttachmentName, hostVethName } from "../../kernel/mark.ts";
import { listAddresses } from "../../kernel/rtnetlink/address.ts";
import { getLink, type Link } from "../../kernel/rtnetlink/link.ts";
import { listRoutes } from "../../kernel/rtnetlink/route.ts";
import { openRoute, type RouteSocket } from "../../kernel/rtnetlink/socket.ts";
import { type Prefix, prefixFamily } from "../../net/prefix.ts";
import { openPodNetns } from "../pod-netns.ts";
import { FORWARDING, isForwarding, isPromiscuous } from "./bridge.ts";
import { type BridgeConf, decodeBridgeConf } from "./conf.ts";
import { planAddresses } from "./gateway.ts";
import type { BridgeMachine } from "./machine.ts";
import { kernelRoutes } from "./pod.ts";
import { findPort, podMac } from "./port.ts";
import { ruleProblems } from "./rules.ts";

/** One thing that is not as ADD left it: `key: want …, have …`. */
type Report = (key: string, want: unknown, have: unknown) => void;

/**
 * Compares everything that ADD made with what is there: links, addresses, routes, port flags, gateway, rules, and IPAM's
 * own CHECK. What ADD did not make, such as more addresses or routes, is other plugins' affair.
 * @throws CniError 100 that lists what differs, IPAM's own error, 7 for a prevResult that is not of this attachment
 */
export async function check(
  { conf: netConf, attachment, delegator }: CheckRequest,
  machine: BridgeMachine,
): Promise<void> {
  const conf = decodeBridgeConf(netConf, attachment);
  const name = { network: netConf.name, containerId: attachment.containerId, ifName: attachment.ifName };
  const told = ownPart(netConf.prevResult, attachment.ifName, attachment.netns);
  const differences: string[] = [];
  const report: Report = (key, want, have) => {
    differences.push(`${key}: want ${show(want)}, have ${show(have)}`);
  };
  using netns = openPodNetns(attachment);
  using node = machine.openNode();
  using pod = openRoute(netns);
  const bridge = checkBridge(node, conf, told, netConf.ipam !== undefined, report);
  const host = checkPort(node, name, conf, bridge, report);
  checkPodEnd(pod, conf, told, host, report);
  const addresses = told.ips.map(({ address }) => address);
  differences.push(...ruleProblems(machine, name, { mac: podMac(name, conf), addresses, conf }));

  if (differences.length > 0) {
    throw new CniError(
      Code.checkFailed,
      `${name.ifName} of ${name.containerId} has changed: ${differences.join("; ")}`,
    );
  }
  if (netConf.ipam !== undefined) await delegator.check(netConf.ipam.type, netConf.raw);
}

/** What prevResult says of this attachment. */
interface Told {
  readonly container: Interface;
  readonly ips: Result["ips"];
  readonly routes: Result["routes"];
}

function ownPart({ interfaces, ips, routes }: Result, ifName: string, netns: string): Told {
  const index = interfaces.findIndex(({ name, sandbox }) => name === ifName && sandbox === netns);
  const container = interfaces[index];
  if (container === undefined) {
    throw new CniError(
      Code.invalidConfig,
      `prevResult.interfaces: no interface "${ifName}" with sandbox "${netns}"; give the result of this attachment's ADD`,
    );
  }
  return { container, ips: ips.filter((ip) => ip.interface === undefined || ip.interface === index), routes };
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
  const port = findPort(node, name);
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

function checkPodEnd(
  pod: RouteSocket,
  conf: BridgeConf,
  { container, ips, routes }: Told,
  host: Link | undefined,
  report: Report,
): void {
  const link = getLink(pod, container.name);
  if (link === undefined) {
    report("interface", container.name, undefined);
    return;
  }
  if (link.kind !== "veth") report(`${container.name} kind`, "veth", link.kind);
  else if (host !== undefined && link.peerIndex !== host.index)
    report(`peer of ${container.name}`, host.index, link.peerIndex);
  if (!link.up && !conf.disableContainerInterface) report(container.name, "up", "down");
  if (container.mac !== undefined && link.mac !== container.mac.toLowerCase()) report("mac", container.mac, link.mac);
  if (container.mtu !== undefined && link.mtu !== container.mtu) report("mtu", container.mtu, link.mtu);
  if (host !== undefined && link.mtu > host.mtu) report("mtu", `${host.mtu} or less`, link.mtu);
  const present: readonly Prefix[] = listAddresses(pod, { index: link.index }).map(({ address }) => address);
  for (const { address } of ips) if (!present.includes(address)) report("address", address, present);
  checkRoutes(pod, link.index, { ips, routes }, report);
}

/** Looked for in every table, because plugins such as sbr move them. */
function checkRoutes(
  pod: RouteSocket,
  dev: number,
  { ips, routes }: Pick<Told, "ips" | "routes">,
  report: Report,
): void {
  if (routes.length === 0) return;
  const present = [4, 6].flatMap((family) => listRoutes(pod, { family: family as 4 | 6, table: 0 }));
  for (const { dst, via } of kernelRoutes(routes, ips, dev)) {
    const found = present.filter((route) => route.dst === dst && (route.dev === dev || route.multipath !== undefined));
    const served = found.some(
      (route) => via === undefined || route.via === via || route.multipath?.some((hop) => hop.via === via),
    );
    if (served) continue;
    const text = via === undefined ? dst : `${dst} via ${via}`;
    report(
      `route (IPv${prefixFamily(dst)})`,
      text,
      found.map((route) => `${route.dst} via ${route.via ?? "none"}`),
    );
  }
}

function show(value: unknown): string {
  if (value === undefined) return "nothing";
  if (Array.isArray(value)) return value.length === 0 ? "none" : value.join(", ");
  return String(value);
}
