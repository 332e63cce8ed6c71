import { CniError, Code } from "../../cni/error.ts";
import { type AttachmentName, formatMark, hostVethName, isMarkOf, networkGroup, parseMark } from "../../kernel/mark.ts";
import { NetlinkError } from "../../kernel/netlink/error.ts";
import { type DeviceKind, hasLinkKind, lackingKind } from "../../kernel/rtnetlink/device-kinds.ts";
import {
  createLink,
  createLinkIn,
  deleteLink,
  getLink,
  type Link,
  type LinkChange,
  type LinkSpec,
  setLink,
} from "../../kernel/rtnetlink/link.ts";
import { openRoute, type RouteSocket } from "../../kernel/rtnetlink/socket.ts";
import type { Leftover, Made, Place } from "./design.ts";

/** A link that has no other end: its kind, and what the kernel is told when it is made. */
export type PodLinkSpec = LinkSpec & { alias?: undefined; port?: undefined; ipv4?: undefined };

/** What every interface of ours is told. */
export interface Named {
  readonly name: string;
  readonly group: number;
}

/**
 * Makes the pod's interface where it stays, by a socket in the pod's namespace: names are the pod's own, so whatever the node
 * has may have the same. The network's group comes with the link, its mark in the next message.
 * @throws CniError 101 when the kernel lacks the kind, 7 when it refuses the configuration; NetlinkError EEXIST
 */
export function makePodLink(place: Place, kind: DeviceKind, spec: (named: Named) => PodLinkSpec): Made {
  const { name, pod } = place;
  const link = refusable(place, kind, () =>
    createLink(pod, spec({ name: name.ifName, group: networkGroup(name.network) })),
  );
  return marked(place, link, {});
}

/**
 * As {@link makePodLink}, of a link whose lower device is the node's. The kernel takes such an order in the node's namespace
 * alone, and then no name that the node has, so the link is made in the pod's namespace under the attachment's own name
 * and gets its final one with the mark. (By IFLA_LINK_NETNSID kernels before 6.14 would make it on the node and move it.)
 */
export function makePodLinkOver(place: Place, kind: DeviceKind, spec: (named: Named) => PodLinkSpec): Made {
  const { name, node, pod, netns } = place;
  const interim = hostVethName(name);
  refusable(place, kind, () => createLinkIn(node, netns, spec({ name: interim, group: networkGroup(name.network) })));
  const link = getLink(pod, interim);
  if (link === undefined) throw new Error(`${interim} was deleted by somebody else while it was being made`);
  return marked(place, link, { name: name.ifName });
}

/** Says in the link's alias whose it is. @param change what else is to be changed with that */
function marked(place: Place, link: Link, change: Pick<LinkChange, "name">): Made {
  const { pod, name, podName } = place;
  try {
    setLink(pod, link.index, { ...change, alias: formatMark({ role: "interface", ...name, pod: podName }) });
  } catch (error) {
    deleteLink(pod, link.index, { missingOk: true });
    throw error;
  }
  return { link, remove: () => deletePodLink(place, link.kind ?? "") };
}

function refusable<T>({ pod }: Place, kind: DeviceKind, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof NetlinkError) || error.code === "EEXIST") throw error;
    if (error.code === "EOPNOTSUPP" && kind !== "tap" && !hasLinkKind(pod, kind)) {
      throw new CniError(Code.lackingKernel, `${kind}: ${lackingKind(kind)}`, { cause: error });
    }
    throw new CniError(Code.invalidConfig, `${kind}: refused by the kernel: ${error.message}`, { cause: error });
  }
}

/** @throws CniError 50 when the kernel cannot make such links, with the sentence that ADD would give */
export function requireKind(node: RouteSocket, kind: Exclude<DeviceKind, "tap">): void {
  if (!hasLinkKind(node, kind)) throw new CniError(Code.notAvailable, `${kind}: ${lackingKind(kind)}`);
}

/**
 * Whether the link of the pod is ours for this attachment: its mark says so, or it has none, but the kind and the network's
 * group, for an ADD may have been killed between making and marking it.
 */
export function isPodLink(link: Link, name: AttachmentName, kind: string): boolean {
  if (link.kind !== kind) return false;
  if ((link.alias ?? "") === "") return link.group === networkGroup(name.network);
  return isMarkOf(parseMark(link.alias), "interface", name);
}

/**
 * Removes the pod's interface, which is found by its name in the pod's namespace, or by the one that an ADD that was killed gave
 * it for a moment. When the namespace is gone, so is the interface: the kernel removes virtual links with it. Somebody
 * else's of that name stays.
 */
export async function deletePodLink(
  { name, netns, machine }: Pick<Leftover, "name" | "netns" | "machine">,
  kind: string,
): Promise<void> {
  if (netns === undefined) return;
  using pod = openRoute(netns);
  const links = [name.ifName, hostVethName(name)].map((each) => getLink(pod, each));
  const ours = links.flatMap((link) => (link !== undefined && isPodLink(link, name, kind) ? [link.index] : []));
  if (ours.length > 0) await machine.deleteLinksIn(netns, ours);
}
