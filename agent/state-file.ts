import {
  closeSync,
  constants,
  fchmodSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";

/**
 * Writes a file that is either the old one or the whole new one, whatever crashes: a new file beside it, fsync, rename,
 * and fsync of the folder. Folders are made with 0700.
 * @param mode of the file; 0600 when absent
 * @throws the error of the system call, ENOSPC for instance; the old file is then untouched
 */
export function writeFileAtomic(path: string, text: string, mode = 0o600): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const fresh = `${path}.new`;
  try {
    writeDurably(fresh, text, mode);
    renameSync(fresh, path);
  } catch (error) {
    rmSync(fresh, { force: true });
    throw error;
  }
  syncFolder(dirname(path));
}

function writeDurably(path: string, text: string, mode: number): void {
  const { O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW } = constants;
  const fd = openSync(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, mode);
  try {
    fchmodSync(fd, mode); // whatever the umask
    writeFileSync(fd, text); // goes on after a short write, as write(2) on a full disk may be
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Makes the rename last through a loss of power. */
function syncFolder(path: string): void {
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** The file's text, undefined when there is none. @throws the error of open(2) or read(2) otherwise. */
export function readFileIfThere(path: string): string | undefined {
  try {
    const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      return readFileSync(fd, "utf8");
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Writes only when the text differs; answers whether it did. */
export function updateFile(path: string, text: string, mode?: number): boolean {
  if (readFileIfThere(path) === text) return false;
  writeFileAtomic(path, text, mode);
  return true;
}
