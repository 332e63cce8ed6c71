import { randomBytes } from "node:crypto";
import { CniError, Code } from "../../cni/error.ts";
import { formatMark, networkGroup, parseMark } from "../../kernel/mark.ts";
import { isNetlinkError } from "../../kernel/netlink/error.ts";
import { listAddresses } from "../../kernel/rtnetlink/address.ts";
import { addLink, deleteLink, getLink, type Link, LinkFlag, listLinks, setLink } from "../../kernel/rtnetlink/link.ts";
import type { RouteSocket } from "../../kernel/rtnetlink/socket.ts";
import { writeSysctl } from "../../kernel/sysctl.ts";
import { localMacFromHash } from "../../net/mac.ts";
import { type Prefix, prefixFamily } from "../../net/prefix.ts";
import { enableForwarding } from "../interface/forwarding.ts";
import type { AddressPlan } from "../interface/plan.ts";
import type { BridgeConf } from "./conf.ts";
import { ensureGateway } from "./gateway.ts";

/** How many times a bridge that others make and remove at the same moment is looked for. */
const ATTEMPTS = 5;

/** A bridge that is there now, and whether this call made it. */
interface EnsuredBridge {
  readonly link: Link;
  readonly created: boolean;
}

/** Whether we made the bridge, for this network. */
export function isOwnBridge(link: Link, network: string): boolean {
  if (link.kind !== "bridge") return false;
  const mark = parseMark(link.alias);
  if (mark !== undefined) return mark.role === "bridge" && mark.network === network;
  return (link.alias ?? "") === "" && link.group === networkGroup(network);
}

/**
 * The bridge, made when it is missing; up afterwards. Its MAC address is set once, because a bridge without one of its
 * own takes the lowest of its ports' and changes it as they come and go. A bridge that somebody else made is used as it
 * is. Equivalent to `ip link add NAME address MAC mtu MTU type bridge && ip link set NAME up`.
 * @param beforeMaking called before one is made, and may throw
 * @throws CniError 7 when a link of that name is no bridge
 */
function ensureBridge(
  rt: RouteSocket,
  conf: Pick<BridgeConf, "bridge" | "mtu">,
  network: string,
  beforeMaking: () => void,
): EnsuredBridge {
  for (let attempt = 1; ; attempt++) {
    const present = getLink(rt, conf.bridge);
    if (present !== undefined) return { link: prepare(rt, present, network), created: false };
    beforeMaking();
    try {
      return { link: makeBridge(rt, conf, network), created: true };
    } catch (error) {
      if (!isNetlinkError(error, "EEXIST") || attempt === ATTEMPTS) throw error;
    }
  }
}

function makeBridge(rt: RouteSocket, conf: Pick<BridgeConf, "bridge" | "mtu">, network: string): Link {
  const created = addLink(rt, {
    name: conf.bridge,
    kind: "bridge",
    mac: localMacFromHash(randomBytes(6)),
    mtu: conf.mtu,
    group: networkGroup(network),
    alias: formatMark({ role: "bridge", network }),
  });
  try {
    return prepare(rt, created, network);
  } catch (error) {
    deleteEmptyBridge(rt, created);
    throw error;
  }
}

function prepare(rt: RouteSocket, link: Link, network: string): Link {
  if (link.kind !== "bridge") {
    throw new CniError(
      Code.invalidConfig,
      `bridge: "${link.name}" is a link of kind ${link.kind ?? "none"}, not a bridge; choose another name`,
    );
  }
  if (isOwnBridge(link, network)) {
    harden(link);
    if ((link.alias ?? "") === "") setLink(rt, link.index, { alias: formatMark({ role: "bridge", network }) });
  }
  if (link.up) return link;
  setLink(rt, link.index, { up: true });
  return getLink(rt, link.index) ?? link;
}

/** Whether somebody set it so; tcpdump, which makes it so for a while, does not count. */
export function isPromiscuous({ flags }: Link): boolean {
  return (flags & LinkFlag.promisc) !== 0;
}

/**
 * No pod may change our routes by router advertisements or redirects (CVE-2020-10749). To be done before the link is up.
 * The values that the kernel told with the link are looked at, because most of the time nothing is to do.
 */
function harden({ name, ipv4, ipv6 }: Link): void {
  // Its fe80:: address comes from a MAC of ours. While it is being checked for duplicates, a second and more, the node can
  // ask for no pod's MAC on behalf of another node.
  if (ipv6?.acceptRa) writeSysctl(`net/ipv6/conf/${name}/accept_ra`, 0);
  if (ipv6?.acceptRedirects) writeSysctl(`net/ipv6/conf/${name}/accept_redirects`, 0);
  if (ipv6?.acceptDad) writeSysctl(`net/ipv6/conf/${name}/accept_dad`, 0);
  if (ipv4?.acceptRedirects) writeSysctl(`net/ipv4/conf/${name}/accept_redirects`, 0);
}

