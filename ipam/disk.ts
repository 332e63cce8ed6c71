import { join } from "node:path";
import type { AttachmentId } from "../cni/attachment.ts";
import { CniError, Code, messageOf } from "../cni/error.ts";
import { type Address, isAddress, parseAddress } from "../net/address.ts";
import type { ReservationStore } from "./allocator.ts";
import { createFile, type FileOps, hasCode, readIfThere, removeFile, replaceFile } from "./files.ts";
import {
  FolderIndex,
  readBoot,
  readSnapshot,
  removeSnapshot,
  type Scan,
  type Snapshot,
  writeBoot,
  writeSnapshot,
} from "./folder-index.ts";
import { addressOfFile, decodeHolder, encodeHolder, type Holder, isHeldBy, type Reservation } from "./reservation.ts";

/** The running kernel's boot. */
export interface Boot {
  /** /proc/sys/kernel/random/boot_id */
  readonly id: string;
  /** When it began (milliseconds since 1970), by a clock that has been right ever since; absent when that is not certain. */
  readonly startedAt?: number | undefined;
}

export interface DiskOptions {
  /** An absolute path; the network's name is a folder in it. */
  readonly dataDir: string;
  readonly network: string;
  readonly files: FileOps;
  /** Takes an exclusive flock(2) on a file, making it when missing. */
  readonly lock: (path: string) => Disposable;
  readonly boot: Boot;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Told of what is unusual, such as reservations that a reboot ended. */
  readonly warn: (message: string, details: Readonly<Record<string, unknown>>) => void;
}

/** The reservations of one network, under its lock. */
export interface DiskStore extends ReservationStore {
  /** How many addresses are taken in all, without reading more. */
  readonly count: number;
  /** Frees everything that the attachment holds. */
  releaseAll(attachment: AttachmentId): readonly Address[];
  /** Frees every reservation for which `keep` is false, by the files themselves; goes on after failures, then throws them. */
  prune(keep: (reservation: AttachmentId) => boolean): readonly Reservation[];
}

/**
 * The mode of address files that we make; the reference plugin's are 0644 less the umask. Nobody ever rewrites one, and after a
 * reboot the mode tells ours, which we know to be from before, from those that the other may have made since.
 */
const OUR_MODE = 0o400;

/** How far back the folder's time is set. More than the 2 s that the coarsest file system counts in. */
const STAMP_AGE_MS = 10_000;

/**
 * Runs `use` under the network's lock. With `create` false, a missing folder stays missing: `use` is not run and the
 * answer is undefined.
 *
 * The folder has the reference plugin's format: a file an address holding `containerID\r\nifname`, `last_reserved_ip.N` for
 * range set N, and `lock`; the two plugins may take turns on it. Reservations from before the last reboot are freed.
 * @throws CniError 5 when a file cannot be read or written.
 */
export function withReservations<T>(
  options: DiskOptions,
  create: boolean,
  use: (store: DiskStore) => T,
): T | undefined {
  const folder = join(options.dataDir, options.network);
  try {
    if (!isThere(options.files, folder)) {
      if (!create) return undefined;
      options.files.mkdirSync(folder, { recursive: true, mode: 0o700 });
    }
    using _lock = options.lock(join(folder, "lock"));
    const store = new FolderStore(options, folder);
    const result = use(store);
    store.save();
    return result;
  } catch (error) {
    if (!(error instanceof Error) || !("code" in error) || error instanceof CniError) throw error;
    throw new CniError(
      Code.ioFailure,
      `ipam.dataDir: cannot keep reservations in "${folder}": ${error.message}; make it a writable folder or name another`,
      { cause: error },
    );
  }
}

class FolderStore implements DiskStore {
  readonly #options: DiskOptions;
  readonly #files: FileOps;
  readonly #folder: string;
  readonly #snapshot: Snapshot | undefined;
  /** Whether the index on disk was right when it was opened. */
  readonly #vouched: boolean;
  readonly #index: FolderIndex;
  /** Whether we have changed the folder, and its modification time with it. */
  #touched = false;
  /** Whether somebody changes the folder without the lock, so that the index cannot be vouched for. */
  #disturbed = false;

