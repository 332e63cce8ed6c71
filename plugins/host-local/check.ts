import { constants } from "node:fs";
import { dirname, join } from "node:path";
import { CniError, Code } from "../../cni/error.ts";
import type { CheckRequest, StatusRequest } from "../../cni/plugin.ts";
import { formatUsage, usage } from "../../ipam/allocator.ts";
import { type FileOps, hasCode } from "../../ipam/files.ts";
import { rangeOf } from "../../ipam/range.ts";
import { prefixAddress } from "../../net/prefix.ts";
import { diskOptions, type Machine } from "./machine.ts";

/** CHECK's answer when the reservation is not as ADD left it. */
export const RESERVATION_LOST = 100;

/**
 * Compares the attachment's reservations with prevResult.
 * @throws CniError 100 when there is none, one is missing, or one is not in prevResult.
 */
export async function check(request: CheckRequest, machine: Machine): Promise<void> {
  const { conf, attachment } = request;
  const { sets, dataDir } = machine.decodeConf(conf);
  const options = diskOptions(machine, request, dataDir);
  const held = machine.reservations(options, false, (store) => store.held(attachment)) ?? [];
  const who = `CNI_CONTAINERID ${attachment.containerId} with CNI_IFNAME ${attachment.ifName}`;
  const folder = join(dataDir, conf.name);
  if (held.length === 0) throw lost(`${who} holds no address in "${folder}"`);

  const known = conf.prevResult.ips.map(({ address }) => prefixAddress(address));
  const ours = known.filter((address) => sets.some((set) => rangeOf(set, address) !== undefined));
  const missing = ours.filter((address) => !held.includes(address));
  if (missing.length > 0) throw lost(`${who} does not hold ${missing.join(", ")} of prevResult.ips in "${folder}"`);
  const surplus = held.filter((address) => !known.includes(address));
  if (surplus.length > 0) throw lost(`${who} holds ${surplus.join(", ")} in "${folder}", not in prevResult.ips`);
}

/**
 * Says whether ADD would find an address.
 * @throws CniError 50 when a range set is exhausted or reservations cannot be written; 7 for a wrong configuration.
 */
export async function status(request: StatusRequest, machine: Machine): Promise<void> {
  const { sets, dataDir } = machine.decodeConf(request.conf);
  const folder = join(dataDir, request.conf.name);
  requireWritable(machine.files, folder);
  const all = machine.reservations(diskOptions(machine, request, dataDir), false, (store) => usage(sets, store)) ?? [];
  const full = all.filter(({ taken, size }) => BigInt(taken) >= size);
  if (full.length === 0) return;
  throw new CniError(
    Code.notAvailable,
    `no address is left in ${full.map(formatUsage).join("; ")}: delete attachments, run GC, or widen ipam.ranges`,
  );
}

/** The folder, or the nearest one above it that exists, must let us make files. */
function requireWritable(files: FileOps, folder: string): void {
  try {
    files.accessSync(folder, constants.W_OK | constants.X_OK);
  } catch (error) {
    if (hasCode(error, "ENOENT") && folder !== "/") {
      requireWritable(files, dirname(folder));
      return;
    }
    throw new CniError(Code.notAvailable, `ipam.dataDir: reservations cannot be written in "${folder}"`, {
      cause: error,
    });
  }
}

function lost(message: string): CniError {
  return new CniError(RESERVATION_LOST, `${message}: delete the attachment and add it again`);
}
