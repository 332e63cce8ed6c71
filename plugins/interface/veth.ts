import { createHash } from "node:crypto";
import { CniError, Code } from "../../cni/error.ts";
import { type AttachmentName, formatMark, hostVethName, isMarkOf, networkGroup, parseMark } from "../../kernel/mark.ts";
import type { Netns } from "../../kernel/netns.ts";
import { createLink, deleteLink, getLink, type Link, listLinks, setLink } from "../../kernel/rtnetlink/link.ts";
import type { BridgePort } from "../../kernel/rtnetlink/link-kinds/bridge-port.ts";
import { openRoute, type RouteSocket } from "../../kernel/rtnetlink/socket.ts";
import { setIpv6Conf } from "../../kernel/sysctl.ts";
import { localMacFromHash, type Mac } from "../../net/mac.ts";
import type { NodeMachine } from "../node/machine.ts";

export interface VethOptions {
  /** Bytes, of both ends. */
  readonly mtu?: number | undefined;
  /** Of the pod's end. */
  readonly mac?: Mac | undefined;
  /** Of the bridge's port. */
  readonly hairpinMode?: boolean;
  readonly portIsolation?: boolean;
}

export interface VethOrder {
  readonly attachment: AttachmentName;
  readonly pod: { readonly namespace: string; readonly name: string } | undefined;
  readonly netns: Netns;
  /** Index of the bridge whose port the host's end is, if any. */
  readonly bridge?: number;
  readonly conf: VethOptions;
}

/**
 * A veth uses one queue. Unless told so, the kernel makes one for every processor, with its files in sysfs, and then
 * takes all but one away.
 */
const QUEUES = 1;

/** What addVeth made. */
export interface Veth {
  /** Of the host's end, as are name and mac. */
  readonly index: number;
  /** Of the pod's end, in the pod's namespace. */
  readonly podIndex: number;
  readonly podMac: Mac;
  /** Of both ends. */
  readonly mtu: number;
  readonly name: string;
  readonly mac: Mac;
}

/**
 * Makes the veth whose one end is the node's, up, a port of the bridge if there is one, and whose other end is the pod's interface, still down. The
 * pod's end is made where it stays: moving it there would wait for RCU under the rtnl lock. MAC addresses are derived
 * from the attachment, so nothing (udev's MACAddressPolicy) replaces them.
 * @throws NetlinkError EEXIST when either name is taken, ENODEV when the bridge is gone
 */
export function addVeth(rt: RouteSocket, { attachment, pod, netns, bridge, conf }: VethOrder): Veth {
  const mac = podMac(attachment, conf);
  const hostMac = derivedMac(attachment, "host");
  const name = hostVethName(attachment);
  const { index, mtu, peerIndex } = createLink(rt, {
    name,
    kind: "veth",
    mac: hostMac,
    mtu: conf.mtu,
    master: bridge,
    group: networkGroup(attachment.network),
    queues: QUEUES,
    peer: { name: attachment.ifName, netns, mac, mtu: conf.mtu, queues: QUEUES },
  });
  try {
    if (peerIndex === undefined) throw new Error(`the kernel does not tell the other end of ${name}`);
    // A port has no addresses. A frame to 01:80:c2:00:00:0X goes past the bridge, though, and may hold a router
    // advertisement (CVE-2020-10749): where IPv6 is off, nobody reads it.
    setIpv6Conf(name, { disable_ipv6: 1 });
    setLink(rt, index, {
      alias: formatMark({ role: "veth", ...attachment, pod }),
      port: portFlags(conf),
      ipv4: { acceptRedirects: 0 },
      up: true,
    });
    return { index, podIndex: peerIndex, podMac: mac, mtu, name, mac: hostMac };
  } catch (error) {
    deleteLink(rt, index, { missingOk: true });
    throw error;
  }
}

/** What of the port is not as the kernel makes it. */
function portFlags({ hairpinMode: hairpin, portIsolation: isolated }: VethOrder["conf"]): BridgePort | undefined {
  return hairpin || isolated ? { hairpin, isolated } : undefined;
}

/** The MAC address that ADD gives the pod's end: the one asked for, or one that the attachment's names give. */
export function podMac(attachment: AttachmentName, { mac }: Pick<VethOptions, "mac">): Mac {
  return mac ?? derivedMac(attachment, "pod");
}

function derivedMac({ network, containerId, ifName }: AttachmentName, end: "host" | "pod"): Mac {
  const hash = createHash("sha256").update(`${network}\0${containerId}\0${ifName}\0${end}`).digest();
  return localMacFromHash(hash);
}

/**
 * The host end of the attachment, known by its name and our mark. A link of that name without any alias is taken for
 * ours too: an ADD may have been killed between making and marking it.
 */
export function findVeth(rt: RouteSocket, attachment: AttachmentName): Link | undefined {
  const link = getLink(rt, hostVethName(attachment));
  return link !== undefined && isVethOf(link, attachment) ? link : undefined;
}

function isVethOf(link: Link, attachment: AttachmentName): boolean {
  if (link.kind !== "veth") return false;
  return (link.alias ?? "") === "" || isMarkOf(parseMark(link.alias), "veth", attachment);
}

/** Removes both ends. A foreign link that happens to have the name stays. */
export async function deleteVeth(attachment: AttachmentName, machine: NodeMachine): Promise<void> {
  using node = machine.openNode();
  const link = findVeth(node, attachment);
  if (link !== undefined) await machine.deleteLinks([link.index]);
}

/** Every veth of ours in the network, those that an ADD did not live to mark included. */
export function listVeths(rt: RouteSocket, network: string): readonly Link[] {
  return listLinks(rt, { kind: "veth" }).filter((link) => {
    const mark = parseMark(link.alias);
    if (mark !== undefined) return mark.role === "veth" && mark.network === network;
    return (link.alias ?? "") === "" && link.group === networkGroup(network) && /^pw[0-9a-f]{12}$/.test(link.name);
  });
}

/**
 * Refuses an attachment that exists already.
 * @throws CniError 4 when the pod has an interface of that name, or the node has the host end's
 */
export function refuseTakenNames(node: RouteSocket, netns: Netns, attachment: AttachmentName): void {
  const { ifName, containerId } = attachment;
  using pod = openRoute(netns);
  if (getLink(pod, ifName) !== undefined) {
    throw new CniError(
      Code.invalidEnvironment,
      `CNI_IFNAME "${ifName}" exists already in ${netns.path}; run DEL first or choose another name`,
    );
  }
  const host = hostVethName(attachment);
  if (getLink(node, host) === undefined) return;
  throw new CniError(
    Code.invalidEnvironment,
    `CNI_CONTAINERID "${containerId}" with CNI_IFNAME "${ifName}" is attached already (by the link ${host}); run DEL first`,
  );
}
