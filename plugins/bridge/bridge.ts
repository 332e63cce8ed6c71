import { createHash, randomBytes } from "node:crypto";
import { CniError, Code } from "../../cni/error.ts";
import { formatMark, parseMark } from "../../kernel/mark.ts";
import { isNetlinkError } from "../../kernel/netlink/error.ts";
import { addLink, deleteLink, getLink, type Link, LinkFlag, listLinks, setLink } from "../../kernel/rtnetlink/link.ts";
import type { RouteSocket } from "../../kernel/rtnetlink/socket.ts";
import { readSysctl, writeSysctl } from "../../kernel/sysctl.ts";
import { localMacFromHash } from "../../net/mac.ts";
import { prefixFamily } from "../../net/prefix.ts";
import type { BridgeConf } from "./conf.ts";
import { type AddressPlan, ensureGateway } from "./gateway.ts";

/** How many times a bridge that others make and remove at the same moment is looked for. */
const ATTEMPTS = 5;

/** A bridge that is there now, and whether this call made it. */
export interface EnsuredBridge {
  readonly link: Link;
  readonly created: boolean;
}

/**
 * The group (IFLA_GROUP) of a network's links of ours: 31 bits of a hash, never 0. The kernel sets it in the very
 * message that makes a link, the alias only in the next, so a link without an alias can still be told to be ours.
 */
export function networkGroup(network: string): number {
  return (createHash("sha256").update(network).digest().readUInt32BE(0) >>> 1) | 0x40000000;
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
 * @throws CniError 7 when a link of that name is no bridge
 */
export function ensureBridge(
  rt: RouteSocket,
  conf: Pick<BridgeConf, "bridge" | "mtu">,
  network: string,
): EnsuredBridge {
  for (let attempt = 1; ; attempt++) {
    const present = getLink(rt, conf.bridge);
    if (present !== undefined) return { link: prepare(rt, present, network), created: false };
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
    refuseRouters(link.name);
    // Its fe80:: address comes from a MAC of ours. While it is being checked for duplicates, a second and more, the node can
    // ask for no pod's MAC on behalf of another node.
    writeOptional(`net/ipv6/conf/${link.name}/accept_dad`, 0);
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

/** No pod may change our routes by router advertisements or redirects (CVE-2020-10749). To be done before the link is up. */
export function refuseRouters(name: string): void {
  writeOptional(`net/ipv6/conf/${name}/accept_ra`, 0);
  writeOptional(`net/ipv6/conf/${name}/accept_redirects`, 0);
  writeOptional(`net/ipv4/conf/${name}/accept_redirects`, 0);
}

/** A kernel without the key has no IPv6, and nothing to switch off. */
function writeOptional(key: string, value: number): void {
  try {
    writeSysctl(key, value);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
  }
}

/** The key that makes the node a router for the family. */
export const FORWARDING = { 4: "net/ipv4/ip_forward", 6: "net/ipv6/conf/all/forwarding" } as const;

export function isForwarding(family: 4 | 6): boolean {
  return readSysctl(FORWARDING[family]) === "1";
}

/** Removes a bridge of ours when no link is joined to it any more. */
export function deleteEmptyBridge(rt: RouteSocket, bridge: Pick<Link, "index">): void {
  if (listLinks(rt, { master: bridge.index }).length > 0) return;
  deleteLink(rt, bridge.index, { missingOk: true });
}

/** A bridge that an ADD is working with. */
export interface JoinedBridge {
  readonly index: number;
  readonly name: string;
  /** Makes it the pods' gateway for the plan's subnets. */
  readonly serve: (plan: Pick<AddressPlan, "gateways" | "families">) => void;
  /** Takes back what this ADD did to it, unless other links have been joined to it: they need it now. */
  readonly leave: () => void;
}

/**
 * Makes sure of the bridge and of its settings, for one ADD.
 * @throws CniError 7 for a name that is another kind of link's, and for VLANs
 */
export function joinBridge(rt: RouteSocket, conf: BridgeConf, network: string): JoinedBridge {
  const { link, created } = ensureBridge(rt, conf, network);
  const { index, name } = link;
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
    index,
    name,
    serve({ gateways, families }) {
      if (gateways.some((gateway) => prefixFamily(gateway) === 6))
        writeOptional(`net/ipv6/conf/${name}/disable_ipv6`, 0);
      for (const gateway of gateways) {
        const undo = ensureGateway(rt, link, gateway, conf.forceAddress);
        if (undo !== undefined) undos.push(undo);
      }
      if (conf.isGateway) for (const family of families) writeSysctl(FORWARDING[family], 1);
    },
    leave,
  };
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