  constructor(options: DiskOptions, folder: string) {
    this.#options = options;
    this.#files = options.files;
    this.#folder = folder;
    const snapshot = readSnapshot(options.files, folder);
    const unchanged = snapshot !== undefined && snapshot.stamp === this.#stamp();
    if (snapshot?.boot !== options.boot.id) this.#noticeReboot(unchanged);
    this.#snapshot = snapshot;
    this.#vouched = unchanged && snapshot.boot === options.boot.id;
    this.#index = new FolderIndex(options.files, folder, this.#vouched ? snapshot : undefined, () => this.#scan());
  }

  get count(): number {
    return this.#index.count;
  }

  held(attachment: AttachmentId): readonly Address[] {
    return this.#reservationsOf(attachment).map(({ address }) => address);
  }

  lastReserved(set: number): Address | undefined {
    const text = readIfThere(this.#files, this.#path(`last_reserved_ip.${set}`))?.toString() ?? "";
    return isAddress(text) ? parseAddress(text) : undefined;
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
    this.#touched = true;
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

  /** Brings the index up to date; see {@link FolderIndex} for the order. */
  save(): void {
    if (!this.#index.dirty) return;
    if (this.#vouched && !this.#touched) removeSnapshot(this.#files, this.#folder);
    this.#index.save();
    if (this.#disturbed) return;
    const past = Math.floor((this.#options.now() - STAMP_AGE_MS) / 1000);
    const previous = Number((this.#snapshot?.stamp ?? 0n) / 1_000_000_000n);
    const seconds = past === previous ? past - 3 : past; // never the stamp that an outdated snapshot still names
    this.#files.utimesSync(this.#folder, seconds, seconds + Math.random());
    const boot = this.#options.boot.id;
    writeSnapshot(this.#files, this.#folder, { stamp: this.#stamp(), count: this.#index.count, boot });
  }

  /** The attachment's reservations, each compared with its file. */
  #reservationsOf(attachment: AttachmentId): readonly Reservation[] {
    const indexed = this.#index.of(attachment.containerId).filter((each) => isHeldBy(each, attachment));
    if (indexed.every((each) => this.#isOnDisk(each))) return indexed;
    this.#disturbed = true;
    this.#index.rebuild();
    return this.#index.of(attachment.containerId).filter((each) => isHeldBy(each, attachment));
  }

  #isOnDisk(reservation: Reservation): boolean {
    const holder = this.#holderOf(reservation.address);
    if (holder?.kind !== "attachment") return false;
    const { containerId, ifName } = holder.attachment;
    return containerId === reservation.containerId && ifName === reservation.ifName;
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
    if (removeFile(this.#files, this.#path(address))) this.#touched = true;
  }

  /**
   * Frees what was reserved before the reboot: the pods' namespaces did not survive it. Certain when the folder has not
   * changed since we last wrote it in an earlier boot; for a file of ours, since we have not reserved anything in this boot;
   * and for one that is older than the boot by a clock that can be trusted. Any other file stays: it may be a live pod's.
   */
  #noticeReboot(unchanged: boolean): void {
    const { boot, warn, network } = this.#options;
    const lastBoot = readBoot(this.#files, this.#folder);
    if (lastBoot === boot.id) return;
    const freed: Address[] = [];
    for (const { address } of this.#addressFiles()) {
      const { mode, mtimeMs } = this.#files.lstatSync(this.#path(address));
      const ours = lastBoot !== undefined && (mode & 0o777) === OUR_MODE;
      const older = boot.startedAt !== undefined && mtimeMs < boot.startedAt;
      if (!unchanged && !ours && !older) continue;
      this.#remove(address);
      freed.push(address);
    }
    writeBoot(this.#files, this.#folder, boot.id);
    if (freed.length > 0) {
      warn("freed addresses reserved before the last reboot", { network, count: freed.length, first: freed[0] });
    }
  }

  #stamp(): bigint {
    return this.#files.statSync(this.#folder, { bigint: true }).mtimeNs;
  }

  #path(name: string): string {
    return join(this.#folder, name);
  }
}

function isThere(files: FileOps, folder: string): boolean {
  try {
    files.statSync(folder);
    return true;
  } catch (error) {
    if (hasCode(error, "ENOENT")) return false;
    throw error;
  }
}
