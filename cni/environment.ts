import { isAbsolute } from "node:path";
import { parseArgs } from "./args.ts";
import { type Attachment, checkContainerId, checkInterfaceName } from "./attachment.ts";
import { CniError, Code } from "./error.ts";
import type { Command } from "./version.ts";

/** The process environment, or what stands for it. */
export type Env = Readonly<Record<string, string | undefined>>;

/**
 * Which variables each command needs. CNI_PATH is optional where the specification says so; the reference library asks
 * for it always. A delegation without it fails with code 7.
 */
const REQUIRED: Readonly<Record<Command, readonly string[]>> = {
  ADD: ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"],
  CHECK: ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"],
  DEL: ["CNI_CONTAINERID", "CNI_IFNAME"],
  GC: ["CNI_PATH"],
  STATUS: [],
  VERSION: [],
};

/** Whether the text is a command of the specification. */
export function isCommand(text: string): text is Command {
  return Object.hasOwn(REQUIRED, text);
}

/**
 * Checks that every variable the command needs has a value; an empty one counts as missing. A command we do not know
 * needs none: it is refused after the configuration was read, as in the reference library.
 * @throws CniError 4 that names all missing variables at once.
 */
export function requireVariables(env: Env): void {
  const command = env.CNI_COMMAND ?? "";
  const missing = (isCommand(command) ? REQUIRED[command] : []).filter((name) => (env[name] ?? "") === "");
  if (missing.length === 0) return;
  throw new CniError(Code.invalidEnvironment, `required env variables [${missing.join(",")}] missing`);
}

/** Whether the command is about one attachment. */
export function concernsAttachment(command: Command): command is "ADD" | "CHECK" | "DEL" {
  return REQUIRED[command].includes("CNI_CONTAINERID");
}

/**
 * Reads and validates the variables that describe an attachment. CNI_NETNS is only read here; whether it is a namespace
 * is the host's question to the kernel.
 * @throws CniError 3 or 4 that names the variable and its value.
 */
export function readAttachment(env: Env): Attachment {
  const containerId = env.CNI_CONTAINERID ?? "";
  const ifName = env.CNI_IFNAME ?? "";
  checkContainerId(containerId);
  checkInterfaceName(ifName);
  const netns = env.CNI_NETNS ?? "";
  return {
    containerId,
    ifName,
    args: parseArgs(env.CNI_ARGS ?? ""),
    path: readPath(env),
    allowOwnNetns: /^(1|true)$/i.test(env.CNI_NETNS_OVERRIDE ?? ""),
    ...(netns === "" ? {} : { netns }),
  };
}

/**
 * The folders of CNI_PATH.
 * @throws CniError 4 when one is not absolute: it would depend on the folder that the runtime happens to stand in.
 */
export function readPath(env: Env): readonly string[] {
  const folders = (env.CNI_PATH ?? "").split(":").filter((folder) => folder !== "");
  for (const folder of folders) {
    if (isAbsolute(folder) && !folder.includes("\0")) continue;
    throw new CniError(Code.invalidEnvironment, `CNI_PATH: ${JSON.stringify(folder)} is not an absolute path`);
  }
  return folders;
}
