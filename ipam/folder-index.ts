import { join } from "node:path";
import type { AttachmentId } from "../cni/attachment.ts";
import type { Address } from "../net/address.ts";
import { type FileOps, listFolder, readIfThere, removeFile, replaceDurably, replaceFile } from "./files.ts";
import { decodeBucket, Holders, hashContainer } from "./holders.ts";
import type { Reservation } from "./reservation.ts";
import { isPage, TakenAddresses } from "./taken.ts";

/** What a scan of the folder's address files found. */
export interface Scan {
  readonly reservations: readonly Reservation[];
  /** Every address that has a file, whoever wrote it. */
  readonly taken: readonly Address[];
}

/** What the folder looked like when the index was last right. */
export interface Snapshot {
  /** The folder's modification time in nanoseconds. */
  readonly stamp: bigint;
  /** How many addresses were taken. */
  readonly count: number;
  /** The boot in which that was. */
  readonly boot: string;
}

/** Sets our files apart from what the reference plugin compares with a container's name when it walks over them. */
const PAGE_HEADER = Buffer.from("podwire\t");

/**
 * A cache of what the address files of a network's folder say, in memory and in the sub-folder `.podwire`, so that neither
 * ADD nor DEL reads the whole folder.
 *
 * Invariant: the address files are the truth. The index on disk holds only while the folder's modification time is the one
 * in `.podwire/state`; one in memory, while it is the one that its owner left. Whoever adds or removes an address file
 * changes that time. Whoever writes here sets it first, to one in the past that no later change can bring about, and
 * writes `state` last. So a crash at any point, and any change by somebody else, makes the next user build the index anew.
 */
export class FolderIndex {
  readonly #files: () => FileOps;
  readonly #folder: string;
  readonly #scan: () => Scan;
  #taken: TakenAddresses;
  #holders: Holders;
  #count: number;
  #dirty = false;
  #rebuilt = false;

  /** `files` are those of the call at hand; `snapshot` is absent when the index must be built anew from `scan`. */
  constructor(files: () => FileOps, folder: string, snapshot: Snapshot | undefined, scan: () => Scan) {
    this.#files = files;
    this.#folder = folder;
    this.#scan = scan;
    this.#count = snapshot?.count ?? 0;
    this.#taken = new TakenAddresses(
      (name) => this.#readPage(name),
      () => listFolder(files(), this.#path("taken")),
    );
    this.#holders = new Holders((name) => this.#readBucket(name));
    if (snapshot === undefined) this.rebuild();
  }

  /** How many addresses are taken. */
  get count(): number {
    return this.#count;
  }

  /** The addresses of containers whose names have this {@link hashContainer}. */
  of(hash: number): readonly Address[] {
    return this.#orRebuilt(() => this.#holders.of(hash));
  }

  has(address: Address): boolean {
    return this.#orRebuilt(() => this.#taken.has(address));
  }

  nextFree(first: Address, last: Address): Address | undefined {
    return this.#orRebuilt(() => this.#taken.nextFree(first, last));
  }

  taken(first: Address, last: Address): number {
    return this.#orRebuilt(() => this.#taken.count(first, last));
  }

  /** Whether {@link save} has something to write. */
  get dirty(): boolean {
    return this.#dirty;
  }

