import { closeSync, constants, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { inNetns, type Netns } from "./netns.ts";

/** Else a key that does not exist is EACCES, for none can be made. */
const EXISTING = { flag: "r+" } as const;

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
    writeFileSync(path, text, EXISTING);
    return true;
  });
}

/**
 * Writes /proc/sys/KEY in this thread's namespace without looking first: for a link just made, which has the defaults, and for keys
 * that nobody may read.
 * @throws as {@link readSysctl}
 */
export function setSysctl(key: string, value: string | number): void {
  const file = openSync(sysctlPath(key), constants.O_WRONLY);
  try {
    writeSync(file, String(value));
  } finally {
    closeSync(file);
  }
}

/**
 * {@link setSysctl} for net/ipv6/conf/LINK, all that the kernel knows: nothing where it has no IPv6.
 * @param link the link's name
 */
export function setIpv6Conf(link: string, values: Readonly<Record<string, number>>): void {
  for (const key in values) {
    try {
      setSysctl(`net/ipv6/conf/${link}/${key}`, values[key] ?? 0);
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
    }
  }
}

/** The key's file. @throws RangeError when it is no key */
export function sysctlPath(key: string): string {
  const parts = key.split("/");
  if (parts.some((part) => part === "" || part === "." || part === ".." || part.includes("\0"))) {
    throw new RangeError(`"${key}" is not a sysctl key such as net/ipv4/ip_forward`);
  }
  return `/proc/sys/${key}`;
}
