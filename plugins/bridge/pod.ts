import { CniError, Code } from "../../cni/error.ts";
import type { Route } from "../../cni/result.ts";
import { NetlinkError } from "../../kernel/netlink/error.ts";
import { inNetns, type Netns } from "../../kernel/netns.ts";
import { addAddress } from "../../kernel/rtnetlink/address.ts";
import { setLink } from "../../kernel/rtnetlink/link.ts";
import { type Route as KernelRoute, prependRoute } from "../../kernel/rtnetlink/route.ts";
import type { RouteSocket } from "../../kernel/rtnetlink/socket.ts";
import { writeSysctl } from "../../kernel/sysctl.ts";
import type { Address } from "../../net/address.ts";
import { networkOf, prefixFamily } from "../../net/prefix.ts";
import type { BridgeConf } from "./conf.ts";
import { type AddressPlan, gatewayOf } from "./gateway.ts";

/** The pod's end of the veth. */
export interface PodEnd {
  readonly netns: Netns;
  readonly rt: RouteSocket;
  readonly ifName: string;
  readonly index: number;
}

/**
 * What must be so before the link is up: nobody's router advertisements or redirects are believed (CVE-2020-10749), and
 * our own address is announced (see announce.ts), so that neighbours forget the MAC it had before.
 */
export function hardenPod({ netns, ifName }: PodEnd): void {
  inNetns(netns, () => {
    for (const [key, value] of [
      [`net/ipv6/conf/${ifName}/accept_ra`, 0],
      [`net/ipv6/conf/${ifName}/accept_redirects`, 0],
      [`net/ipv6/conf/${ifName}/ndisc_notify`, 1],
      [`net/ipv4/conf/${ifName}/accept_redirects`, 0],
      [`net/ipv4/conf/${ifName}/arp_notify`, 1],
    ] as const) {
      writeWhereKnown(key, value);
    }
  });
}

/** A kernel without the key has no IPv6. */
function writeWhereKnown(key: string, value: number): void {
  try {
    writeSysctl(key, value);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
  }
}

/**
 * Gives the pod its addresses. IPAM hands out each once, so duplicate address detection is off unless asked for: an
 * IPv6 address can be used at once instead of a second or more later.
 */
export function assignAddresses(
  { netns, rt, ifName, index }: PodEnd,
  { ips, families }: Pick<AddressPlan, "ips" | "families">,
  { enableDad }: Pick<BridgeConf, "enableDad">,
): void {
  if (families.includes(6)) writeSysctl(`net/ipv6/conf/${ifName}/disable_ipv6`, 0, { netns });
  for (const { address } of ips) {
    const noDad = prefixFamily(address) === 6 && !enableDad;
    try {
      addAddress(rt, { index, address, ...(noDad ? { noDad } : {}) });
    } catch (error) {
      throw explain(error, `ips: address ${address} on ${ifName}`);
    }
  }
}

export function setUp({ rt, index }: PodEnd): void {
  setLink(rt, index, { up: true });
}

/**
 * Adds the routes; the link must be up. Another network's route to the same destination stays: a pod may have a default
 * route of each.
 * @throws CniError 7 that names the route that the kernel refused
 */
export function addRoutes({ rt, index }: PodEnd, { ips, routes }: Pick<AddressPlan, "ips" | "routes">): void {
  for (const route of kernelRoutes(routes, ips, index)) {
    try {
      prependRoute(rt, route);
    } catch (error) {
      throw explain(error, `routes: ${route.dst}${route.via === undefined ? "" : ` via ${route.via}`}`);
    }
  }
}

/** The routes as the kernel takes them: without a gateway of its own, a route goes by way of the first of its family. */
export function kernelRoutes(routes: readonly Route[], ips: AddressPlan["ips"], dev: number): readonly KernelRoute[] {
  const unique = new Map<string, KernelRoute>();
  for (const { dst, gw, mtu, advmss, priority, table, scope } of routes) {
    const via: Address | undefined = gw ?? (scope === undefined ? gatewayOf(prefixFamily(dst), ips) : undefined);
    const route = { dst: networkOf(dst), dev, via, mtu, advmss, metric: priority, table, scope };
    unique.set(JSON.stringify(route), route);
  }
  return [...unique.values()];
}

function explain(error: unknown, subject: string): unknown {
  if (!(error instanceof NetlinkError)) return error;
  return new CniError(Code.invalidConfig, `${subject}: refused by the kernel: ${error.message}`, { cause: error });
}