  /** Notes an address that has a file now; without a holder, one that is somebody else's. */
  add(address: Address, holder: AttachmentId | undefined): void {
    this.#orRebuilt(() => {
      this.#mark(address, true);
      if (holder !== undefined) this.#holders.add(hashContainer(holder.containerId), address);
    });
  }

  /** Notes that the reservation's file is gone. */
  remove({ containerId, address }: Reservation): void {
    this.#orRebuilt(() => {
      this.#mark(address, false);
      this.#holders.remove(hashContainer(containerId), address);
    });
  }

  /** Builds the index anew from all address files, and returns what they say. */
  rebuild(): Scan {
    const scan = this.#scan();
    this.#taken = new TakenAddresses(
      () => undefined,
      () => [],
    );
    this.#holders = new Holders(() => undefined);
    for (const address of scan.taken) this.#taken.mark(address, true);
    for (const { containerId, address } of scan.reservations) this.#holders.add(hashContainer(containerId), address);
    this.#count = scan.taken.length;
    this.#dirty = true;
    this.#rebuilt = true;
    return scan;
  }

  /** Writes what changed. No snapshot may vouch for what is on disk, and the folder's time must be a new one. */
  save(): void {
    if (this.#rebuilt) this.#clear();
    for (const { name, page } of this.#taken.takeChanges()) {
      this.#put("taken", name, page === undefined ? undefined : Buffer.concat([PAGE_HEADER, page]));
    }
    for (const { name, text } of this.#holders.takeChanges()) this.#put("attachments", name, text);
    this.#dirty = false;
    this.#rebuilt = false;
  }

  #mark(address: Address, taken: boolean): void {
    if (this.#taken.mark(address, taken)) this.#count += taken ? 1 : -1;
    this.#dirty = true;
  }

  /** Removes what an earlier index left. */
  #clear(): void {
    for (const kind of ["taken", "attachments"] as const) {
      this.#files().mkdirSync(this.#path(kind), { recursive: true, mode: 0o700 });
      for (const name of listFolder(this.#files(), this.#path(kind))) removeFile(this.#files(), this.#path(kind, name));
    }
  }

  #put(kind: "taken" | "attachments", name: string, content: string | Uint8Array | undefined): void {
    if (content === undefined) removeFile(this.#files(), this.#path(kind, name));
    else replaceFile(this.#files(), this.#path(kind, name), content);
  }

  #readPage(name: string): Uint8Array | undefined {
    const bytes = readIfThere(this.#files(), this.#path("taken", name));
    if (bytes === undefined) return undefined;
    const page = Uint8Array.from(bytes.subarray(PAGE_HEADER.length));
    if (!isPage(page) || !bytes.subarray(0, PAGE_HEADER.length).equals(PAGE_HEADER)) throw new DamagedIndexError();
    return page;
  }

  #readBucket(name: string): string | undefined {
    const text = readIfThere(this.#files(), this.#path("attachments", name))?.toString();
    if (text !== undefined && decodeBucket(text) === undefined) throw new DamagedIndexError();
    return text;
  }

  #orRebuilt<T>(use: () => T): T {
    try {
      return use();
    } catch (error) {
      if (!(error instanceof DamagedIndexError)) throw error;
      this.rebuild();
      return use();
    }
  }

  #path(...parts: readonly string[]): string {
    return join(this.#folder, ".podwire", ...parts);
  }
}

/** A file of the index is not as we write it: a disk fault, or somebody's hand. */
class DamagedIndexError extends Error {}

/** What the index was right about, or undefined when that is not known. */
export function readSnapshot(files: FileOps, folder: string): Snapshot | undefined {
  const text = readIfThere(files, join(folder, ".podwire", "state"))?.toString() ?? "";
  const [, stamp, count, boot] = /^podwire\tstate 2\n(\d+)\n(\d+)\n([0-9a-f-]+)\nend\n$/.exec(text) ?? [];
  if (stamp === undefined || count === undefined || boot === undefined) return undefined;
  return { stamp: BigInt(stamp), count: Number(count), boot };
}

/** Declares the index right. The last step of every change. Always of one length, so that nothing need be cut off. */
export function writeSnapshot(files: FileOps, folder: string, { stamp, count, boot }: Snapshot): void {
  const [stampText, countText] = [String(stamp).padStart(20, "0"), String(count).padStart(10, "0")];
  const text = `podwire\tstate 2\n${stampText}\n${countText}\n${boot}\nend\n`;
  replaceFile(files, join(folder, ".podwire", "state"), text);
}

/** Declares the index wrong. */
export function removeSnapshot(files: FileOps, folder: string): void {
  removeFile(files, join(folder, ".podwire", "state"));
}

/** The boot in which we last reserved an address here; undefined when we never did. */
export function readBoot(files: FileOps, folder: string): string | undefined {
  const text = readIfThere(files, join(folder, ".podwire", "boot"))?.toString() ?? "";
  return /^podwire\tboot 1\n([0-9a-f-]+)\n$/.exec(text)?.[1];
}

/** Remembers the boot, through a power failure too. */
export function writeBoot(files: FileOps, folder: string, boot: string): void {
  const path = join(folder, ".podwire");
  files.mkdirSync(path, { recursive: true, mode: 0o700 });
  replaceDurably(files, join(path, "boot"), `podwire\tboot 1\n${boot}\n`, join(path, "boot.new"));
}
