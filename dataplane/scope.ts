import { DEVICE_KINDS } from "../backends/backend.ts";
import { parseMark } from "../kernel/mark.ts";
import type { Link } from "../kernel/rtnetlink/link.ts";
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

/** Kinds of our tunnels' devices (IFLA_INFO_KIND). */
const TUNNEL_KINDS: ReadonlySet<string | undefined> = DEVICE_KINDS;
/** Kinds that a bridge's own device has, with Open vSwitch's kernel module and without. */
const SWITCH_KINDS: ReadonlySet<string | undefined> = new Set(["openvswitch", "tun"]);

/** The network in the mark of a device that several networks share. */
const SHARED = "*";

/** Whether the link is an overlay device of ours. */
export function isOverlay({ kind, alias }: Pick<Link, "kind" | "alias">): boolean {
  return (TUNNEL_KINDS.has(kind) || SWITCH_KINDS.has(kind)) && parseMark(alias)?.role === "overlay";
}

/** Whether the link is of a kind that Open vSwitch makes, and so is Open vSwitch's to delete. */
export function isSwitchDevice({ kind }: Pick<Link, "kind">): boolean {
  return SWITCH_KINDS.has(kind);
}

/** Whether it is one that the scope sees: its own or a shared one. */
export function isOverlayIn(scope: Scope, link: Pick<Link, "kind" | "alias">): boolean {
  if (!isOverlay(link)) return false;
  const network = parseMark(link.alias)?.network;
  return scope.network === undefined || network === scope.network || network === SHARED;
}

/** Whether the scope may delete the device: one network alone never deletes a shared one. */
export function mayDelete(scope: Scope, { alias }: Pick<Link, "alias">): boolean {
  return scope.network === undefined || parseMark(alias)?.network === scope.network;
}

/** Whether a route of ours to that destination, or an address on a device of ours, is in the scope. */
export function inScope(scope: Scope, prefix: Prefix): boolean {
  return scope.network === undefined || (scope.cidrs ?? []).some((cidr) => contains(cidr, prefix));
}
