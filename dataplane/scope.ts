import { parseMark } from "../kernel/mark.ts";
import { getLink, type Link, listLinks } from "../kernel/rtnetlink/link.ts";
import type { RouteSocket } from "../kernel/rtnetlink/socket.ts";
import { contains, type Prefix } from "../net/prefix.ts";

/**
 * Which kernel objects a caller answers for: it removes those that it does not want, and touches no others. The agent
 * answers for everything that carries our marks; a static mesh for its one network.
 */
export interface Scope {
  /** The one network, or undefined for all. */
  readonly network?: string;
  /** With a network: its CIDRs, so that routes can be told apart. */
  readonly cidrs?: readonly Prefix[];
}

/** The network in the mark of a device that several networks share. */
const SHARED = "*";

/** The overlay devices that the scope sees: its own and shared ones. */
export function overlayLinks(rt: RouteSocket, scope: Scope): Link[] {
  return listLinks(rt, { kind: "vxlan" }).filter(({ alias }) => {
    const mark = parseMark(alias);
    if (mark?.role !== "overlay") return false;
    return scope.network === undefined || mark.network === scope.network || mark.network === SHARED;
  });
}

/** Whether the scope may delete the device: one network alone never deletes a shared one. */
export function mayDelete(scope: Scope, { alias }: Pick<Link, "alias">): boolean {
  return scope.network === undefined || parseMark(alias)?.network === scope.network;
}

/** Whether a route of ours to that destination, or an address on a device of ours, is in the scope. */
export function inScope(scope: Scope, prefix: Prefix): boolean {
  return scope.network === undefined || (scope.cidrs ?? []).some((cidr) => contains(cidr, prefix));
}

/**
 * The index of a device that is wanted to be there.
 * @throws Error naming the device when it is not
 */
export function deviceIndex(rt: RouteSocket, name: string): number {
  const link = getLink(rt, name);
  if (link === undefined) throw new Error(`device ${name} is not there`);
  return link.index;
}
