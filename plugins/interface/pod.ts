import { CniError, Code } from "../../cni/error.ts";
import type { IpConfig, Route } from "../../cni/result.ts";
import type { NetlinkError } from "../../kernel/netlink/error.ts";
import type { Request } from "../../kernel/netlink/socket.ts";
import { inNetns, type Netns } from "../../kernel/netns.ts";
import { addAddressRequest } from "../../kernel/rtnetlink/address.ts";
import { setLinkRequest } from "../../kernel/rtnetlink/link.ts";
import { type Route as KernelRoute, prependRouteRequest } from "../../kernel/rtnetlink/route.ts";
import { openRoute, type RouteSocket } from "../../kernel/rtnetlink/socket.ts";
import { setIpv6Conf } from "../../kernel/sysctl.ts";
import { ADDRESS_BITS, type Address, type Family, familyOf } from "../../net/address.ts";
import { hostPrefix, networkOf, type Prefix, prefixAddress, prefixFamily, prefixLength } from "../../net/prefix.ts";
import { type AddressPlan, gatewayOf } from "./plan.ts";

export interface PodOptions {
  /** Duplicate address detection on the pod's IPv6 addresses. */
  readonly enableDad?: boolean;
  /** The interface stays down. */
  readonly disableContainerInterface?: boolean;
  /** Gratuitous ARP goes out when it comes up, for what is on the wire at once and needs no bridge port (see announce.ts). */
  readonly announceOnUp?: boolean;
  /** The subnet is not on the link: the gateway alone is, and all else is behind it. */
  readonly pointToPoint?: boolean;
  /** The pod has no address of ours and may get one by a router's advertisement. */
  readonly configuresItself?: boolean;
  readonly withoutIpv4?: boolean;
}

/** The pod's interface. */
export interface PodEnd extends Disposable {
  readonly netns: Netns;
  /** A socket in the pod's namespace. */
  readonly rt: RouteSocket;
  readonly ifName: string;
  readonly index: number;
}

/**
 * Goes into the pod's namespace, once, for all that must be done there: opens the socket, and sets what must be so before
 * the link is up. Nobody's router advertisements or redirects are believed (CVE-2020-10749), and an IPv6 address of ours
 * is announced (see announce.ts), so that neighbours forget the MAC it had before. Unless duplicate address detection is
 * asked for, nobody else is: every question would go to all pods of the bridge.
 */
export function openPod(
  end: Omit<PodEnd, "rt" | typeof Symbol.dispose>,
  families: readonly Family[],
  { enableDad, configuresItself }: Pick<PodOptions, "enableDad" | "configuresItself">,
): PodEnd {
  const rt = inNetns(end.netns, () => {
    setIpv6Conf(end.ifName, {
      ...(configuresItself ? {} : { accept_ra: 0 }),
      accept_redirects: 0,
      ...(enableDad || configuresItself ? {} : { accept_dad: 0 }),
      ...(families.includes(6) ? { ndisc_notify: 1, disable_ipv6: 0 } : {}),
    });
    return openRoute();
  });
  return { ...end, rt, [Symbol.dispose]: () => rt[Symbol.dispose]() };
}

/** One order, and what of the configuration it serves. */
interface Step {
  readonly request: Request;
  readonly subject?: string;
}

/**
 * Gives the pod its addresses, switches its interface on and adds its routes, in one go. IPAM hands out each address once,
 * so duplicate address detection is off unless asked for: an IPv6 address can be used at once instead of a second or more
 * later. Another network's route to the same destination stays: a pod may have a default route of each.
 * @param plan undefined for a pod that gets none of both
 * @throws CniError 7 that names the address or the route that the kernel refused
 */
export function configurePod(
  end: PodEnd,
  plan: Pick<AddressPlan, "ips" | "routes"> | undefined,
  conf: PodOptions,
): void {
  const { ips = [], routes = [] } = plan ?? {};
  const steps = [
    ...ips.map((ip) => addressStep(end, ip, conf)),
    ...(conf.announceOnUp && !conf.withoutIpv4 ? [{ request: setLinkRequest(end.index, { ipv4: IPV4_CONF }) }] : []),
    upStep(end, conf),
    ...(conf.pointToPoint ? gatewayRoutes(ips, end.index).map(routeStep) : []),
    ...kernelRoutes(routes, ips, end.index).map(routeStep),
  ];
  const refusals = end.rt.executeAll(steps.map(({ request }) => request));
  refusals.forEach((refusal, index) => {
    if (refusal !== undefined) throw explain(refusal, steps[index]?.subject);
  });
}

/** Of the pod's interface. */
const IPV4_CONF = { acceptRedirects: 0, arpNotify: 1 } as const;

function addressStep({ index, ifName }: PodEnd, { address }: IpConfig, conf: PodOptions): Step {
  const noDad = prefixFamily(address) === 6 && !conf.enableDad;
  return {
    request: addAddressRequest({ index, address, ...(noDad ? { noDad } : {}), noPrefixRoute: conf.pointToPoint }),
    subject: `ips: address ${address} on ${ifName}`,
  };
}

/**
 * What IPv4 is told comes into force an instant after the link is up, but nothing can reach it yet: the kernel opens its
 * bridge port only when it has done the whole order.
 */
function upStep(
  { index }: PodEnd,
  { disableContainerInterface: down, withoutIpv4 }: Pick<PodOptions, "disableContainerInterface" | "withoutIpv4">,
): Step {
  return {
    request: setLinkRequest(index, { up: down ? undefined : true, ipv4: withoutIpv4 ? undefined : IPV4_CONF }),
  };
}

function routeStep(route: KernelRoute): Step {
  return {
    request: prependRouteRequest(route),
    subject: `routes: ${route.dst}${route.via === undefined ? "" : ` via ${route.via}`}`,
  };
}

/** To each gateway by itself, and to the rest of its subnet by way of it; a subnet of one address has no rest. */
export function gatewayRoutes(ips: AddressPlan["ips"], dev: number): readonly KernelRoute[] {
  const unique = new Map<Prefix, KernelRoute>();
  const put = (route: KernelRoute) => unique.has(route.dst) || unique.set(route.dst, route);
  for (const { address, gateway } of ips) {
    if (gateway === undefined) continue;
    const src = prefixAddress(address);
    put({ dst: hostPrefix(gateway), dev, src, scope: "link" });
    const subnet = networkOf(address);
    if (prefixLength(subnet) < ADDRESS_BITS[familyOf(src)]) put({ dst: subnet, dev, via: gateway, src });
  }
  return [...unique.values()];
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

function explain(error: NetlinkError, subject: string | undefined): Error {
  if (subject === undefined) return error;
  return new CniError(Code.invalidConfig, `${subject}: refused by the kernel: ${error.message}`, { cause: error });
}
