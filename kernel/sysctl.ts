import { readFileSync, writeFileSync } from "node:fs";
import { inNetns, type Netns } from "./netns.ts";

export interface SysctlOptions {
  /** Whose net/… keys are meant: an open namespace or its path; this thread's when absent. */
  readonly netns?: Netns | string | undefined;
}

/**
 * Reads /proc/sys/KEY without the newline. Keys are written with slashes (`net/ipv4/conf/eth0.100/accept_ra`), so that
 * interface names may hold dots.
 * @throws an error with code ENOENT when the kernel or the interface has no such key
 */
export function readSysctl(key: string, options: SysctlOptions = {}): string {
  const path = sysctlPath(key);
  return inNetns(options.netns, () => readFileSync(path, "utf8").trim());
}

/** Writes /proc/sys/KEY when it holds something else, and says whether it did. @throws as {@link readSysctl} */
export function writeSysctl(key: string, value: string | number, options: SysctlOptions = {}): boolean {
  const path = sysctlPath(key);
  const text = String(value);
  return inNetns(options.netns, () => {
    if (readFileSync(path, "utf8").trim().replace(/\s+/g, " ") === text) return false;
    writeFileSync(path, text);
    return true;
  });
}

function sysctlPath(key: string): string {
  const parts = key.split("/");
  if (parts.some((part) => part === "" || part === "." || part === ".." || part.includes("\0"))) {
    throw new RangeError(`"${key}" is not a sysctl key such as net/ipv4/ip_forward`);
  }
  return `/proc/sys/${key}`;
}
