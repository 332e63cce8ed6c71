import { ADDRESS_BITS, type Address, type Family, familyOf } from "../../net/address.ts";
import { makePrefix, type Prefix, prefixAddress, prefixFamily, prefixLength } from "../../net/prefix.ts";
import { Reader, type Writer } from "../netlink/bytes.ts";
import { isNetlinkError, type NetlinkError } from "../netlink/error.ts";
import { Flag, type Message } from "../netlink/message.ts";
import type { Request } from "../netlink/socket.ts";
import { decodeEncap, encodeEncap, type IpEncap } from "./encap.ts";
import { Af, familyNumber, Rtm } from "./message-types.ts";
import { type NextHop, RouteFlag, type RouteType, routeAttrs, routeHeader, type Scope } from "./route-message.ts";
import type { RouteSocket } from "./socket.ts";

export type { IpEncap, NextHop, RouteType, Scope };

/** RT_TABLE_*, <linux/rtnetlink.h>. */
export const Table = { default: 253, main: 254, local: 255 } as const;
/** RTPROT_*, <linux/rtnetlink.h>. Ours is ROUTE_PROTOCOL of kernel/mark.ts. */
export const Protocol = { unspec: 0, redirect: 1, kernel: 2, boot: 3, static: 4, ra: 9 } as const;
/** rtm_table has a byte; higher tables say so and stand in RTA_TABLE. */
const RT_TABLE_COMPAT = 252;

/** A route; the family is dst's. Absent fields are the kernel's defaults (table main, type unicast, protocol boot). */
export interface Route {
  /** "0.0.0.0/0" or "::/0" is the default route. */
  readonly dst: Prefix;
  readonly via?: Address | undefined;
  /** Interface index. */
  readonly dev?: number | undefined;
  /** Preferred source address. */
  readonly src?: Address | undefined;
  readonly mtu?: number | undefined;
  readonly advmss?: number | undefined;
  /** RTA_PRIORITY; IPv6 routes without one get 1024. */
  readonly metric?: number | undefined;
  readonly table?: number | undefined;
  readonly protocol?: number | undefined;
  readonly scope?: Scope | undefined;
  readonly type?: RouteType | undefined;
  readonly onlink?: boolean | undefined;
  readonly encap?: IpEncap | undefined;
  readonly multipath?: readonly NextHop[] | undefined;
}

/** A route that the kernel holds. */
export interface ListedRoute extends Route {
  readonly table: number;
  readonly protocol: number;
  readonly scope: Scope;
  readonly type: RouteType;
}

export interface RouteFilter {
  readonly family?: Family | undefined;
  /** main when absent; 0 lists every table. */
  readonly table?: number | undefined;
  readonly protocol?: number | undefined;
  readonly dev?: number | undefined;
  readonly type?: RouteType | undefined;
}

/** What the kernel would do with a packet. */
export interface RouteLookup {
  readonly type: RouteType;
  readonly dev?: number;
  readonly via?: Address;
  readonly src?: Address;
  readonly mtu?: number;
}

/** Routes of a table: `ip route show`. A table that does not exist has none. */
export function listRoutes(rt: RouteSocket, filter: RouteFilter = {}): ListedRoute[] {
  const { table = Table.main, protocol, dev, type } = filter;
  const families: readonly Family[] = filter.family === undefined ? [4, 6] : [filter.family];
  const routes = families.flatMap((family) => dumpFamily(rt, family, { ...filter, table }));
  return routes.filter(
    (route) =>
      (table === 0 || route.table === table) &&
      (protocol === undefined || route.protocol === protocol) &&
      (dev === undefined || route.dev === dev || route.multipath?.some((hop) => hop.dev === dev)) &&
      (type === undefined || route.type === type),
  );
}

