import { join } from "node:path";
import type { Address } from "../net/address.ts";
import type { DiskOptions } from "./disk.ts";
import { removeFile } from "./files.ts";
import { readBoot, writeBoot } from "./folder-index.ts";
import { OUR_MODE } from "./reservation.ts";

/**
 * Frees what was reserved before the reboot, if there was one: the pods' namespaces did not survive it. Certain when the
 * folder has not changed since we last wrote it in an earlier boot; for a file of ours, since we have not reserved anything
 * in this boot; and for one that is older than the boot by a clock that can be trusted. Any other file stays: it may be a live pod's.
 * @param addresses those that have a file
 */
export function noticeReboot(
  { files, boot, warn, network }: DiskOptions,
  folder: string,
  unchanged: boolean,
  addresses: () => Iterable<Address>,
): void {
  const lastBoot = readBoot(files, folder);
  if (lastBoot === boot.id) return;
  const freed: Address[] = [];
  for (const address of addresses()) {
    const path = join(folder, address);
    const { mode, mtimeMs } = files.lstatSync(path);
    const ours = lastBoot !== undefined && (mode & 0o777) === OUR_MODE;
    const older = boot.startedAt !== undefined && mtimeMs < boot.startedAt;
    if (!unchanged && !ours && !older) continue;
    removeFile(files, path);
    freed.push(address);
  }
  writeBoot(files, folder, boot.id);
  if (freed.length > 0) {
    warn("freed addresses reserved before the last reboot", { network, count: freed.length, first: freed[0] });
  }
}
