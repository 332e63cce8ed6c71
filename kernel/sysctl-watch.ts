import { type FSWatcher, statSync, watch } from "node:fs";
import { readSysctl, sysctlPath } from "./sysctl.ts";

/** More folders than these are not watched: a device has two, and a node may have thousands of static tunnels. */
const MOST_FOLDERS = 256;

interface Folder {
  /** Another one when the device was made anew. */
  readonly inode: number;
  readonly watcher: FSWatcher;
  /** What each file held when the caller had put it right. */
  readonly values: Map<string, string>;
}

/**
 * Tells when a program writes another value to a sysctl (inotify(7) on /proc/sys). It sees what is written through the
 * mount of /proc that this process has, of this thread's network namespace; the kernel's own changes it does not see.
 */
export class SysctlWatch implements Disposable {
  readonly #changed: () => void;
  readonly #folders = new Map<string, Folder>();

  constructor(changed: () => void) {
    this.#changed = changed;
  }

  /** From now on these, with the values that they have now. What cannot be watched is left out. */
  follow(keys: Iterable<string>): void {
    const wanted = new Map<string, string[]>();
    for (const key of keys) {
      const [folder, name] = [key.slice(0, key.lastIndexOf("/")), key.slice(key.lastIndexOf("/") + 1)];
      const names = wanted.get(folder);
      if (names !== undefined) names.push(name);
      else if (wanted.size < MOST_FOLDERS) wanted.set(folder, [name]);
    }
    for (const name of this.#folders.keys()) if (!wanted.has(name)) this.#forget(name);
    for (const [name, files] of wanted) {
      try {
        const folder = this.#watched(name);
        folder.values.clear();
        for (const file of files) folder.values.set(file, present(`${name}/${file}`) ?? "");
      } catch {
        this.#forget(name); // gone, or more watches than fs.inotify.max_user_watches allows
      }
    }
  }

  [Symbol.dispose](): void {
    for (const name of this.#folders.keys()) this.#forget(name);
  }

  #watched(name: string): Folder {
    const path = sysctlPath(name);
    const inode = statSync(path).ino;
    const known = this.#folders.get(name);
    if (known?.inode === inode) return known;
    this.#forget(name);
    const watcher = watch(path, { persistent: false }, (_, file) => this.#look(name, file));
    watcher.on("error", () => this.#forget(name));
    const folder = { inode, watcher, values: new Map<string, string>() };
    this.#folders.set(name, folder);
    return folder;
  }

  #look(name: string, file: string | null): void {
    const value = this.#folders.get(name)?.values.get(file ?? "");
    if (value !== undefined && value !== (present(`${name}/${file}`) ?? "")) this.#changed();
  }

  #forget(name: string): void {
    this.#folders.get(name)?.watcher.close();
    this.#folders.delete(name);
  }
}

function present(key: string): string | undefined {
  try {
    return readSysctl(key);
  } catch {
    return undefined;
  }
}
