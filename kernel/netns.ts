import { closeSync, constants, fstatSync, mkdirSync, openSync, statfsSync, statSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { call, tryCall } from "./ffi/libc.ts";
import { SystemError } from "./ffi/system-error.ts";

/** NSFS_MAGIC, <linux/magic.h>. */
const NSFS_MAGIC = 0x6e736673;
/** <linux/nsfs.h> */
const NS_GET_NSTYPE = 0xb703;
/** <linux/sched.h> */
const CLONE_NEWNET = 0x40000000;
/** <sys/file.h> */
const LOCK_EX = 2;
/** <sys/mount.h> */
const MS_BIND = 1 << 12;
const MS_REC = 1 << 14;
const MS_SHARED = 1 << 20;
const MNT_DETACH = 2;
/** <errno.h> */
const ENOENT = 2;
const EINVAL = 22;

const OWN_NAMESPACE = "/proc/thread-self/ns/net";

/** st_dev of nsfs, which the kernel mounts once; known from the first namespace that was opened. */
let nsfsDevice: bigint | undefined;

/** Thrown when a path is missing or is not a network namespace: `reason` says which. */
export class NotANamespaceError extends Error {
  override readonly name = "NotANamespaceError";
  readonly path: string;
  /** The path does not exist, it is no namespace at all, or it is a namespace of another kind. */
  readonly reason: "missing" | "not-nsfs" | "not-a-network-namespace";
  constructor(path: string, reason: NotANamespaceError["reason"], options?: ErrorOptions) {
    super(`"${path}" is not a network namespace (${REASONS[reason]})`, options);
    this.path = path;
    this.reason = reason;
  }
}

const REASONS = {
  missing: "there is no such file",
  "not-nsfs": "the file is not on nsfs",
  "not-a-network-namespace": "it is a namespace of another kind",
} as const;

/** An open network namespace. The descriptor is the namespace: whatever happens to the path, nothing looks at it again. */
export class Netns implements Disposable {
  readonly fd: number;
  /** Equal inodes are the same namespace. */
  readonly inode: bigint;
  readonly path: string;
  #open = true;

  constructor(fd: number, inode: bigint, path: string) {
    this.fd = fd;
    this.inode = inode;
    this.path = path;
  }

  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    closeSync(this.fd);
  }
}

/**
 * Opens the namespace at the path and checks the descriptor, not the path: it lies on nsfs and is a network namespace.
 * @throws NotANamespaceError, or the error of open(2) for anything but a missing file
 */
