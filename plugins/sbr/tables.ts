import type { IpConfig } from "../../cni/result.ts";
import { ROUTE_PROTOCOL } from "../../kernel/mark.ts";
import { NetlinkError } from "../../kernel/netlink/error.ts";
import {
  deleteRoute,
  type ListedRoute,
  listRoutes,
  prependRoute,
  type Route,
  replaceRoute,
  Table,
} from "../../kernel/rtnetlink/route.ts";
import { addRule, deleteRule, listRules, type Rule } from "../../kernel/rtnetlink/rule.ts";
import type { RouteSocket } from "../../kernel/rtnetlink/socket.ts";
import { type Address, familyOf, isLinkLocal } from "../../net/address.ts";
import { contains, hostPrefix, networkOf, parsePrefix, prefixAddress, prefixFamily } from "../../net/prefix.ts";
import { interfaceRoutes } from "../chained/routes.ts";
import type { SbrConf } from "./conf.ts";

/** The first table that is tried, as with the reference plugin. */
const FIRST_TABLE = 100;
const DEFAULT_ROUTE = { 4: parsePrefix("0.0.0.0/0"), 6: parsePrefix("::/0") } as const;
const OUR_RULES = { protocol: ROUTE_PROTOCOL } as const;

/** What was done so far, to be undone in the reverse order. */
export type Undos = (() => void)[];

/** The rule for what is sent from the address. */
export function ruleOf({ address }: Pick<IpConfig, "address">, table: number): Rule {
  const source = prefixAddress(address);
  return { family: familyOf(source), src: hostPrefix(source), table, protocol: ROUTE_PROTOCOL };
}

/** Rules that this plugin made: marked, for one source address and nothing else. */
export function listOwnRules(rt: RouteSocket): readonly (Rule & { readonly source: Address })[] {
  return listRules(rt, OUR_RULES).flatMap((rule) => {
    const { src, dst, iif, oif, mark, action } = rule;
    const alone = dst === undefined && iif === undefined && oif === undefined && mark === undefined;
    if (src === undefined || !alone || action !== "table" || src !== hostPrefix(prefixAddress(src))) return [];
    return [{ ...rule, source: prefixAddress(src) }];
  });
}

/** Sends what comes from the addresses to the table. */
export function addRules(rt: RouteSocket, ips: readonly IpConfig[], table: number, undos: Undos): void {
  for (const ip of ips) {
    const rule = ruleOf(ip, table);
    addRule(rt, rule);
    undos.push(() => deleteRule(rt, rule, { missingOk: true }));
  }
}

/**
 * Gives each address a table of its own with the interface's routes that are for it, and a default route by its gateway; the
 * routes leave the main table. They go there first and leave the main table last: a gateway must be reachable at any moment.
 */
export function moveRoutes(rt: RouteSocket, dev: number, ips: readonly IpConfig[], conf: SbrConf, undos: Undos): void {
  const taken = takenTables(rt);
  const routes = interfaceRoutes(rt, dev);
  for (const ip of ips) {
    const table = freeTable(taken);
    taken.add(table);
    undos.push(() => forgetTable(rt, table));
    for (const route of routesOf(ip, ips, routes).toReversed()) prependRoute(rt, { ...route, table });
    const gateway = defaultGateway(rt, ip, table, conf);
    if (gateway !== undefined) replaceRoute(rt, ownDefault(gateway, dev, table));
    addRules(rt, [ip], table, undos);
  }
  const staying = conf.addSourceHints ? addHints(rt, dev, ips, undos) : [];
  for (const route of routes) if (leavesMain(route, staying)) moveOut(rt, route, undos);
}

/** Marked, because the main table never had it. */
function ownDefault(via: Address, dev: number, table: number): Route {
  return { dst: DEFAULT_ROUTE[familyOf(via)], via, dev, table, protocol: ROUTE_PROTOCOL };
}

/**
 * Puts the interface's routes that ADD moved to the tables back, and empties them. What the main table has again stays, and what
 * the kernel takes no more, because a gateway is out of reach by now, is left out.
 */
