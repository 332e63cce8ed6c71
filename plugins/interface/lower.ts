import { boolean, optional } from "../../cni/decode.ts";
import { CniError, Code } from "../../cni/error.ts";
import type { DeviceKind } from "../../kernel/rtnetlink/device-kinds.ts";
import { getLink, type Link } from "../../kernel/rtnetlink/link.ts";
import { listRoutes } from "../../kernel/rtnetlink/route.ts";
import type { RouteSocket } from "../../kernel/rtnetlink/socket.ts";
import type { Report } from "./check.ts";
import { interfaceMtu, optionalName } from "./conf.ts";
import type { Facts, InterfaceConf, Made, Place } from "./design.ts";
import { DEFAULT_ROUTE } from "./plan.ts";
import { makePodLink, makePodLinkOver, type Named, type PodLinkSpec } from "./pod-link.ts";

/** The keys of plugins whose interface hangs on another. */
export const lowerKeys = {
  master: optional(optionalName),
  linkInContainer: optional(boolean, false),
  mtu: optional(interfaceMtu),
} as const;

/** What {@link lowerKeys} say. */
export interface LowerConf extends InterfaceConf {
  /** The interface that the pod's hangs on; absent: that of the default route. */
  readonly master: string | undefined;
  /** That interface is one of the pod's, not of the node's. */
  readonly linkInContainer: boolean;
  /** Bytes; absent: as the master. */
  readonly mtu: number | undefined;
}

/** What {@link lowerKeys} decoded, with nothing left out. */
export function lowerConf({ master, linkInContainer, mtu }: Partial<LowerConf>): LowerConf {
  return { master, linkInContainer: linkInContainer ?? false, mtu };
}

/**
 * Finds the master.
 * @throws CniError 7 when there is none
 */
export function findLower({ node, pod }: Pick<Place, "node" | "pod">, conf: LowerConf): Link {
  const where = conf.linkInContainer ? "the container" : "this node";
  const rt = conf.linkInContainer ? pod : node;
  const link = conf.master === undefined ? defaultInterface(rt, where) : getLink(rt, conf.master);
  if (link !== undefined) return link;
  throw new CniError(Code.invalidConfig, `master: "${conf.master}" is no interface of ${where}; see "ip link"`);
}

/** That of the first default route, IPv4 before IPv6. */
function defaultInterface(rt: RouteSocket, where: string): Link | undefined {
  for (const { dst, type, dev, multipath } of listRoutes(rt)) {
    if (type !== "unicast" || (dst !== DEFAULT_ROUTE[4] && dst !== DEFAULT_ROUTE[6])) continue;
    const index = dev ?? multipath?.[0]?.dev;
    const link = index === undefined ? undefined : getLink(rt, index);
    if (link !== undefined) return link;
  }
  throw new CniError(
    Code.invalidConfig,
    `master is missing, and ${where} has no default route whose interface it could be`,
  );
}

/** Makes the pod's interface on top of the master. @throws as {@link makePodLink} */
export function makeOverLower(
  place: Place,
  { linkInContainer }: LowerConf,
  kind: DeviceKind,
  spec: (named: Named) => PodLinkSpec,
): Made {
  return linkInContainer ? makePodLink(place, kind, spec) : makePodLinkOver(place, kind, spec);
}

/** @throws CniError 7 for more than the master can carry */
export function refuseLargeMtu(master: Link, { mtu }: LowerConf): void {
  if (mtu === undefined || mtu <= master.mtu) return;
  throw new CniError(Code.invalidConfig, `mtu: ${mtu} is more than the ${master.mtu} of master "${master.name}"`);
}

/** @throws CniError 50 when the master is not there; one of a container is not looked for */
export function requireLower(node: RouteSocket, { master, linkInContainer }: LowerConf): void {
  if (linkInContainer) return;
  if (master === undefined) {
    try {
      defaultInterface(node, "this node");
    } catch (error) {
      if (error instanceof CniError) throw new CniError(Code.notAvailable, error.message);
      throw error;
    }
  } else if (getLink(node, master) === undefined) {
    throw new CniError(Code.notAvailable, `master: "${master}" is no interface of this node; see "ip link"`);
  }
}

/**
 * Whether the pod's interface hangs on the master that the configuration names. A master that was renamed, or whose default
 * route went elsewhere, carries it as before.
 */
export function checkLower({ node, pod, link }: Facts, { master, linkInContainer }: LowerConf, report: Report): void {
  if (master === undefined || link === undefined) return;
  const lower = getLink(linkInContainer ? pod : node, master);
  if (lower === undefined) return;
  // A macvlan on a macvlan hangs on what that hangs on, and so does an ipvlan on an ipvlan.
  const real = lower.kind === link.kind && link.kind !== "vlan" ? lower.peerIndex : lower.index;
  if (link.peerIndex !== real) report("master", real, link.peerIndex);
}