/** The kernel filters what it can; what it cannot, or older kernels do not, {@link listRoutes} filters again. */
function dumpFamily(rt: RouteSocket, family: Family, filter: RouteFilter & { table: number }): ListedRoute[] {
  const { table, protocol = 0, dev, type = "unspec" } = filter;
  const body = (to: Writer) => {
    routeHeader.write(to, header({ family: familyNumber(family), protocol, scope: 0, type }));
    routeAttrs.write(to, { oif: dev, table: table === 0 ? undefined : table });
  };
  try {
    return rt.dump({ type: Rtm.getRoute, body, label: `RTM_GETROUTE table ${table}` }, decodeRoute);
  } catch (error) {
    if (isNetlinkError(error, "ENOENT")) return [];
    throw error;
  }
}

/** `ip route add`. @throws NetlinkError EEXIST */
export function addRoute(rt: RouteSocket, route: Route): void {
  execute(rt, Rtm.newRoute, Flag.create | Flag.excl, route);
}

/**
 * `ip route prepend`: beside routes of the same dst and metric, IPv4 before them, IPv6 as one more path.
 * @throws NetlinkError EEXIST when the very same route is there
 */
export function prependRoute(rt: RouteSocket, route: Route): void {
  rt.execute(prependRouteRequest(route));
}

/** What {@link prependRoute} sends, for a batch. */
export function prependRouteRequest(route: Route): Request {
  return change(Rtm.newRoute, Flag.create, route);
}

/** `ip route replace`: there is no moment without the route. What is replaced is the route of the same dst, metric and table. */
export function replaceRoute(rt: RouteSocket, route: Route): void {
  execute(rt, Rtm.newRoute, Flag.create | Flag.replace, route);
}

/** `ip route del`: the first route that matches all that is given. @throws NetlinkError ESRCH unless missingOk */
export function deleteRoute(rt: RouteSocket, route: Route, options: { missingOk?: boolean } = {}): void {
  try {
    execute(rt, Rtm.delRoute, 0, route);
  } catch (error) {
    // ENODEV: the device went, and its routes with it.
    if (!(options.missingOk && isNetlinkError(error, "ESRCH", "ENODEV"))) throw error;
  }
}

/** `ip route get`: where a packet would go. @throws NetlinkError ENETUNREACH, EHOSTUNREACH, … when nowhere */
export function getRoute(rt: RouteSocket, destination: Address): RouteLookup {
  const family = familyOf(destination);
  const body = (to: Writer) => {
    routeHeader.write(to, header({ family: familyNumber(family), dstLength: ADDRESS_BITS[family] }));
    routeAttrs.write(to, { dst: destination });
  };
  const answer = rt.ask({ type: Rtm.getRoute, body, label: `RTM_GETROUTE ${destination}` });
  const from = new Reader(answer.body);
  const { type } = routeHeader.read(from);
  const { oif, gateway, via = gateway, prefSrc, metrics } = routeAttrs.read(from);
  return {
    type,
    ...(oif === undefined ? {} : { dev: oif }),
    ...(via === undefined ? {} : { via }),
    ...(prefSrc === undefined ? {} : { src: prefSrc }),
    ...(metrics?.mtu === undefined ? {} : { mtu: metrics.mtu }),
  };
}

/** {@link addRoute} for many routes; otherwise as {@link replaceRoutes}. */
export function addRoutes(rt: RouteSocket, routes: readonly Route[]): (NetlinkError | undefined)[] {
  return rt.executeAll(routes.map((route) => change(Rtm.newRoute, Flag.create | Flag.excl, route)));
}

/**
 * {@link replaceRoute} for many routes with few system calls. One that is refused does not stop the others.
 * @returns for each route undefined, or why the kernel refused it
 */
export function replaceRoutes(rt: RouteSocket, routes: readonly Route[]): (NetlinkError | undefined)[] {
  return rt.executeAll(routes.map((route) => change(Rtm.newRoute, Flag.create | Flag.replace, route)));
}

function execute(rt: RouteSocket, type: number, flags: number, route: Route): void {
  rt.execute(change(type, flags, route));
}

function change(type: number, flags: number, route: Route): Request {
  const verb = type === Rtm.newRoute ? "RTM_NEWROUTE" : "RTM_DELROUTE";
  return { type, flags, body: (to) => writeRoute(to, route, type === Rtm.delRoute), label: `${verb} ${route.dst}` };
}