export function openNetns(path: string): Netns {
  const fd = openDescriptor(path);
  try {
    const { dev, ino } = fstatSync(fd, { bigint: true });
    // Only then: another device may understand the same ioctl differently.
    if (!isNsfs(fd, dev)) throw new NotANamespaceError(path, "not-nsfs");
    if (tryCall("ioctl", [fd, NS_GET_NSTYPE, 0]) !== CLONE_NEWNET) {
      throw new NotANamespaceError(path, "not-a-network-namespace");
    }
    return new Netns(fd, ino, path);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function isNsfs(fd: number, device: bigint): boolean {
  if (device === nsfsDevice) return true;
  if (statfsSync(`/proc/self/fd/${fd}`).type !== NSFS_MAGIC) return false;
  nsfsDevice = device;
  return true;
}

function openDescriptor(path: string): number {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") throw new NotANamespaceError(path, "missing", { cause });
    throw cause;
  }
}

/** This thread's network namespace. */
export function currentNetns(): Netns {
  return openNetns(OWN_NAMESPACE);
}

/** Whether it is this thread's own. */
export function isCurrentNetns({ inode }: Netns): boolean {
  return statSync(OWN_NAMESPACE, { bigint: true }).ino === inode;
}

/**
 * Runs the callback with this thread inside the namespace (an open one, a path, or undefined: where the thread is now),
 * and comes back whatever happens. The callback must be synchronous: an awaited continuation would run outside.
 * @throws NotANamespaceError for a path, SystemError EPERM without CAP_SYS_ADMIN, TypeError when a promise comes back
 */
export function inNetns<T>(netns: Netns | string | undefined, callback: () => T): T {
  if (netns === undefined) return callback();
  if (typeof netns === "string") {
    using opened = openNetns(netns);
    return inNetns(opened, callback);
  }
  const home = openSync(OWN_NAMESPACE, constants.O_RDONLY);
  try {
    call("setns", [netns.fd, CLONE_NEWNET], netns.path);
    try {
      return refusePromise(callback());
    } finally {
      call("setns", [home, CLONE_NEWNET], "back to this thread's own namespace");
    }
  } finally {
    closeSync(home);
  }
}

function refusePromise<T>(value: T): T {
  if (value instanceof Promise)
    throw new TypeError("inNetns: the callback must be synchronous, but it returned a promise");
  return value;
}

/** Makes a namespace that goes with its last user; the loopback link is down in it. `/proc/self/fd/N` is its path. */
export function createNetns(): Netns {
  return inNetns(OWN_NAMESPACE, () => {
    call("unshare", [CLONE_NEWNET], "CLONE_NEWNET");
    return currentNetns();
  });
}

/** Takes this thread into the namespace, for good; other threads stay where they are. */
export function enterNetns({ fd, path }: Netns): void {
  call("setns", [fd, CLONE_NEWNET], path);
}

/**
 * Makes a namespace that lives on without a process, as `ip netns add` does (ip-netns(8)), and opens it. The loopback
 * link is down in it.
 * @throws an error with code EEXIST when the name is taken, RangeError when it is not a file name
 */
export function createNamedNetns(name: string, directory = "/run/netns"): Netns {
  const path = namedPath(name, directory);
  mkdirSync(directory, { recursive: true, mode: 0o755 });
  shareMounts(directory);
  closeSync(openSync(path, constants.O_RDONLY | constants.O_CREAT | constants.O_EXCL, 0));
  try {
    inNetns(OWN_NAMESPACE, () => {
      call("unshare", [CLONE_NEWNET], "CLONE_NEWNET");
      call("mount", [OWN_NAMESPACE, path, "none", MS_BIND, null], path);
    });
    return openNetns(path);
  } catch (error) {
    unlinkSync(path);
    throw error;
  }
}

/** Makes the folder a shared mount point, so that every mount namespace sees namespaces come and go. */
function shareMounts(directory: string): void {
  const fd = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    call("flock", [fd, LOCK_EX], directory); // two at once would mount it twice
    const shared = ["", directory, "none", MS_SHARED | MS_REC, null] as const;
    if (tryCall("mount", shared) >= 0) return;
    call("mount", [directory, directory, "none", MS_BIND | MS_REC, null], directory);
    call("mount", shared, directory);
  } finally {
    closeSync(fd);
  }
}

/**
 * Takes the name away, as `ip netns delete` does; the namespace goes with its last user. A file left there without a
 * namespace goes too.
 * @throws an error with code ENOENT when there is no such name, unless missingOk
 */
export function deleteNamedNetns(name: string, directory = "/run/netns", options: { missingOk?: boolean } = {}): void {
  const path = namedPath(name, directory);
  const unmounted = tryCall("umount2", [path, MNT_DETACH]);
  if (unmounted < 0 && unmounted !== -EINVAL && unmounted !== -ENOENT)
    throw new SystemError("umount2", -unmounted, path);
  try {
    unlinkSync(path);
  } catch (error) {
    if (!(options.missingOk && (error as NodeJS.ErrnoException).code === "ENOENT")) throw error;
  }
}

function namedPath(name: string, directory: string): string {
  if (!/^[^/\0]{1,255}$/.test(name) || name === "." || name === "..") {
    throw new RangeError(`"${name}" cannot name a network namespace; use one file name`);
  }
  return join(directory, name);
}
