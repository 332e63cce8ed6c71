import type { AttachmentId } from "../../cni/attachment.ts";
import { messageOf } from "../../cni/error.ts";
import type { Logger } from "../../cni/log.ts";
import type { DelRequest, GcRequest } from "../../cni/plugin.ts";
import type { LeaseRecord } from "../../dhcp/record.ts";
import type { DhcpMachine } from "./machine.ts";
import { reopenPodLink, whileUp } from "./pod-link.ts";
import { giveBack } from "./release.ts";

/**
 * Gives the lease back while its interface is there, and forgets it in any case; without a lease there is nothing to do.
 * Reads nothing of the configuration but the network's name.
 * @throws CniError 5 when the lease's file cannot be removed
 */
export async function del({ conf, attachment, log }: DelRequest, machine: DhcpMachine): Promise<void> {
  const { containerId, ifName } = attachment;
  await forget({ network: conf.name, containerId, ifName }, machine, log);
}

/**
 * Does the same for the network's leases of attachments that are not valid any more.
 * @throws AggregateError of what could not be removed
 */
export async function gc({ conf, log, validAttachments }: GcRequest, machine: DhcpMachine): Promise<void> {
  const keyOf = ({ containerId, ifName }: AttachmentId) => `${containerId}\n${ifName}`;
  const valid = new Set(validAttachments.map(keyOf));
  const failures: unknown[] = [];
  for (const record of machine.leases.list()) {
    if ("problem" in record) {
      log.warn("a lease's file cannot be read, and stays", { ...record });
      continue;
    }
    if (record.network !== conf.name || valid.has(keyOf(record))) continue;
    try {
      await forget(record, machine, log);
      const { containerId, ifName, address } = record;
      log.info("forgot the lease of an attachment that is gone", { network: conf.name, containerId, ifName, address });
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw new AggregateError(failures, "GC is not complete");
}

/** The file goes first: whoever renews leases must not have this one any more when it is given back. */
async function forget(
  name: Pick<LeaseRecord, "network" | "containerId" | "ifName">,
  machine: DhcpMachine,
  log: Logger,
) {
  const record = machine.leases.read(name);
  if (!machine.leases.remove(name) || record === undefined || record.lost !== undefined) return;
  const { network, containerId, ifName, address, server } = record;
  try {
    using link = reopenPodLink(record);
    if (link !== undefined) return await whileUp(link, async () => giveBack(link, machine, record));
    log.info("the interface is gone, so the lease is not given back, but ends by itself", {
      network,
      containerId,
      ifName,
      address,
      server,
    });
  } catch (error) {
    log.warn("the lease could not be given back, and ends by itself", { network, address, error: messageOf(error) });
  }
}
