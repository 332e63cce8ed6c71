import { closeSync, constants, openSync } from "node:fs";
import { tryCall } from "./ffi/libc.ts";
import { SystemError } from "./ffi/system-error.ts";

/** <sys/file.h> */
const LOCK_EX = 2;
const LOCK_NB = 4;
const LOCK_UN = 8;
/** <errno.h> */
const EINTR = 4;
const EWOULDBLOCK = 11;

/**
 * Takes the exclusive flock(2) on a file, waiting for it; disposing gives it back. The file is made with mode 0600 when
 * missing. The kernel releases the lock of a process that dies.
 * @throws an error with code ELOOP when the path is a symbolic link
 */
export function openLock(path: string): Disposable {
  const fd = openFile(path);
  let result = tryCall("flock", [fd, LOCK_EX]);
  while (result === -EINTR) result = tryCall("flock", [fd, LOCK_EX]);
  return heldLock(fd, path, result);
}

/** As {@link openLock}, but gives undefined at once when somebody else holds the lock. */
export function tryOpenLock(path: string): Disposable | undefined {
  const fd = openFile(path);
  const result = tryCall("flock", [fd, LOCK_EX | LOCK_NB]);
  if (result !== -EWOULDBLOCK) return heldLock(fd, path, result);
  closeSync(fd);
  return undefined;
}

/**
 * Takes the exclusive flock(2) on an open file, such as a namespace, waiting for it; disposing gives it back. Nothing may be awaited
 * meanwhile: whoever else in this process wants it would wait for good.
 */
export function lockDescriptor(fd: number, path: string): Disposable {
  let result = tryCall("flock", [fd, LOCK_EX]);
  while (result === -EINTR) result = tryCall("flock", [fd, LOCK_EX]);
  if (result < 0) throw new SystemError("flock", -result, path);
  return { [Symbol.dispose]: () => void tryCall("flock", [fd, LOCK_UN]) };
}

function openFile(path: string): number {
  return openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
}

function heldLock(fd: number, path: string, result: number): Disposable {
  if (result < 0) {
    closeSync(fd);
    throw new SystemError("flock", -result, path);
  }
  let held = true;
  return {
    [Symbol.dispose]() {
      if (held) closeSync(fd);
      held = false;
    },
  };
}
