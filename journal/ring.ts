import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";

/**
 * Opens the ring file for writing and makes it exactly so many bytes; folder (0700) and file (0600) are made when missing.
 * A file that was longer is cut.
 * @throws the error of the system call; ENOTSUP when there is something else than a file
 */
export function openRing(path: string, capacity: number): number {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const { O_RDWR, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants;
  const fd = openSync(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600);
  try {
    requireFile(fd, path);
    fchmodSync(fd, 0o600); // whatever the umask, and whoever made it
    ftruncateSync(fd, Math.min(fstatSync(fd).size, capacity));
    fill(fd, fstatSync(fd).size, capacity);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/**
 * The whole ring file as it is at this moment.
 * @throws the error of the system call, ENOENT when there is none; ENOTSUP when there is something else than a file
 */
export function readRing(path: string): Buffer {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    requireFile(fd, path);
    return readWhole(fd);
  } finally {
    closeSync(fd);
  }
}

/** Everything in an open file. */
export function readWhole(fd: number): Buffer {
  const bytes = Buffer.alloc(fstatSync(fd).size);
  for (let at = 0; at < bytes.length; ) {
    const count = readSync(fd, bytes, at, bytes.length - at, at);
    if (count === 0) return bytes.subarray(0, at); // cut meanwhile
    at += count;
  }
  return bytes;
}

/** Zeros from `start` to `end`: so that the disk has room for every later write. @throws ENOSPC */
export function fill(fd: number, start: number, end: number): void {
  if (start < end) writeAll(fd, Buffer.alloc(end - start), start);
}

/** One pwrite(2). @throws ENOSPC when the disk took only a part */
export function writeAll(fd: number, bytes: Uint8Array, position: number): void {
  const count = writeSync(fd, bytes, 0, bytes.length, position);
  if (count !== bytes.length) throw failure("ENOSPC", `ENOSPC: ${count} of ${bytes.length} bytes were written`);
}

function requireFile(fd: number, path: string): void {
  if (!fstatSync(fd).isFile()) throw failure("ENOTSUP", `ENOTSUP: ${path} is not a regular file`);
}

function failure(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}