/** Removes a bridge of ours when no link is joined to it any more. */
export function deleteEmptyBridge(rt: RouteSocket, bridge: Pick<Link, "index">): void {
  if (listLinks(rt, { master: bridge.index }).length > 0) return;
  deleteLink(rt, bridge.index, { missingOk: true });
}

/** A bridge that an ADD is working with. */
export interface JoinedBridge {
  /** As it was before the ADD's port joined it. */
  readonly link: Link;
  /** The bridge as it is with that port, which has this MTU; undefined when it is gone. */
  readonly withPort: (port: { readonly mtu: number }) => Link | undefined;
  /** Makes it the pods' gateway for the plan's subnets. */
  readonly serve: (plan: Pick<AddressPlan, "gateways" | "families">) => void;
  /** Takes back what this ADD did to it, unless other links have been joined to it: they need it now. */
  readonly leave: () => void;
}

/**
 * Makes sure of the bridge and of its settings, for one ADD.
 * @param beforeMaking called before the bridge is made, where there is none; may throw
 * @throws CniError 7 for a name that is another kind of link's, and for VLANs
 */
export function joinBridge(rt: RouteSocket, conf: BridgeConf, network: string, beforeMaking: () => void): JoinedBridge {
  const { link, created } = ensureBridge(rt, conf, network, beforeMaking);
  const { index } = link;
  const undos: (() => void)[] = [];
  const leave = () => {
    if (listLinks(rt, { master: index }).length > 0) return;
    if (created) deleteLink(rt, index, { missingOk: true });
    else for (const undo of undos.toReversed()) undo();
  };
  try {
    refuseVlans(link, conf);
    if (conf.promiscMode && !isPromiscuous(link)) {
      setLink(rt, index, { promisc: true });
      undos.push(() => setLink(rt, index, { promisc: false }));
    }
  } catch (error) {
    leave();
    throw error;
  }
  return {
    link,
    withPort({ mtu }) {
      // A port changes the MTU of its bridge, and the MAC address of one that was made without.
      return isOwnBridge(link, network) && link.mtu === mtu ? link : getLink(rt, index);
    },
    serve(plan) {
      putGateways(rt, link, plan, conf.forceAddress, undos);
      if (conf.isGateway) enableForwarding(plan.families);
    },
    leave,
  };
}

/** @param undos gets what undoes it, in the order of what was done */
function putGateways(
  rt: RouteSocket,
  { index, name, ipv6 }: Link,
  { gateways, families }: Pick<AddressPlan, "gateways" | "families">,
  forceAddress: boolean,
  undos: (() => void)[],
): void {
  if (ipv6?.disableIpv6 && gateways.some((gateway) => prefixFamily(gateway) === 6))
    writeSysctl(`net/ipv6/conf/${name}/disable_ipv6`, 0);
  const family = families.length === 1 ? families[0] : undefined;
  let present: readonly Prefix[] | undefined;
  for (const gateway of gateways) {
    present ??= listAddresses(rt, { index, family }).map(({ address }) => address);
    const undo = ensureGateway(rt, { index, name }, gateway, { present, forceAddress });
    if (undo === undefined) continue;
    undos.push(undo);
    present = undefined; // it has changed
  }
}

/**
 * Refuses VLANs.
 * @param bridge a bridge as the kernel lists it; one without VLAN filtering tells no IFLA_BR_VLAN_DEFAULT_PVID (but
 * does tell IFLA_BR_VLAN_FILTERING)
 * @throws CniError 7 when the configuration asks for any
 */
export function refuseVlans(bridge: Link, conf: Pick<BridgeConf, "vlan" | "vlanTrunk">): void {
  const asked =
    conf.vlan !== 0
      ? `vlan: ${conf.vlan}`
      : conf.vlanTrunk.length > 0
        ? `vlanTrunk: ${conf.vlanTrunk.map(({ first, last }) => (first === last ? first : `${first}-${last}`)).join(",")}`
        : undefined;
  if (asked === undefined) return;
  const reason =
    bridge.bridge?.vlanDefaultPvid === undefined
      ? "this kernel's bridges have no VLAN filtering (CONFIG_BRIDGE_VLAN_FILTERING is not set)"
      : "this plugin does not put bridge ports into VLANs yet, although this kernel could";
  throw new CniError(Code.invalidConfig, `${asked} cannot be had: ${reason}; use vlan 0 and no vlanTrunk`);
}
