import type { DelRequest, GcRequest } from "../../cni/plugin.ts";
import { decodeDataDir } from "./conf.ts";
import { diskOptions, type Machine } from "./machine.ts";

/** Frees what the attachment holds; nothing to free is no error. */
export async function del(request: DelRequest, machine: Machine): Promise<void> {
  const options = diskOptions(machine, request, decodeDataDir(request.conf));
  machine.reservations(options, false, (store) => store.releaseAll(request.attachment));
}

/** Frees what no valid attachment holds. An old file that names a container alone is kept while any of its attachments is valid. */
export async function gc(request: GcRequest, machine: Machine): Promise<void> {
  const { conf, log, validAttachments } = request;
  const valid = new Set(validAttachments.map(({ containerId, ifName }) => `${containerId}\n${ifName}`));
  for (const { containerId } of validAttachments) valid.add(`${containerId}\n`);
  const options = diskOptions(machine, request, decodeDataDir(conf));
  const freed = machine.reservations(options, false, (store) =>
    store.prune(({ containerId, ifName }) => valid.has(`${containerId}\n${ifName}`)),
  );
  for (const { address, containerId, ifName } of freed ?? []) {
    log.info("freed the address of an attachment that is gone", { network: conf.name, address, containerId, ifName });
  }
}
