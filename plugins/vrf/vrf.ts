import { CniError, Code, messageOf } from "../../cni/error.ts";
import type { Logger } from "../../cni/log.ts";
import { formatMark, parseMark } from "../../kernel/mark.ts";
import { isNetlinkError } from "../../kernel/netlink/error.ts";
import { type ListedAddress, listAddresses, replaceAddress } from "../../kernel/rtnetlink/address.ts";
import { lackingKind } from "../../kernel/rtnetlink/device-kinds.ts";
import { addLink, deleteLink, getLink, type Link, listLinks, setLink } from "../../kernel/rtnetlink/link.ts";
import { type ListedRoute, listRoutes, Protocol, prependRoute, Table } from "../../kernel/rtnetlink/route.ts";
import { listRules } from "../../kernel/rtnetlink/rule.ts";
import type { RouteSocket } from "../../kernel/rtnetlink/socket.ts";
import { isLinkLocal } from "../../net/address.ts";
import { prefixAddress } from "../../net/prefix.ts";
import { interfaceRoutes } from "../chained/routes.ts";
import type { VrfConf } from "./conf.ts";

/**
 * The VRF, made when the pod has none of that name; up afterwards.
 * @throws CniError 7 when the name is another kind of link's, or the VRF has another table; 101 when the kernel has none
 */
export function ensureVrf(
  rt: RouteSocket,
  { vrfName, table }: VrfConf,
  network: string,
): { link: Link; made: boolean } {
  const present = getLink(rt, vrfName);
  if (present === undefined) return { link: makeVrf(rt, vrfName, table ?? freeTable(rt), network), made: true };
  if (present.kind !== "vrf") {
    throw new CniError(
      Code.invalidConfig,
      `vrfname: "${vrfName}" is a link of kind ${present.kind ?? "none"} in the pod, not a VRF; choose another name`,
    );
  }
  if (table !== undefined && present.vrf?.table !== table) {
    throw new CniError(
      Code.invalidConfig,
      `table: ${table} is wanted, but the pod's VRF "${vrfName}" has table ${present.vrf?.table}; use that, or another name`,
    );
  }
  return { link: present, made: false };
}

function makeVrf(rt: RouteSocket, name: string, table: number, network: string): Link {
  try {
    return addLink(rt, { name, kind: "vrf", vrf: { table }, alias: formatMark({ role: "vrf", network }), up: true });
  } catch (error) {
    if (isNetlinkError(error, "EOPNOTSUPP"))
      throw new CniError(Code.lackingKernel, `vrf: ${lackingKind("vrf")}`, { cause: error });
    throw error;
  }
}

/** The lowest that nobody uses: no VRF, no route and no rule of the pod. */
function freeTable(rt: RouteSocket): number {
  const taken = new Set<number | undefined>([
    ...Object.values(Table),
    ...listLinks(rt, { kind: "vrf" }).map(({ vrf }) => vrf?.table),
    ...listRoutes(rt, { table: 0 }).map(({ table }) => table),
    ...listRules(rt).map(({ table }) => table),
  ]);
  let table = 1;
  while (taken.has(table)) table++;
  return table;
}

/** What an interface loses when the kernel switches it off and on, but for what the kernel puts there itself. */
interface Lost {
  readonly addresses: readonly ListedAddress[];
  readonly routes: readonly ListedRoute[];
}

function losses(rt: RouteSocket, index: number): Lost {
  return {
    addresses: listAddresses(rt, { index, family: 6 }).filter(({ address }) => !isLinkLocal(prefixAddress(address))),
    routes: interfaceRoutes(rt, index, { table: 0 }).filter(
      ({ table, type, protocol }) => table !== Table.local && type === "unicast" && protocol !== Protocol.kernel,
    ),
  };
}

/** The routes of the one table go into the other; those of further tables stay in theirs. */
function putBack(rt: RouteSocket, { addresses, routes }: Lost, from: number, to: number): void {
  for (const address of addresses) replaceAddress(rt, { ...address, noDad: true });
  for (const route of routes.toReversed()) {
    prependRoute(rt, route.table === from ? { ...route, table: to } : route);
  }
}

/**
 * Puts the interface into the VRF. The kernel switches it off and on for that, whereby it loses its IPv6 addresses and all
 * routes but those of its subnets: they are put back, the routes of the main table into the VRF's.
 * @param undos gets what takes it out again
 */
export function enslave(rt: RouteSocket, { index }: Link, vrf: Link, undos: (() => void)[]): void {
  const lost = losses(rt, index);
  undos.push(() => {
    setLink(rt, index, { master: 0 });
    putBack(rt, lost, Table.main, Table.main);
  });
  setLink(rt, index, { master: vrf.index });
  putBack(rt, lost, Table.main, vrf.vrf?.table ?? Table.main);
}

/**
 * Takes the interface out of the VRF, with its addresses and routes; a VRF of ours goes when it has no interface any more. Not
 * being there is no error.
 * @param log told of what could not be put back
 */
export function release(rt: RouteSocket, ifName: string, vrfName: string, log: Pick<Logger, "warn">): void {
  const vrf = getLink(rt, vrfName);
  if (vrf?.kind !== "vrf") return;
  const link = getLink(rt, ifName);
  if (link?.master === vrf.index) {
    const lost = losses(rt, link.index);
    setLink(rt, link.index, { master: 0 });
    try {
      putBack(rt, lost, vrf.vrf?.table ?? Table.main, Table.main);
    } catch (error) {
      log.warn("an address or route was lost with the VRF", { error: messageOf(error) });
    }
  }
  if (parseMark(vrf.alias)?.role !== "vrf" || listLinks(rt, { master: vrf.index }).length > 0) return;
  deleteLink(rt, vrf.index, { missingOk: true });
}
