import { interfaceNameProblem } from "../../cni/attachment.ts";
import { CniError, Code } from "../../cni/error.ts";
import type { Result } from "../../cni/result.ts";
import { type AttachmentName, formatMark, ifbName, networkGroup, parseMark } from "../../kernel/mark.ts";
import type { Netns } from "../../kernel/netns.ts";
import { addLink, getLink, type Link, listLinks } from "../../kernel/rtnetlink/link.ts";
import { openRoute, type RouteSocket } from "../../kernel/rtnetlink/socket.ts";
import { hostInterfaces } from "../chained/result.ts";
import { findVeth } from "../interface/veth.ts";

/** A queue of an IFB is not shorter than that of its neighbour, nor than this. */
const SHORTEST_QUEUE = 1000;
const IFB_NAME = /^pwi[0-9a-f]{12}$/;

/**
 * The host's end of the pod's interface: ours by its mark, another plugin's as the other end of what is in the pod.
 * @throws CniError 7 when the pod's interface has no other end on the host, 4 when there is no such interface
 */
export function requireHostEnd(node: RouteSocket, netns: Netns, name: AttachmentName, result: Result): Link {
  const own = findVeth(node, name);
  if (own !== undefined) return own;
  using rt = openRoute(netns);
  const pod = getLink(rt, name.ifName);
  if (pod === undefined) {
    throw new CniError(Code.invalidEnvironment, `CNI_IFNAME "${name.ifName}" does not exist in ${netns.path}`);
  }
  const end = otherEnd(node, pod);
  if (end !== undefined && hostInterfaces(result).some((each) => each.name === end.name)) return end;
  throw new CniError(
    Code.invalidConfig,
    `${name.ifName} is of kind ${pod.kind ?? "none"}, and prevResult.interfaces has no link of the host that is its other end; only a veth's traffic can be shaped`,
  );
}

function otherEnd(node: RouteSocket, { kind, peerIndex, index }: Link): Link | undefined {
  if (kind !== "veth" || peerIndex === undefined) return undefined;
  const end = getLink(node, peerIndex);
  return end?.kind === "veth" && end.peerIndex === index ? end : undefined;
}

/** Whatever may be the host's end, for DEL: only what carries our marks is removed from them. */
export function possibleHostEnds(
  node: RouteSocket,
  name: AttachmentName,
  netns: Netns | undefined,
  result: Result | undefined,
): readonly Link[] {
  const names = result === undefined ? [] : hostInterfaces(result).map((each) => each.name);
  const told = names.filter((each) => interfaceNameProblem(each) === undefined).map((each) => getLink(node, each));
  const found = [findVeth(node, name), netns === undefined ? undefined : endOf(node, netns, name.ifName), ...told];
  const veths = found.flatMap((link) => (link?.kind === "veth" ? [[link.index, link] as const] : []));
  return [...new Map(veths).values()];
}

function endOf(node: RouteSocket, netns: Netns, ifName: string): Link | undefined {
  using rt = openRoute(netns);
  const pod = getLink(rt, ifName);
  return pod === undefined ? undefined : otherEnd(node, pod);
}

/**
 * Makes the link that what the pod sends goes through, named by the attachment (P11) and marked as ours.
 * @throws NetlinkError EEXIST when the name is taken
 */
export function addIfb(node: RouteSocket, name: AttachmentName, host: Pick<Link, "mtu" | "txQueueLength">): Link {
  return addLink(node, {
    name: ifbName(name),
    kind: "ifb",
    mtu: host.mtu,
    txQueueLength: Math.max(host.txQueueLength, SHORTEST_QUEUE),
    group: networkGroup(name.network),
    alias: formatMark({ role: "ifb", ...name }),
    up: true,
  });
}

/** The attachment's IFB. One without any alias is taken for ours too: an ADD may have been killed before it marked it. */
export function findIfb(node: RouteSocket, name: AttachmentName): Link | undefined {
  const link = getLink(node, ifbName(name));
  if (link?.kind !== "ifb") return undefined;
  if ((link.alias ?? "") === "") return link;
  const mark = parseMark(link.alias);
  const own = mark?.role === "ifb" && ifbName(mark) === ifbName(name);
  return own ? link : undefined;
}

/** Every IFB of ours in the network, with the attachment's names where it was marked. */
export function listIfbs(
  node: RouteSocket,
  network: string,
): readonly { link: Link; name: AttachmentName | undefined }[] {
  return listLinks(node, { kind: "ifb" }).flatMap((link): { link: Link; name: AttachmentName | undefined }[] => {
    const mark = parseMark(link.alias);
    if (mark?.role === "ifb" && mark.network === network) return [{ link, name: mark }];
    const unmarked = (link.alias ?? "") === "" && link.group === networkGroup(network) && IFB_NAME.test(link.name);
    return unmarked ? [{ link, name: undefined }] : [];
  });
}
