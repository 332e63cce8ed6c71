import { readFileSync } from "node:fs";
import { invalid } from "../../cni/decode.ts";
import { CniError, Code, messageOf } from "../../cni/error.ts";
import { inNetns, type Netns } from "../../kernel/netns.ts";
import { readSysctl, setSysctl } from "../../kernel/sysctl.ts";
import type { SysctlOrder } from "./conf.ts";

/** Which sysctls may be set: one regular expression a line. Without the file all of net/ may. */
const ALLOWLIST = "/etc/cni/tuning/allowlist.conf";
/** Stands for the interface's name. */
const PLACEHOLDER = "IFNAME";

/**
 * Reads a sysctl's name as sysctl(8) does: dots separate, unless a slash comes first, and then dots are part of names.
 * @throws CniError 7 for what is not below net/, the one part that belongs to the pod's namespace
 */
export function sysctlOf(name: string, value: string, ifName: string): SysctlOrder {
  const slashed = /^[^.]*\//.test(name) ? name : name.replace(/[./]/g, (each) => (each === "." ? "/" : "."));
  const key = slashed.replace(PLACEHOLDER, () => ifName);
  const parts = key.split("/");
  const sound = parts.length > 1 && parts.every((part) => !["", ".", ".."].includes(part) && !part.includes("\0"));
  if (sound && parts[0] === "net") return { name, key, value };
  throw invalid(`sysctl.${name}`, value, "cannot be set: only keys such as net.core.somaxconn belong to the pod");
}

/**
 * Refuses what the allowlist does not name. An expression that matches anywhere in the name will do, as with the
 * reference plugin.
 * @throws CniError 7
 */
export function refuseUnlisted(sysctls: readonly SysctlOrder[]): void {
  if (sysctls.length === 0) return;
  const allowed = readAllowlist();
  if (allowed === undefined) return;
  for (const { name, value } of sysctls) {
    if (allowed.some((expression) => expression.test(name))) continue;
    throw invalid(`sysctl.${name}`, value, `is not allowed on this node; ${ALLOWLIST} says what is`);
  }
}

function readAllowlist(): readonly RegExp[] | undefined {
  let text: string;
  try {
    text = readFileSync(ALLOWLIST, "utf8");
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    throw new CniError(Code.ioFailure, `${ALLOWLIST} cannot be read: ${messageOf(error)}`, { cause: error });
  }
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "")
    .map((line) => {
      try {
        return new RegExp(line);
      } catch (error) {
        throw new CniError(Code.invalidConfig, `${ALLOWLIST}: ${messageOf(error)}; correct that line`, {
          cause: error,
        });
      }
    });
}

/** The value, undefined for one that can only be written. @throws CniError 7 when there is no such key */
export function currentValue({ name, key, value }: SysctlOrder, netns: Netns): string | undefined {
  try {
    return readSysctl(key, { netns });
  } catch (error) {
    if (hasCode(error, "EACCES", "EPERM")) return undefined;
    if (hasCode(error, "ENOENT", "ENOTDIR", "EISDIR")) {
      throw invalid(`sysctl.${name}`, value, `cannot be set: the pod's kernel has no /proc/sys/${key}`);
    }
    throw error;
  }
}

/** @throws CniError 7 that names key and value when the kernel refuses it */
export function applySysctl({ name, key, value }: SysctlOrder, netns: Netns): void {
  try {
    inNetns(netns, () => setSysctl(key, value));
  } catch (error) {
    throw new CniError(
      Code.invalidConfig,
      `sysctl.${name}: ${JSON.stringify(value)} is refused by the kernel: ${messageOf(error)}`,
      { cause: error },
    );
  }
}

function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && "code" in error && codes.includes(String(error.code));
}
