import { type AttachmentId, interfaceNameProblem, isIdentifier } from "../cni/attachment.ts";
import { type Address, isAddress, parseAddress } from "../net/address.ts";

/** An address and who holds it. `ifName` is empty for files of old host-local versions, which name the container alone. */
export interface Reservation extends AttachmentId {
  readonly address: Address;
}

/**
 * The mode of address files that we make; the reference plugin's are 0644 less the umask. Nobody ever rewrites one, and after a
 * reboot the mode tells ours, which we know to be from before, from those that the other may have made since.
 */
export const OUR_MODE = 0o400;

/** What an address's file says. */
export type Holder =
  | { readonly kind: "attachment"; readonly attachment: AttachmentId }
  /** Made, but killed before it was written. Seen under the lock, nobody is about to write it. */
  | { readonly kind: "unfinished" }
  /** Something that no plugin writes; the address counts as taken. */
  | { readonly kind: "unknown" };

/** The content of an address's file, as the reference plugin writes it. */
export function encodeHolder({ containerId, ifName }: AttachmentId): string {
  return `${containerId}\r\n${ifName}`;
}

/** Reads what {@link encodeHolder} wrote; white space around it does not count, as in the reference plugin. */
export function decodeHolder(text: string): Holder {
  const trimmed = text.trim();
  if (trimmed === "") return { kind: "unfinished" };
  const [containerId = "", ifName = "", ...rest] = trimmed.split("\r\n");
  if (!isIdentifier(containerId) || rest.length > 0) return { kind: "unknown" };
  if (ifName !== "" && interfaceNameProblem(ifName) !== undefined) return { kind: "unknown" };
  return { kind: "attachment", attachment: { containerId, ifName } };
}

/** The address whose file has this name; undefined for other files and for spellings that no plugin writes. */
export function addressOfFile(name: string): Address | undefined {
  if (!isAddress(name)) return undefined;
  const address = parseAddress(name);
  return address === name ? address : undefined;
}

/** Whether the reservation is the attachment's; one that names no interface is of every interface of its container. */
export function isHeldBy(reservation: AttachmentId, attachment: AttachmentId): boolean {
  if (reservation.containerId !== attachment.containerId) return false;
  return reservation.ifName === attachment.ifName || reservation.ifName === "";
}
