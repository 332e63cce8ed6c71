import { CniError, Code } from "../../cni/error.ts";
import { type AttachmentName, attachmentKey, isMarkOf, parseMark } from "../../kernel/mark.ts";
import { NetlinkError } from "../../kernel/netlink/error.ts";
import { currentNetns } from "../../kernel/netns.ts";
import { getLink, type Link, listLinks, setLink } from "../../kernel/rtnetlink/link.ts";
import { openRoute, type RouteSocket } from "../../kernel/rtnetlink/socket.ts";
import { aliasOf } from "../interface/attachment.ts";
import type { Leftover, Made, Place, Stale } from "../interface/design.ts";

/**
 * Moves the device into the pod. Its alias says first whose it is and what it was called, so that it is found, wherever a kill
 * leaves it; then one message moves and renames it.
 * @throws CniError 7 for a device that cannot be lent
 */
export function lend(place: Place, device: Link, pciId: string | undefined): Made {
  const { name, netns, node, pod } = place;
  const mark = parseMark(device.alias);
  if (mark !== undefined && mark.role !== "device") {
    throw new CniError(
      Code.invalidConfig,
      `device: "${device.name}" serves network "${mark.network}" itself; choose another`,
    );
  }
  // One that came back by itself, from a pod that nobody deleted, has another's name.
  const from = mark?.from ?? device.name;
  setLink(node, device.index, { alias: aliasOf({ role: "device", ...name, from }) });
  try {
    setLink(node, device.index, { netns, name: name.ifName });
    const link = getLink(pod, name.ifName);
    if (link === undefined) throw new Error(`${name.ifName} was taken away by somebody else meanwhile`);
    const remove = () => {
      giveBackNow({ name, netns, node, pod });
      if (device.up) setLink(node, from, { up: true });
    };
    return { link, pciId, withoutIpv4: link.ipv4 === undefined, remove };
  } catch (error) {
    giveBackNow({ name, netns, node, pod });
    if (device.up) setLink(node, from, { up: true });
    if (!(error instanceof NetlinkError)) throw error;
    throw new CniError(Code.invalidConfig, `device: "${from}" cannot be moved: ${error.message}`, { cause: error });
  }
}

/**
 * Gives the node its device back, under its old name and down. Without the namespace: the kernel hands hardware back to the
 * node's first namespace by itself, with the pod's name for it or another, and there it is found by its mark; virtual
 * devices go with the namespace.
 */
export async function giveBack({ name, netns, raw, machine }: Leftover): Promise<void> {
  using node = machine.openNode();
  using pod = netns === undefined ? undefined : openRoute(netns);
  giveBackNow({ name, netns, node, pod, device: raw.device });
}

interface Loan {
  readonly name: AttachmentName;
  readonly netns: Leftover["netns"];
  readonly node: RouteSocket;
  readonly pod: RouteSocket | undefined;
  /** The key of the configuration. */
  readonly device?: unknown;
}

function giveBackNow({ name, node, pod, device }: Loan): void {
  const lent = pod && (find(pod, name) ?? lentByReference(pod, name, device));
  if (pod !== undefined && lent !== undefined) {
    using own = currentNetns();
    refuseTaken(node, lent);
    setLink(pod, lent.link.index, { netns: own, name: lent.from, alias: "" });
    return;
  }
  const returned = find(node, name);
  if (returned !== undefined) rename(node, returned);
}

interface Lent {
  readonly link: Link;
  readonly from: string;
}

/** By its mark, whatever it is called by now. */
function find(rt: RouteSocket, name: AttachmentName): Lent | undefined {
  for (const link of listLinks(rt)) {
    const mark = parseMark(link.alias);
    if (mark?.role === "device" && isMarkOf(mark, "device", name)) return { link, from: mark.from };
  }
  return undefined;
}

/** The reference plugin writes the old name alone into the alias; it is believed when the configuration says the same. */
function lentByReference(pod: RouteSocket, { ifName }: AttachmentName, device: unknown): Lent | undefined {
  const link = getLink(pod, ifName);
  return link?.alias !== undefined && link.alias === device && device !== "" ? { link, from: link.alias } : undefined;
}

/** @throws Error when the node has another interface of that name now */
function refuseTaken(node: RouteSocket, { link, from }: Lent): void {
  const present = getLink(node, from);
  if (present === undefined) return;
  throw new Error(
    `the node has another interface "${from}" now, so ${link.name} cannot have its name back; rename one`,
  );
}

/** A device that is on the node gets its old name back. */
function rename(node: RouteSocket, lent: Lent): void {
  const { link, from } = lent;
  if (link.name !== from) refuseTaken(node, lent);
  setLink(node, link.index, { up: false });
  setLink(node, link.index, { ...(link.name === from ? {} : { name: from }), alias: "" });
}

/** Devices that came back by themselves from pods that are no longer. @throws AggregateError of all that failed */
export async function giveBackStale({ network, valid, machine }: Stale): Promise<void> {
  const keys = new Set(valid.map(attachmentKey));
  using node = machine.openNode();
  const failures: unknown[] = [];
  for (const link of listLinks(node)) {
    const mark = parseMark(link.alias);
    if (mark?.role !== "device" || mark.network !== network || keys.has(attachmentKey(mark))) continue;
    try {
      rename(node, { link, from: mark.from });
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw new AggregateError(failures);
}
