import { createHash } from "node:crypto";

/** rtm_protocol of our routes, NDA_PROTOCOL of our neighbours, FRA_PROTOCOL of our rules (<linux/rtnetlink.h> keeps 0..191 mostly free from 64 up). */
export const ROUTE_PROTOCOL = 112;

/** Every nft table of ours has a name that begins so. */
export const NFT_TABLE_PREFIX = "podwire";

/** IFALIASZ - 1, <linux/if.h>: the longest link alias in bytes. */
const MAX_ALIAS_BYTES = 255;

/** Where a container's interface hangs: enough to derive every name of ours without any state. */
export interface AttachmentName {
  readonly network: string;
  readonly containerId: string;
  readonly ifName: string;
}

interface PodMark extends AttachmentName {
  readonly pod?: { readonly namespace: string; readonly name: string } | undefined;
}

/** What a link of ours says about itself in its alias (IFLA_IFALIAS). */
export type Mark =
  /** The node's end of a veth. */
  | ({ readonly role: "veth" } & PodMark)
  /** The pod's interface, where that has no end on the node. */
  | ({ readonly role: "interface" } & PodMark)
  /** A device of the node that a pod has on loan, and the name to give it back by. */
  | ({ readonly role: "device"; readonly from: string } & AttachmentName)
  /** What a pod's packets go through to be shaped. */
  | ({ readonly role: "ifb" } & AttachmentName)
  | { readonly role: "bridge" | "overlay" | "vrf"; readonly network: string };

/**
 * The alias that says the link is ours: `podwire veth net=N cid=C if=I pod=NS/NAME`, `podwire device net=N cid=C if=I from=D`.
 * The pod is left out when the whole would not fit into 255 bytes.
 * @throws RangeError when a part is empty, holds white space, or the alias is too long even so.
 */
export function formatMark(mark: Mark): string {
  const base = ["podwire", mark.role, ...fields(mark)].join(" ");
  if (Buffer.byteLength(base) > MAX_ALIAS_BYTES) {
    throw new RangeError(`the link alias "${base}" has more than ${MAX_ALIAS_BYTES} bytes; use a shorter network name`);
  }
  if (!("pod" in mark) || mark.pod === undefined) return base;
  const full = `${base} ${field("pod", `${mark.pod.namespace}/${mark.pod.name}`)}`;
  return Buffer.byteLength(full) > MAX_ALIAS_BYTES ? base : full;
}

function fields(mark: Mark): readonly string[] {
  const network = field("net", mark.network);
  if (!("containerId" in mark)) return [network];
  const attachment = [network, field("cid", mark.containerId), field("if", mark.ifName)];
  return mark.role === "device" ? [...attachment, field("from", mark.from)] : attachment;
}

/** Reads an alias; undefined when the link is not ours (or no alias of ours can be read from it). */
export function parseMark(alias: string | undefined): Mark | undefined {
  const [owner, role, ...pairs] = alias?.split(" ") ?? [];
  if (owner !== "podwire") return undefined;
  const values = new Map(pairs.map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)]));
  const network = values.get("net");
  if (!network) return undefined;
  if (role === "bridge" || role === "overlay" || role === "vrf") return { role, network };
  const containerId = values.get("cid");
  const ifName = values.get("if");
  const from = values.get("from");
  if (!containerId || !ifName) return undefined;
  if (role === "device") return from ? { role, network, containerId, ifName, from } : undefined;
  if (role === "ifb") return { role, network, containerId, ifName };
  if (role !== "veth" && role !== "interface") return undefined;
  const [, namespace, name] = /^([^/]+)\/(.+)$/.exec(values.get("pod") ?? "") ?? [];
  const pod = namespace !== undefined && name !== undefined ? { namespace, name } : undefined;
  return pod === undefined ? { role, network, containerId, ifName } : { role, network, containerId, ifName, pod };
}

/** Whether the mark is that of the attachment's link in the role. */
export function isMarkOf(mark: Mark | undefined, role: "veth" | "interface" | "device", of: AttachmentName): boolean {
  if (mark?.role !== role || !("containerId" in mark)) return false;
  return mark.network === of.network && mark.containerId === of.containerId && mark.ifName === of.ifName;
}

/** The host end's name, `pw` and 12 hex digits: 14 bytes, under IFNAMSIZ. The same attachment always has the same name. */
export function hostVethName(attachment: AttachmentName): string {
  return `pw${hash(attachment).slice(0, 12)}`;
}

/** The name of the link that shapes what the pod sends, `pwi` and 12 hex digits: 15 bytes, all that IFNAMSIZ leaves. */
export function ifbName(attachment: AttachmentName): string {
  return `pwi${hash(attachment).slice(0, 12)}`;
}

/** 16 hex digits that stand for an attachment in nft sets, comments and file names. */
export function attachmentKey(attachment: AttachmentName): string {
  return hash(attachment).slice(0, 16);
}

/**
 * The group (IFLA_GROUP) of a network's links of ours: 31 bits of a hash, never 0. The kernel sets it in the very
 * message that makes a link, the alias only in the next, so a link without an alias can still be told to be ours.
 */
export function networkGroup(network: string): number {
  return (createHash("sha256").update(network).digest().readUInt32BE(0) >>> 1) | 0x40000000;
}

/** One call asks for several names of the same attachment. */
const hashes = new WeakMap<AttachmentName, string>();

function hash(attachment: AttachmentName): string {
  const known = hashes.get(attachment);
  if (known !== undefined) return known;
  const { network, containerId, ifName } = attachment;
  const fresh = createHash("sha256").update(`${network}\0${containerId}\0${ifName}`).digest("hex");
  hashes.set(attachment, fresh);
  return fresh;
}

function field(key: string, value: string): string {
  if (value === "" || /\s/.test(value))
    throw new RangeError(`${key}="${value}" cannot stand in a link alias: it is empty or has white space`);
  return `${key}=${value}`;
}
