import { join } from "node:path";
import type { AttachmentId } from "../cni/attachment.ts";
import { CniError, Code, messageOf } from "../cni/error.ts";
import { type Address, isAddress, parseAddress } from "../net/address.ts";
import type { DiskOptions, DiskStore } from "./disk.ts";
import { createFile, type FileOps, hasCode, readIfThere, removeFile, replaceFile } from "./files.ts";
import { FolderIndex, readSnapshot, removeSnapshot, type Scan, writeSnapshot } from "./folder-index.ts";
import { hashContainer } from "./holders.ts";
import { noticeReboot } from "./reboot.ts";
import {
  addressOfFile,
  decodeHolder,
  encodeHolder,
  type Holder,
  isHeldBy,
  OUR_MODE,
  type Reservation,
} from "./reservation.ts";
import { pickStamp } from "./stamp.ts";

/**
 * The reservations in one network's folder, whose lock the caller holds. Changes of address files are on disk at once, those of the
 * index with {@link save}. It may be kept when the lock is given back, after {@link settle}, and used again if it {@link isCurrent}.
 */
export class FolderStore implements DiskStore {
  readonly #folder: string;
  readonly #index: FolderIndex;
  readonly #inode: bigint;
  #options: DiskOptions;
  /** The folder's modification time for which the index is right; undefined once we have changed the folder. */
  #stamp: bigint | undefined;
  /** Whether there may be a snapshot on disk. */
  #snapshotThere: boolean;
  /** Whether somebody changes the folder without the lock, so that the index cannot be vouched for. */
  #disturbed = false;
  readonly #lastReserved = new Map<number, Address | undefined>();

  constructor(options: DiskOptions, folder: string) {
    this.#options = options;
    this.#folder = folder;
    const snapshot = readSnapshot(options.files, folder);
    const { mtimeNs, ino } = options.files.statSync(folder, { bigint: true });
    this.#inode = ino;
    const unchanged = snapshot?.stamp === mtimeNs;
    const ofThisBoot = snapshot?.boot === options.boot.id;
    if (!ofThisBoot) noticeReboot(options, folder, unchanged, () => this.#addresses());
    const vouched = unchanged && ofThisBoot ? snapshot : undefined;
    this.#snapshotThere = snapshot !== undefined;
    this.#stamp = vouched?.stamp;
    this.#index = new FolderIndex(
      () => this.#files,
      folder,
      vouched,
      () => this.#scan(),
    );
  }

  get count(): number {
    return this.#index.count;
  }

  get options(): DiskOptions {
    return this.#options;
  }

  held(attachment: AttachmentId): readonly Address[] {
    return this.#reservationsOf(attachment).map(({ address }) => address);
  }

