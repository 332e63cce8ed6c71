import { CniError, Code } from "../../cni/error.ts";
import { type AttachmentName, formatMark, isMarkOf, networkGroup, parseMark } from "../../kernel/mark.ts";
import { NetlinkError } from "../../kernel/netlink/error.ts";
import { type DeviceKind, hasLinkKind, lackingKind } from "../../kernel/rtnetlink/device-kinds.ts";
import { createLink, deleteLink, getLink, type Link, type LinkSpec, setLink } from "../../kernel/rtnetlink/link.ts";
import { openRoute, type RouteSocket } from "../../kernel/rtnetlink/socket.ts";
import type { Leftover, Made, Place } from "./design.ts";

/** A link that has no other end: its kind, and what the kernel is told when it is made. */
export type PodLinkSpec = LinkSpec & { alias?: undefined; port?: undefined; ipv4?: undefined };

/**
 * Makes the pod's interface where it stays, by a socket in the pod's namespace: names are the pod's own, so whatever the node
 * has may have the same. The network's group comes with the link, its mark in the next message.
 * @param spec without name and group
 * @throws CniError 101 when the kernel lacks the kind, 7 when it refuses the configuration; NetlinkError EEXIST
 */
export function makePodLink(place: Place, kind: DeviceKind, spec: (named: Named) => PodLinkSpec): Made {
  const { name, pod } = place;
  const link = refusable(place, kind, () =>
    createLink(pod, spec({ name: name.ifName, group: networkGroup(name.network) })),
  );
  try {
    markPodLink(place, link.index);
  } catch (error) {
    deleteLink(pod, link.index, { missingOk: true });
    throw error;
  }
  return { link, remove: () => deletePodLink(place, link.kind ?? kind) };
}

export interface Named {
  readonly name: string;
  readonly group: number;
}

/** Says in the link's alias whose it is. */
export function markPodLink({ pod, name, podName }: Place, index: number): void {
  setLink(pod, index, { alias: formatMark({ role: "interface", ...name, pod: podName }) });
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
 * Removes the pod's interface, which is found by its name in the pod's namespace. When that is gone, so is the interface: the
 * kernel removes virtual links with their namespace. Somebody else's of that name stays.
 */
export async function deletePodLink(
  { name, netns, machine }: Pick<Leftover, "name" | "netns" | "machine">,
  kind: string,
): Promise<void> {
  if (netns === undefined) return;
  using pod = openRoute(netns);
  const link = getLink(pod, name.ifName);
  if (link !== undefined && isPodLink(link, name, kind)) await machine.deleteLinksIn(netns, [link.index]);
}
