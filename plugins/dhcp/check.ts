import { accessSync, constants } from "node:fs";
import { CniError, Code, messageOf } from "../../cni/error.ts";
import type { CheckRequest, StatusRequest } from "../../cni/plugin.ts";
import { decodeConf } from "./conf.ts";
import type { DhcpMachine } from "./machine.ts";

/**
 * The attachment holds a lease that has not ended, of an address of prevResult.
 * @throws CniError 100 that says what is not so
 */
export async function check({ conf, attachment }: CheckRequest, machine: DhcpMachine): Promise<void> {
  decodeConf(conf, attachment, attachment.args);
  const { containerId, ifName } = attachment;
  const record = machine.leases.read({ network: conf.name, containerId, ifName });
  const who = `CNI_CONTAINERID ${containerId} with CNI_IFNAME ${ifName}`;
  if (record === undefined) throw lost(`${who} holds no lease in "${machine.leases.path}"`);
  const { address, server, expiresAt } = record;
  if (record.lost !== undefined) throw lost(`${who} has lost its lease of ${address}: ${record.lost}`);
  const overMs = expiresAt === undefined ? 0 : machine.now() - expiresAt;
  if (overMs > 0) {
    throw lost(
      `the lease of ${address} from ${server} ended ${Math.round(overMs / 1000)} s ago; see whether podwire-agent runs`,
    );
  }
  if (conf.prevResult.ips.some((each) => each.address === address)) return;
  throw lost(`${who} holds a lease of ${address}, which is not in prevResult.ips`);
}

function lost(message: string): CniError {
  return new CniError(Code.checkFailed, `${message}: delete the attachment and add it again`);
}

/**
 * Says whether a lease could be kept. Whether a server gives one only ADD can tell, over the interface that it is for.
 * Without an agent ADD works, so that is told in the log alone.
 * @throws CniError 50 when leases cannot be written down, 7 for a wrong configuration
 */
export async function status({ conf, log }: StatusRequest, machine: DhcpMachine): Promise<void> {
  decodeConf(conf, { containerId: "", ifName: "" }, {});
  try {
    machine.leases.prepare();
    accessSync(machine.leases.path, constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new CniError(Code.notAvailable, `leases cannot be written in "${machine.leases.path}": ${messageOf(error)}`, {
      cause: error,
    });
  }
  if (machine.leases.kept) return;
  log.warn("leases will not be renewed, because no podwire-agent runs", { network: conf.name });
}
