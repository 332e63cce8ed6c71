import { randomBytes } from "node:crypto";
import {
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { boolean, integer, object, optional, record, string } from "../../cni/decode.ts";
import { parseJsonBytes } from "../../cni/json.ts";
import { type AttachmentName, attachmentKey } from "../../kernel/mark.ts";
import { interfaceMac } from "../interface/conf.ts";
import type { LinkTuning } from "./conf.ts";

/** How an attachment's namespace was before it was tuned. */
export interface Before {
  readonly link: LinkTuning;
  /** By key, as below /proc/sys. */
  readonly sysctls: Readonly<Record<string, string>>;
}

/** NAME_MAX of <linux/limits.h>, without room for the name of a file that is being written. */
const LONGEST_NAME = 230;

/** The reference plugin's keys, so that either plugin restores what the other has changed; and ours. */
const fileFormat = object({
  mac: optional(interfaceMac),
  promisc: optional(boolean),
  mtu: optional(integer(0, 0xffffffff)),
  allmulti: optional(boolean),
  txQLen: optional(integer(0, 0xffffffff)),
  sysctl: optional(record(string), {}),
  network: optional(string),
  containerId: optional(string),
  ifName: optional(string),
});

/**
 * The attachment's file: the reference plugin's name, where that is unambiguous; `a_b` with `c` would be `a` with `b_c`.
 */
export function backupPath(folder: string, name: AttachmentName): string {
  const plain = `${name.containerId}_${name.ifName}`;
  const ambiguous = name.containerId.includes("_") || Buffer.byteLength(plain) > LONGEST_NAME;
  return join(folder, `${ambiguous ? attachmentKey(name) : plain}.json`);
}

/** Writes the file, complete or not at all, for root alone. What lies there under its name, a link too, is replaced. */
export function writeBackup(folder: string, name: AttachmentName, { link, sysctls }: Before): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const path = backupPath(folder, name);
  const fresh = `${path}.${randomBytes(6).toString("hex")}`;
  const { mac, promisc, mtu, allMulticast: allmulti, txQueueLength: txQLen } = link;
  const { network, containerId, ifName } = name;
  const text = JSON.stringify({
    ...{ mac, promisc, mtu, allmulti, txQLen },
    ...(Object.keys(sysctls).length === 0 ? {} : { sysctl: sysctls }),
    ...{ network, containerId, ifName },
  });
  const file = openSync(fresh, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
  try {
    writeSync(file, text);
  } finally {
    closeSync(file);
  }
  renameSync(fresh, path);
}

/** What the attachment's file says; undefined when there is none, or none of ours. */
export function readBackup(folder: string, name: AttachmentName): Before | undefined {
  const file = readBackupFile(backupPath(folder, name));
  if (file === undefined) return undefined;
  const { mac, promisc, mtu, allmulti, txQLen } = file;
  return {
    link: {
      ...(mac === undefined ? {} : { mac }),
      ...(promisc === undefined ? {} : { promisc }),
      ...(mtu ? { mtu } : {}),
      ...(allmulti === undefined ? {} : { allMulticast: allmulti }),
      ...(txQLen === undefined ? {} : { txQueueLength: txQLen }),
    },
    sysctls: file.sysctl,
  };
}

function readBackupFile(path: string): ReturnType<typeof fileFormat> | undefined {
  try {
    const file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      return fileFormat(parseJsonBytes(readFileSync(file)), "");
    } finally {
      closeSync(file);
    }
  } catch {
    return undefined; // not there, or nothing that could be restored
  }
}

/** Not being there is no error. */
export function removeBackup(folder: string, name: AttachmentName): void {
  rmSync(backupPath(folder, name), { force: true });
}

/** The attachments of the network whose files lie there. Those of the reference plugin name no network: nobody's here. */
export function listBackups(folder: string, network: string): readonly AttachmentName[] {
  let files: readonly string[];
  try {
    files = readdirSync(folder);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
  return files.flatMap((file) => {
    const said = readBackupFile(join(folder, file));
    if (said?.network !== network || said.containerId === undefined || said.ifName === undefined) return [];
    const { containerId, ifName } = said;
    const name = { network, containerId, ifName };
    return backupPath(folder, name) === join(folder, file) ? [name] : [];
  });
}
