import { createHash } from "node:crypto";
import { CniError, Code } from "../../cni/error.ts";
import { type AttachmentName, formatMark, hostVethName, parseMark } from "../../kernel/mark.ts";
import type { Netns } from "../../kernel/netns.ts";
import { addLink, getLink, type Link, listLinks } from "../../kernel/rtnetlink/link.ts";
import type { RouteSocket } from "../../kernel/rtnetlink/socket.ts";
import { localMacFromHash, type Mac } from "../../net/mac.ts";
import { networkGroup, refuseRouters } from "./bridge.ts";
import type { BridgeConf } from "./conf.ts";
import type { BridgeMachine } from "./machine.ts";

export interface PortOrder {
  readonly attachment: AttachmentName;
  readonly pod: { readonly namespace: string; readonly name: string } | undefined;
  readonly netns: Netns;
  readonly bridge: { readonly index: number };
  readonly conf: Pick<BridgeConf, "mtu" | "mac" | "hairpinMode" | "portIsolation">;
}

/** What addPort made. */
export interface Port {
  readonly host: Link;
  readonly mac: Mac;
}

/**
 * Makes the veth whose one end is a port of the bridge and whose other end is the pod's interface, still down. The
 * pod's end is made where it stays: moving it there would wait for RCU under the rtnl lock. MAC addresses are derived
 * from the attachment, so nothing (udev's MACAddressPolicy) replaces them.
 * @throws NetlinkError EEXIST when either name is taken, ENODEV when the bridge is gone
 */
export function addPort(rt: RouteSocket, { attachment, pod, netns, bridge, conf }: PortOrder): Port {
  const mac = podMac(attachment, conf);
  const host = addLink(rt, {
    name: hostVethName(attachment),
    kind: "veth",
    mac: derivedMac(attachment, "host"),
    mtu: conf.mtu,
    master: bridge.index,
    group: networkGroup(attachment.network),
    alias: formatMark({ role: "veth", ...attachment, pod }),
    port: { hairpin: conf.hairpinMode, isolated: conf.portIsolation },
    peer: { name: attachment.ifName, netns, mac, mtu: conf.mtu },
  });
  return { host, mac };
}

/** The MAC address that ADD gives the pod's end: the one asked for, or one that the attachment's names give. */
export function podMac(attachment: AttachmentName, { mac }: Pick<BridgeConf, "mac">): Mac {
  return mac ?? derivedMac(attachment, "pod");
}

function derivedMac({ network, containerId, ifName }: AttachmentName, end: "host" | "pod"): Mac {
  const hash = createHash("sha256").update(`${network}\0${containerId}\0${ifName}\0${end}`).digest();
  return localMacFromHash(hash);
}

/** S5 for the host's end; it has no addresses, but it must not take any up either. */
export function hardenPort(host: Link): void {
  refuseRouters(host.name);
}

/**
 * The host end of the attachment, known by its name and our mark. A link of that name without any alias is taken for
 * ours too: an ADD may have been killed between making and marking it.
 */
export function findPort(rt: RouteSocket, attachment: AttachmentName): Link | undefined {
  const link = getLink(rt, hostVethName(attachment));
  return link !== undefined && isPortOf(link, attachment) ? link : undefined;
}

function isPortOf(link: Link, { network, containerId, ifName }: AttachmentName): boolean {
  if (link.kind !== "veth") return false;
  if ((link.alias ?? "") === "") return true;
  const mark = parseMark(link.alias);
  return (
    mark?.role === "veth" && mark.network === network && mark.containerId === containerId && mark.ifName === ifName
  );
}

/** Removes both ends. A foreign link that happens to have the name stays. */
export async function deletePort(attachment: AttachmentName, machine: BridgeMachine): Promise<void> {
  using node = machine.openNode();
  const link = findPort(node, attachment);
  if (link !== undefined) await machine.deleteLinks([link.index]);
}

/** Every veth of ours in the network, those that an ADD did not live to mark included. */
export function listPorts(rt: RouteSocket, network: string): readonly Link[] {
  return listLinks(rt, { kind: "veth" }).filter((link) => {
    const mark = parseMark(link.alias);
    if (mark !== undefined) return mark.role === "veth" && mark.network === network;
    return (link.alias ?? "") === "" && link.group === networkGroup(network) && /^pw[0-9a-f]{12}$/.test(link.name);
  });
}

/**
 * Refuses an attachment that exists already, before anything is touched.
 * @throws CniError 4 when the pod has an interface of that name, or the node has the host end's
 */
export function refuseTakenNames(node: RouteSocket, pod: RouteSocket, attachment: AttachmentName, netns: string): void {
  const { ifName, containerId } = attachment;
  if (getLink(pod, ifName) !== undefined) {
    throw new CniError(
      Code.invalidEnvironment,
      `CNI_IFNAME "${ifName}" exists already in ${netns}; run DEL first or choose another name`,
    );
  }
  const host = hostVethName(attachment);
  if (getLink(node, host) === undefined) return;
  throw new CniError(
    Code.invalidEnvironment,
    `CNI_CONTAINERID "${containerId}" with CNI_IFNAME "${ifName}" is attached already (by the link ${host}); run DEL first`,
  );
}
