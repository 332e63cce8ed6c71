import { CniError, Code } from "../../cni/error.ts";
import type { IpConfig } from "../../cni/result.ts";
import { hostVethName } from "../../kernel/mark.ts";
import { addAddress, listAddresses } from "../../kernel/rtnetlink/address.ts";
import { listRoutes, prependRoute, type Route } from "../../kernel/rtnetlink/route.ts";
import type { RouteSocket } from "../../kernel/rtnetlink/socket.ts";
import { setIpv6Conf } from "../../kernel/sysctl.ts";
import { type Address, familyOf } from "../../net/address.ts";
import { hostPrefix, type Prefix, prefixAddress, prefixFamily } from "../../net/prefix.ts";
import { type Report, reportVethEnds } from "../interface/check.ts";
import type { Facts } from "../interface/design.ts";
import { enableForwarding, FORWARDING, isForwarding } from "../interface/forwarding.ts";
import type { AddressPlan } from "../interface/plan.ts";
import { gatewayRoutes } from "../interface/pod.ts";
import { findVeth } from "../interface/veth.ts";

interface HostEnd {
  readonly index: number;
  readonly name: string;
}

/**
 * Gives the node's end the gateways' addresses, each by itself, and routes to the pod's; the node forwards from now on.
 * @throws CniError 7 for an address without a gateway
 */
export function serveAddresses(node: RouteSocket, { index, name }: HostEnd, { ips, families }: AddressPlan): void {
  const gateways = gatewaysOf(ips);
  if (families.includes(6)) {
    // IPv6 is off on a new end (veth.ts). What the pod says of routers and routes is not believed (CVE-2020-10749).
    setIpv6Conf(name, { accept_ra: 0, accept_redirects: 0, accept_dad: 0, disable_ipv6: 0 });
  }
  for (const gateway of gateways) {
    addAddress(node, { index, address: gateway, ...(prefixFamily(gateway) === 6 ? { noDad: true } : {}) });
  }
  for (const { address } of ips) prependRoute(node, routeToPod(prefixAddress(address), index));
  enableForwarding(families);
}

function gatewaysOf(ips: readonly IpConfig[]): readonly Prefix[] {
  const gateways = ips.map(({ address, gateway }) => {
    if (gateway !== undefined) return hostPrefix(gateway);
    throw new CniError(
      Code.invalidConfig,
      `ipam: ${address} has no gateway, which is the address of the node's end; give one in the ipam section`,
    );
  });
  return [...new Set(gateways)];
}

function routeToPod(address: Address, dev: number): Route {
  return { dst: hostPrefix(address), dev, ...(familyOf(address) === 4 ? { scope: "host" as const } : {}) };
}

/** The node's end with its addresses and routes, the other end, and what the pod's routes hang on. */
export function checkHostEnd({ name, node, pod, link, told }: Facts, _conf: unknown, report: Report): void {
  const host = findVeth(node, name);
  if (host === undefined) return void report("host link", hostVethName(name), undefined);
  if (!host.up) report(host.name, "up", "down");
  const addresses = listAddresses(node, { index: host.index }).map(({ address }) => address);
  for (const gateway of gatewaysOf(told.ips)) {
    if (!addresses.includes(gateway)) report(`address of ${host.name}`, gateway, addresses);
  }
  const routes = listRoutes(node, { dev: host.index }).map(({ dst }) => dst);
  for (const { address } of told.ips) {
    const dst = hostPrefix(prefixAddress(address));
    if (!routes.includes(dst)) report(`route over ${host.name}`, dst, routes);
  }
  const families = new Set(told.ips.map(({ address }) => prefixFamily(address)));
  for (const family of families) if (!isForwarding(family)) report(FORWARDING[family], 1, 0);
  if (link === undefined) return;
  reportVethEnds(link, host, report);
  const present = listRoutes(pod, { dev: link.index, table: 0 });
  for (const { dst, via } of gatewayRoutes(told.ips, link.index)) {
    if (present.some((route) => route.dst === dst && route.via === via)) continue;
    report("route", via === undefined ? dst : `${dst} via ${via}`, undefined);
  }
}
