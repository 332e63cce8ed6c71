import type { Address } from "../net/address.ts";
import { addressOfFile } from "./reservation.ts";

/** The addresses of containers whose names have a hash in common, side by side. */
interface Bucket {
  readonly hashes: number[];
  readonly addresses: Address[];
}

/**
 * Which addresses a container may hold: a hash of its name leads to them, and the address's file has the last word. In 256
 * buckets that are loaded when needed, so a look-up reads one, however many pods; and some sixty bytes an address.
 */
export class Holders {
  readonly #load: (name: string) => string | undefined;
  readonly #buckets = new Map<string, Bucket>();
  readonly #changed = new Set<string>();

  /** `load` reads a stored bucket, as {@link changes} gave it; undefined for an empty one. */
  constructor(load: (name: string) => string | undefined) {
    this.#load = load;
  }

  /** The addresses of all containers with the hash, in the order in which they were added. */
  of(hash: number): readonly Address[] {
    const { hashes, addresses } = this.#bucket(bucketName(hash));
    return addresses.filter((_, index) => hashes[index] === hash);
  }

  add(hash: number, address: Address): void {
    const name = bucketName(hash);
    const bucket = this.#bucket(name);
    bucket.hashes.push(hash);
    bucket.addresses.push(address);
    this.#changed.add(name);
  }

  remove(hash: number, address: Address): void {
    const name = bucketName(hash);
    const { hashes, addresses } = this.#bucket(name);
    const index = addresses.indexOf(address);
    if (index < 0) return;
    hashes.splice(index, 1);
    addresses.splice(index, 1);
    this.#changed.add(name);
  }

  /** The buckets that were changed since the last call, as they are to be stored. */
  takeChanges(): readonly { readonly name: string; readonly text: string }[] {
    const changes = [...this.#changed].map((name) => ({ name, text: encodeBucket(this.#bucket(name)) }));
    this.#changed.clear();
    return changes;
  }

  #bucket(name: string): Bucket {
    const known = this.#buckets.get(name);
    if (known !== undefined) return known;
    const text = this.#load(name);
    const bucket = (text === undefined ? undefined : decodeBucket(text)) ?? { hashes: [], addresses: [] };
    this.#buckets.set(name, bucket);
    return bucket;
  }
}

/** A signed 32-bit number for a container's name: FNV-1a. */
export function hashContainer(containerId: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < containerId.length; index++) {
    hash = Math.imul(hash ^ containerId.charCodeAt(index), 0x01000193);
  }
  return hash | 0;
}

/** No container's name begins like this, so a bucket is never taken for the content of an address's file. */
const BUCKET_HEADER = "#\n";

/** A header and one line an address. An empty bucket is kept: making a file costs more than writing one. */
function encodeBucket({ hashes, addresses }: Bucket): string {
  const lines = addresses.map((address, index) => `${((hashes[index] ?? 0) >>> 0).toString(16)}\t${address}\n`);
  return BUCKET_HEADER + lines.join("");
}

/** A stored bucket, or undefined when it is damaged. */
export function decodeBucket(text: string): Bucket | undefined {
  const [header, ...lines] = text.split("\n");
  if (`${header}\n` !== BUCKET_HEADER || lines.pop() !== "") return undefined;
  const bucket: Bucket = { hashes: [], addresses: [] };
  for (const line of lines) {
    const [, hash, name = ""] = /^([0-9a-f]{1,8})\t([^\t]+)$/.exec(line) ?? [];
    const address = addressOfFile(name);
    if (hash === undefined || address === undefined) return undefined;
    bucket.hashes.push(Number.parseInt(hash, 16) | 0);
    bucket.addresses.push(address);
  }
  return bucket;
}

function bucketName(hash: number): string {
  return (hash & 0xff).toString(16).padStart(2, "0");
}
