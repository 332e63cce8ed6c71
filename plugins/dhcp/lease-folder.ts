import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { CniError, Code, messageOf } from "../../cni/error.ts";
import { decodeRecord, encodeRecord, LARGEST_RECORD, type LeaseRecord } from "../../dhcp/record.ts";
import { hasCode } from "../../ipam/files.ts";
import { openLock, tryOpenLock } from "../../kernel/flock.ts";
import { type AttachmentName, attachmentKey } from "../../kernel/mark.ts";

/** Goes with a reboot, as pods do. */
export const LEASE_FOLDER = "/run/podwire/dhcp";
const SUFFIX = ".lease";
/**
 * Held for as long as an agent keeps the leases. It lies beside the folder: a file held open in it would keep the kernel from
 * telling that the folder was removed.
 */
const KEEPER = ".keeper";
/** Held for the moment of a change that depends on what is there. */
const LOCK = "lock";

/** A file that is not as it should be, and why. */
export interface UnreadableLease {
  readonly file: string;
  readonly problem: string;
}

/** The leases of this machine: a file an attachment, 0600, written by ADD and by the agent, removed by DEL. */
export class LeaseFolder {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** @throws CniError 5 */
  prepare(): void {
    try {
      mkdirSync(this.path, { recursive: true, mode: 0o700 });
    } catch (error) {
      throw this.#failure("cannot be made", error);
    }
  }

  /** Undefined when there is none, or none that can be read: the attachment then has to be added again. */
  read(name: AttachmentName): LeaseRecord | undefined {
    const record = this.readFile(fileOf(name));
    return record === undefined || "problem" in record ? undefined : record;
  }

  list(): readonly (LeaseRecord | UnreadableLease)[] {
    return this.files().flatMap((file) => this.readFile(file) ?? []);
  }

  /** The file is the old one or the whole new one, whatever crashes. @throws CniError 5 */
  put(record: LeaseRecord): void {
    this.prepare();
    const path = join(this.path, fileOf(record));
    const fresh = `${path}.${process.pid}.new`; // ADD and the agent may write at the same moment
    try {
      write(fresh, encodeRecord(record));
      renameSync(fresh, path);
    } catch (error) {
      rmSync(fresh, { force: true });
      throw this.#failure("cannot be written", error);
    }
  }

  /** Writes only where that very lease is still there: DEL may have come meanwhile. Answers whether it was. */
  update(known: LeaseRecord, record: LeaseRecord): boolean {
    using _ = openLock(join(this.path, LOCK));
    const present = this.read(known);
    if (present === undefined || encodeRecord(present) !== encodeRecord(known)) return false;
    this.put(record);
    return true;
  }

  /** Answers whether there was one. @throws CniError 5 */
  remove(name: AttachmentName): boolean {
    const file = join(this.path, fileOf(name));
    try {
      using _ = openLock(join(this.path, LOCK));
      rmSync(file);
      return true;
    } catch (error) {
      if (hasCode(error, "ENOENT", "ENOTDIR")) return false;
      throw this.#failure("cannot be changed", error);
    }
  }

  /** For the agent: whoever holds it renews the leases. Undefined while somebody does. */
  keep(): Disposable | undefined {
    this.prepare();
    return tryOpenLock(`${this.path}${KEEPER}`);
  }

  /** Whether an agent renews the leases now. */
  get kept(): boolean {
    this.prepare();
    using lock = tryOpenLock(`${this.path}${KEEPER}`);
    return lock === undefined;
  }

  /** Names of the leases' files. @throws CniError 5 */
  files(): readonly string[] {
    try {
      return readdirSync(this.path).filter(isLeaseFile);
    } catch (error) {
      if (hasCode(error, "ENOENT")) return [];
      throw this.#failure("cannot be read", error);
    }
  }

  /** Undefined when there is no such file. */
  readFile(file: string): LeaseRecord | UnreadableLease | undefined {
    try {
      const record = decodeRecord(readText(join(this.path, file)));
      return fileOf(record) === file ? record : { file, problem: "it is another attachment's" };
    } catch (error) {
      if (hasCode(error, "ENOENT", "ENOTDIR")) return undefined;
      return { file, problem: messageOf(error) };
    }
  }

  #failure(problem: string, cause: unknown): CniError {
    return new CniError(Code.ioFailure, `leases ${problem} in "${this.path}": ${messageOf(cause)}`, { cause });
  }
}

/** The name of an attachment's file, of whatever network, container and interface. */
export function fileOf({ network, containerId, ifName }: AttachmentName): string {
  return `${attachmentKey({ network, containerId, ifName })}${SUFFIX}`;
}

/** Whether the folder's file of that name is a lease's. */
export function isLeaseFile(file: string): boolean {
  return file.endsWith(SUFFIX);
}

function write(path: string, text: string): void {
  const { O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW } = constants;
  const fd = openSync(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o600);
  try {
    fchmodSync(fd, 0o600); // whatever the umask
    writeFileSync(fd, text);
  } finally {
    closeSync(fd);
  }
}

/** Never through a planted symbolic link, and never waiting for the other end of a planted FIFO. */
function readText(path: string): string {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    if (!fstatSync(fd).isFile()) throw new RangeError("it is no file");
    const bytes = Buffer.alloc(LARGEST_RECORD);
    return bytes.toString("utf8", 0, readSync(fd, bytes));
  } finally {
    closeSync(fd);
  }
}