  lastReserved(set: number): Address | undefined {
    if (!this.#lastReserved.has(set)) {
      const text = readIfThere(this.#files, this.#path(`last_reserved_ip.${set}`))?.toString() ?? "";
      this.#lastReserved.set(set, isAddress(text) ? parseAddress(text) : undefined);
    }
    return this.#lastReserved.get(set);
  }

  nextFree(first: Address, last: Address): Address | undefined {
    return this.#index.nextFree(first, last);
  }

  taken(first: Address, last: Address): number {
    return this.#index.taken(first, last);
  }

  refresh(): void {
    this.#index.rebuild();
  }

  reserve(attachment: AttachmentId, address: Address, set: number): boolean {
    if (!createFile(this.#files, this.#path(address), encodeHolder(attachment), OUR_MODE)) {
      if (!this.#index.has(address)) {
        this.#disturbed = true;
        this.#index.add(address, undefined);
      }
      return false;
    }
    this.#stamp = undefined;
    this.#lastReserved.set(set, address);
    try {
      // A crash in the middle may name another address: the walk begins there, and nothing else depends on it.
      replaceFile(this.#files, this.#path(`last_reserved_ip.${set}`), address);
    } catch (error) {
      removeFile(this.#files, this.#path(address));
      throw error;
    }
    this.#index.add(address, attachment);
    return true;
  }

  release(attachment: AttachmentId, address: Address): void {
    for (const reservation of this.#reservationsOf(attachment)) {
      if (reservation.address === address) this.#free(reservation);
    }
  }

  releaseAll(attachment: AttachmentId): readonly Address[] {
    const held = this.#reservationsOf(attachment);
    const exact = held.filter(({ ifName }) => ifName === attachment.ifName);
    const freed = exact.length > 0 ? exact : held;
    for (const reservation of freed) this.#free(reservation);
    return freed.map(({ address }) => address);
  }

  prune(keep: (reservation: AttachmentId) => boolean): readonly Reservation[] {
    const freed: Reservation[] = [];
    const failures: CniError[] = [];
    for (const reservation of this.#index.rebuild().reservations) {
      if (keep(reservation)) continue;
      try {
        this.#free(reservation);
        freed.push(reservation);
      } catch (error) {
        failures.push(new CniError(Code.ioFailure, `cannot free ${reservation.address}: ${messageOf(error)}`));
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, `${failures.length} reservations could not be freed`);
    return freed;
  }

  /** Whether the folder is as {@link settle} left it, so that what is in memory is right for a call with these options. */
  isCurrent({ files, boot }: DiskOptions): boolean {
    const { mtimeNs, ino } = files.statSync(this.#folder, { bigint: true });
    return mtimeNs === this.#stamp && ino === this.#inode && boot.id === this.#options.boot.id;
  }

  /** Goes on with the options of another call. */
  resume(options: DiskOptions): void {
    this.#options = options;
  }

  /** Marks the folder as the one that the index in memory is right about; false when that cannot be said. */
  settle(): boolean {
    if (this.#disturbed || this.#stamp === undefined) this.#dropSnapshot();
    if (this.#disturbed) return false;
    this.#stamp ??= this.#setStamp();
    return true;
  }

  /** Writes the index, if it has changed; see {@link FolderIndex} for the order. */
  save(): void {
    if (!this.#index.dirty) return;
    if (this.#stamp !== undefined) this.#dropSnapshot(); // otherwise the snapshot names an earlier time
    if (this.#disturbed) return;
    this.#stamp = this.#setStamp();
    this.#index.save();
    const boot = this.#options.boot.id;
    writeSnapshot(this.#files, this.#folder, { stamp: this.#stamp, count: this.#index.count, boot });
    this.#snapshotThere = true;
  }

  /** The attachment's reservations, each compared with its file. */
  #reservationsOf(attachment: AttachmentId): readonly Reservation[] {
    const known = this.#confirm(attachment.containerId);
    if (known === undefined) {
      this.#disturbed = true;
      this.#index.rebuild();
    }
    const all = known ?? this.#confirm(attachment.containerId) ?? [];
    return all.filter((each) => isHeldBy(each, attachment));
  }

  /** The container's reservations, by the files that the index names; undefined when it names a wrong one. */
  #confirm(containerId: string): readonly Reservation[] | undefined {
    const hash = hashContainer(containerId);
    const found: Reservation[] = [];
    for (const address of this.#index.of(hash)) {
      const holder = this.#holderOf(address);
      if (holder?.kind !== "attachment" || hashContainer(holder.attachment.containerId) !== hash) return undefined;
      if (holder.attachment.containerId === containerId) found.push({ ...holder.attachment, address });
    }
    return found;
  }

  #holderOf(name: string): Holder | undefined {
    const bytes = readIfThere(this.#files, this.#path(name));
    return bytes === undefined ? undefined : decodeHolder(bytes.toString());
  }

  #free(reservation: Reservation): void {
    this.#remove(reservation.address);
    this.#index.remove(reservation);
  }

  /** Reads every address file, and removes those that a crash left empty. */
  #scan(): Scan {
    const reservations: Reservation[] = [];
    const taken: Address[] = [];
    for (const { address, holder } of this.#addressFiles()) {
      if (holder.kind === "unfinished") {
        this.#remove(address);
        continue;
      }
      taken.push(address);
      if (holder.kind === "attachment") reservations.push({ ...holder.attachment, address });
    }
    return { reservations, taken };
  }

  *#addressFiles(): Generator<{ readonly address: Address; readonly holder: Holder }> {
    for (const entry of this.#files.readdirSync(this.#folder, { withFileTypes: true })) {
      const address = addressOfFile(entry.name);
      if (address === undefined) continue;
      const holder = entry.isFile() ? this.#readHolder(address) : ({ kind: "unknown" } as const);
      if (holder !== undefined) yield { address, holder };
    }
  }

  *#addresses(): Generator<Address> {
    for (const { address } of this.#addressFiles()) yield address;
  }

  /** One unreadable file takes its address out of use, and nothing else. */
  #readHolder(address: Address): Holder | undefined {
    try {
      return this.#holderOf(address);
    } catch (error) {
      if (!hasCode(error, "EACCES", "EIO", "ELOOP")) throw error;
      this.#options.warn("an address file cannot be read", { file: this.#path(address), error: messageOf(error) });
      return { kind: "unknown" };
    }
  }

  #remove(address: Address): void {
    if (removeFile(this.#files, this.#path(address))) this.#stamp = undefined;
  }

  #dropSnapshot(): void {
    if (this.#snapshotThere) removeSnapshot(this.#files, this.#folder);
    this.#snapshotThere = false;
  }

  #setStamp(): bigint {
    const seconds = pickStamp(this.#options.now(), Math.random());
    this.#files.utimesSync(this.#folder, seconds, seconds);
    return BigInt(seconds) * 1_000_000_000n;
  }

  #path(name: string): string {
    return join(this.#folder, name);
  }

  get #files(): FileOps {
    return this.#options.files;
  }
}