export function moveRoutesBack(rt: RouteSocket, dev: number, tables: ReadonlySet<number>): void {
  const key = ({ dst, via, metric }: Route) => `${dst} ${via} ${metric}`;
  const present = new Set(interfaceRoutes(rt, dev).map(key));
  const routes = [...tables].flatMap((table) => interfaceRoutes(rt, dev, { table })).toReversed();
  const subnetsFirst = routes.toSorted((a, b) => Number(a.via !== undefined) - Number(b.via !== undefined));
  for (const route of subnetsFirst) {
    if (route.protocol === ROUTE_PROTOCOL || present.has(key(route))) continue;
    present.add(key(route)); // several tables may have it
    try {
      prependRoute(rt, { ...route, table: Table.main });
    } catch (error) {
      if (!(error instanceof NetlinkError)) throw error;
    }
  }
  for (const route of routes) deleteRoute(rt, route, { missingOk: true });
}

/** Tables with a route in them or a rule that leads there. */
function takenTables(rt: RouteSocket): Set<number> {
  const rules = listRules(rt).flatMap(({ table }) => (table === undefined ? [] : [table]));
  return new Set([...rules, ...listRoutes(rt, { table: 0 }).map(({ table }) => table)]);
}

function freeTable(taken: ReadonlySet<number>): number {
  let table = FIRST_TABLE;
  while (taken.has(table) || Object.values<number>(Table).includes(table)) table++;
  return table;
}

/**
 * The routes that are for the address: with a source or gateway in its subnet, or with neither. A gateway that is in no address's
 * subnet is everybody's.
 */
function routesOf(
  { address }: IpConfig,
  ips: readonly IpConfig[],
  routes: readonly ListedRoute[],
): readonly ListedRoute[] {
  const family = prefixFamily(address);
  return routes.filter(({ dst, src, via }) => {
    if (prefixFamily(dst) !== family) return false;
    if (src === undefined && via === undefined) return true;
    if ([src, via].some((each) => each !== undefined && contains(address, each))) return true;
    return src === undefined && via !== undefined && !ips.some((other) => contains(other.address, via));
  });
}

/** The gateway for which there is no route in the table yet: one of `gateways` counts more than what the interface had. */
function defaultGateway(rt: RouteSocket, ip: IpConfig, table: number, { gateways }: SbrConf): Address | undefined {
  const family = prefixFamily(ip.address);
  const wanted = gateways[family];
  if (wanted !== undefined) return wanted;
  const present = listRoutes(rt, { family, table }).some(({ dst }) => dst === DEFAULT_ROUTE[family]);
  return present ? undefined : ip.gateway;
}

/** The addresses' subnets in the main table, with the addresses as sources. @returns those routes */
function addHints(rt: RouteSocket, dev: number, ips: readonly IpConfig[], undos: Undos): readonly Route[] {
  return ips.map(({ address }) => {
    const scope = prefixFamily(address) === 4 ? ({ scope: "link" } as const) : {};
    const hint: Route = { dst: networkOf(address), dev, src: prefixAddress(address), ...scope };
    const before = listRoutes(rt, { dev }).filter(({ dst, metric }) => dst === hint.dst && metric === undefined);
    replaceRoute(rt, hint);
    undos.push(() => {
      deleteRoute(rt, hint, { missingOk: true });
      for (const route of before) replaceRoute(rt, route);
    });
    return hint;
  });
}

/** A route to link-local addresses is of use to nobody but them. What a hint has replaced is gone already. */
function leavesMain({ dst, via, metric }: ListedRoute, staying: readonly Route[]): boolean {
  if (isLinkLocal(prefixAddress(dst))) return false;
  return via !== undefined || metric !== undefined || !staying.some((hint) => hint.dst === dst);
}

function moveOut(rt: RouteSocket, route: ListedRoute, undos: Undos): void {
  deleteRoute(rt, route, { missingOk: true });
  undos.push(() => prependRoute(rt, route));
}

function forgetTable(rt: RouteSocket, table: number): void {
  for (const route of listRoutes(rt, { table })) deleteRoute(rt, route, { missingOk: true });
}
