import { createHash } from "node:crypto";
import { type AttachmentId, interfaceNameProblem, isIdentifier } from "../cni/attachment.ts";
import { type Address, isAddress, parseAddress } from "../net/address.ts";

/** An address and who holds it. `ifName` is empty for files of old host-local versions, which name the container alone. */
export interface Reservation extends AttachmentId {
  readonly address: Address;
}

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

/** Reservations by container, in 256 buckets that are loaded when needed: a look-up reads one, however many pods. */
export class ReservationBuckets {
  readonly #load: (name: string) => string | undefined;
  readonly #buckets = new Map<string, Reservation[]>();
  readonly #changed = new Set<string>();

  /** `load` reads a stored bucket, as {@link changes} gave it. */
  constructor(load: (name: string) => string | undefined) {
    this.#load = load;
  }

  /** The container's reservations. */
  of(containerId: string): readonly Reservation[] {
    return this.#bucket(bucketName(containerId)).filter((each) => each.containerId === containerId);
  }

  add(reservation: Reservation): void {
    const name = bucketName(reservation.containerId);
    this.#bucket(name).push(reservation);
    this.#changed.add(name);
  }

  remove(reservation: Reservation): void {
    const name = bucketName(reservation.containerId);
    const left = this.#bucket(name).filter((each) => each.address !== reservation.address);
    this.#buckets.set(name, left);
    this.#changed.add(name);
  }

  /** The buckets that were changed, as they are to be stored. */
  changes(): readonly { readonly name: string; readonly text: string | undefined }[] {
    return [...this.#changed].map((name) => {
      const bucket = this.#bucket(name);
      return { name, text: bucket.length === 0 ? undefined : encodeBucket(bucket) };
    });
  }

  #bucket(name: string): Reservation[] {
    const known = this.#buckets.get(name);
    if (known !== undefined) return known;
    const text = this.#load(name);
    const bucket = text === undefined ? [] : (decodeBucket(text) ?? []);
    this.#buckets.set(name, bucket);
    return bucket;
  }
}

/** No container's name begins like this, so a bucket is never taken for the content of an address's file. */
const BUCKET_HEADER = "#\n";

/** A header and one line a reservation. An empty bucket is kept: making a file costs more than writing one. */
function encodeBucket(bucket: readonly Reservation[]): string {
  const lines = bucket.map(({ address, containerId, ifName }) => `${address}\t${containerId}\t${ifName}\n`);
  return BUCKET_HEADER + lines.join("");
}

/** The reservations of a stored bucket, or undefined when it is damaged. */
export function decodeBucket(text: string): Reservation[] | undefined {
  const [header, ...lines] = text.split("\n");
  if (`${header}\n` !== BUCKET_HEADER || lines.pop() !== "") return undefined;
  const bucket: Reservation[] = [];
  for (const line of lines) {
    const [name = "", containerId = "", ifName, ...rest] = line.split("\t");
    const address = addressOfFile(name);
    if (address === undefined || !isIdentifier(containerId) || ifName === undefined || rest.length > 0)
      return undefined;
    bucket.push({ address, containerId, ifName });
  }
  return bucket;
}

function bucketName(containerId: string): string {
  return createHash("sha256").update(containerId).digest("hex").slice(0, 2);
}
