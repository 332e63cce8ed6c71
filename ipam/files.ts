import type * as fs from "node:fs";
import { constants } from "node:fs";

/** The calls of node:fs that the store makes, so that tests can count them and crash after any of them. */
export type FileOps = Pick<
  typeof fs,
  | "accessSync"
  | "closeSync"
  | "fstatSync"
  | "fsyncSync"
  | "ftruncateSync"
  | "lstatSync"
  | "mkdirSync"
  | "openSync"
  | "readFileSync"
  | "readdirSync"
  | "renameSync"
  | "statSync"
  | "unlinkSync"
  | "utimesSync"
  | "writeSync"
>;

/** Never through a planted symbolic link, and never waiting for the other end of a planted FIFO. */
const READ = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
const REPLACE = constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW;
const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

/** Whether the error is the system's with this code. */
export function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && "code" in error && codes.includes(String(error.code));
}

/** The file's bytes, or undefined when there is none. */
export function readIfThere(files: FileOps, path: string): Buffer | undefined {
  let fd: number;
  try {
    fd = files.openSync(path, READ);
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    throw error;
  }
  try {
    return files.readFileSync(fd);
  } finally {
    files.closeSync(fd);
  }
}

/**
 * Makes the file (0600) or replaces its content; a crash may leave a mixture of both. The content is written over the old
 * and cut only when shorter: O_TRUNC makes ext4 write it out at once, which costs more than all the rest.
 */
export function replaceFile(files: FileOps, path: string, content: string | Uint8Array): void {
  const fd = files.openSync(path, REPLACE, 0o600);
  try {
    const length = writeAll(files, fd, content);
    if (files.fstatSync(fd).size > length) files.ftruncateSync(fd, length);
  } finally {
    files.closeSync(fd);
  }
}

/** Makes the file (0600) or replaces it as a whole, through another one and the disk's cache: it survives a power failure. */
export function replaceDurably(files: FileOps, path: string, content: string, through: string): void {
  removeFile(files, through);
  const fd = files.openSync(through, CREATE, 0o600);
  try {
    writeAll(files, fd, content);
    files.fsyncSync(fd);
  } finally {
    files.closeSync(fd);
  }
  files.renameSync(through, path);
}

/**
 * Makes a file that must not be there yet; false when it is. A crash in between leaves it empty; an error leaves nothing.
 */
export function createFile(files: FileOps, path: string, content: string, mode: number): boolean {
  let fd: number;
  try {
    fd = files.openSync(path, CREATE, mode);
  } catch (error) {
    if (hasCode(error, "EEXIST")) return false;
    throw error;
  }
  try {
    writeAll(files, fd, content);
    return true;
  } catch (error) {
    files.unlinkSync(path);
    throw error;
  } finally {
    files.closeSync(fd);
  }
}

/** Removes the file; false when it was not there. */
export function removeFile(files: FileOps, path: string): boolean {
  try {
    files.unlinkSync(path);
    return true;
  } catch (error) {
    if (hasCode(error, "ENOENT")) return false;
    throw error;
  }
}

/** The names in a folder; none when it is missing. */
export function listFolder(files: FileOps, path: string): readonly string[] {
  try {
    return files.readdirSync(path);
  } catch (error) {
    if (hasCode(error, "ENOENT")) return [];
    throw error;
  }
}

/** Writes at the file's beginning; returns the length in bytes. */
function writeAll(files: FileOps, fd: number, content: string | Uint8Array): number {
  const bytes = typeof content === "string" ? Buffer.from(content) : content;
  if (files.writeSync(fd, bytes) !== bytes.length) throw new Error("the file system took a part of the content only");
  return bytes.length;
}
