import { CniError, Code } from "../../cni/error.ts";
import { formatMark, parseMark } from "../../kernel/mark.ts";
import { isNetlinkError } from "../../kernel/netlink/error.ts";
import { listAddresses, replaceAddress } from "../../kernel/rtnetlink/address.ts";
import { lackingKind } from "../../kernel/rtnetlink/device-kinds.ts";
import { addLink, deleteLink, getLink, type Link, listLinks, setLink } from "../../kernel/rtnetlink/link.ts";
import { listRoutes, Protocol, prependRoute, Table } from "../../kernel/rtnetlink/route.ts";
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

/**
 * Puts the interface into the VRF. The kernel switches it off and on for that, whereby it loses its IPv6 addresses and all
 * routes but those of its subnets: they are put back, the routes of the main table into the VRF's.
 * @param undos gets what takes it out again
 */
export function enslave(rt: RouteSocket, { index }: Link, vrf: Link, undos: (() => void)[]): void {
  const addresses = listAddresses(rt, { index, family: 6 }).filter(
    ({ address }) => !isLinkLocal(prefixAddress(address)),
  );
  const routes = interfaceRoutes(rt, index, { table: 0 }).filter(
    ({ table, protocol }) => table !== Table.local && protocol !== Protocol.kernel,
  );
  const putBack = (mainTable: number) => {
    for (const address of addresses) replaceAddress(rt, { ...address, noDad: true });
    for (const route of routes.toReversed()) {
      prependRoute(rt, route.table === Table.main ? { ...route, table: mainTable } : route);
    }
  };
  undos.push(() => {
    setLink(rt, index, { master: 0 });
    putBack(Table.main);
  });
  setLink(rt, index, { master: vrf.index });
  putBack(vrf.vrf?.table ?? Table.main);
}

/** Takes the interface out of the VRF; a VRF of ours goes when it has no interface any more. Not being there is no error. */
export function release(rt: RouteSocket, ifName: string, vrfName: string): void {
  const vrf = getLink(rt, vrfName);
  if (vrf?.kind !== "vrf") return;
  const link = getLink(rt, ifName);
  if (link?.master === vrf.index) setLink(rt, link.index, { master: 0 });
  if (parseMark(vrf.alias)?.role !== "vrf" || listLinks(rt, { master: vrf.index }).length > 0) return;
  deleteLink(rt, vrf.index, { missingOk: true });
}