function writeRoute(to: Writer, route: Route, deletes: boolean): void {
  const {
    dst,
    via,
    dev,
    src,
    mtu,
    advmss,
    metric,
    table = Table.main,
    protocol,
    type,
    onlink,
    encap,
    multipath,
  } = route;
  const family = prefixFamily(dst);
  const otherFamily = via !== undefined && familyOf(via) !== family;
  const length = prefixLength(dst);
  routeHeader.write(to, {
    family: familyNumber(family),
    dstLength: length,
    srcLength: 0,
    tos: 0,
    table: table < 256 ? table : RT_TABLE_COMPAT,
    // Zero and "nowhere" match everything when a route is deleted.
    protocol: protocol ?? (deletes ? Protocol.unspec : Protocol.boot),
    scope: route.scope ?? (deletes ? "nowhere" : defaultScope(route)),
    type: type ?? (deletes ? "unspec" : "unicast"),
    flags: onlink ? RouteFlag.onlink : 0,
  });
  const { encapType, encap: tunnel } = encodeEncap(encap);
  routeAttrs.write(to, {
    dst: length === 0 ? undefined : prefixAddress(dst),
    oif: dev,
    gateway: otherFamily ? undefined : via,
    via: otherFamily ? via : undefined,
    priority: metric,
    prefSrc: src,
    metrics: mtu === undefined && advmss === undefined ? undefined : { mtu, advmss },
    multipath,
    table,
    encapType,
    encap: tunnel,
  });
}

/** As ip-route(8) chooses: what is reached without a gateway is on the link. IPv6 has no scopes. */
function defaultScope({ dst, via, type = "unicast", multipath }: Route): Scope {
  if (prefixFamily(dst) === 6) return "universe";
  if (type === "local" || type === "nat") return "host";
  if (type === "broadcast" || type === "multicast" || type === "anycast") return "link";
  return type === "unicast" && via === undefined && multipath === undefined ? "link" : "universe";
}

/** What an RTM_NEWROUTE or RTM_DELROUTE says; undefined for cached routes, and for those that an {@link Address} cannot say. */
export function decodeRoute(message: Message): ListedRoute | undefined {
  const from = new Reader(message.body);
  const { family, dstLength, table: shortTable, protocol, scope, type, flags } = routeHeader.read(from);
  if ((family !== Af.inet && family !== Af.inet6) || flags & RouteFlag.cloned) return undefined;
  const {
    dst,
    oif,
    gateway,
    via = gateway,
    priority,
    prefSrc,
    metrics,
    multipath,
    table = shortTable,
    ...tunnel
  } = routeAttrs.read(from);
  const address = dst ?? ((family === Af.inet ? "0.0.0.0" : "::") as Address);
  // ::ffff:0:0/96 and the like read as IPv4 addresses.
  if (familyNumber(familyOf(address)) !== family) return undefined;
  const encap = decodeEncap(tunnel);
  return {
    dst: makePrefix(address, dstLength),
    ...(via === undefined ? {} : { via }),
    ...(oif === undefined ? {} : { dev: oif }),
    ...(prefSrc === undefined ? {} : { src: prefSrc }),
    ...(metrics?.mtu === undefined ? {} : { mtu: metrics.mtu }),
    ...(metrics?.advmss === undefined ? {} : { advmss: metrics.advmss }),
    ...(priority === undefined ? {} : { metric: priority }),
    table,
    protocol,
    scope,
    type,
    ...(flags & RouteFlag.onlink ? { onlink: true } : {}),
    ...(encap === undefined ? {} : { encap }),
    ...(multipath === undefined ? {} : { multipath }),
  };
}

type Header = Parameters<typeof routeHeader.write>[1];

function header(given: Partial<Header>): Header {
  return {
    family: 0,
    dstLength: 0,
    srcLength: 0,
    tos: 0,
    table: 0,
    protocol: 0,
    scope: 0,
    type: 0,
    flags: 0,
    ...given,
  };
}
