import { join } from "node:path";
import type { AttachmentId } from "../cni/attachment.ts";
import { CniError, Code } from "../cni/error.ts";
import type { Address } from "../net/address.ts";
import type { ReservationStore } from "./allocator.ts";
import { type FileOps, hasCode } from "./files.ts";
import type { Reservation } from "./reservation.ts";

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
  /** Takes an exclusive flock(2) on a file, making it when missing; ENOENT when the folder is missing. */
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
 * Runs `use` under the network's lock, on its reservations. With `create` false, a missing folder stays missing: `use` is
 * not run and the answer is undefined.
 *
 * The folder has the reference plugin's format: a file an address holding `containerID\r\nifname`, `last_reserved_ip.N` for
 * range set N, and `lock`; the two plugins may take turns on it. Reservations from before the last reboot are freed.
 * @throws CniError 5 when a file cannot be read or written.
 */
export type Reservations = <T>(options: DiskOptions, create: boolean, use: (store: DiskStore) => T) => T | undefined;

/**
 * Runs `use` with the network's folder, under its lock; see {@link Reservations}.
 * @throws CniError 5 for every error of the system's.
 */
export function underLock<T>(options: DiskOptions, create: boolean, use: (folder: string) => T): T | undefined {
  const folder = join(options.dataDir, options.network);
  try {
    using lock = lockFolder(options, folder, create);
    return lock === undefined ? undefined : use(folder);
  } catch (error) {
    if (!(error instanceof Error) || !("code" in error) || error instanceof CniError) throw error;
    throw new CniError(
      Code.ioFailure,
      `ipam.dataDir: cannot keep reservations in "${folder}": ${error.message}; make it a writable folder or name another`,
      { cause: error },
    );
  }
}

function lockFolder({ files, lock }: DiskOptions, folder: string, create: boolean): Disposable | undefined {
  const path = join(folder, "lock");
  try {
    return lock(path);
  } catch (error) {
    if (!hasCode(error, "ENOENT")) throw error;
  }
  if (!create) return undefined;
  files.mkdirSync(folder, { recursive: true, mode: 0o700 });
  return lock(path);
}
