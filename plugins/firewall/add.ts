import type { ChainedAddRequest } from "../chained/chained.ts";
import type { NodeMachine } from "../node/machine.ts";
import { decodeFirewallConf } from "./conf.ts";
import { forwarded, putForwarded } from "./pods.ts";

/**
 * Makes the pod's packets pass the administrator's chain, closes its network where the policy says so, and passes
 * prevResult on.
 * @throws CniError 7 for the configuration
 */
export async function add(
  { conf: netConf, attachment, log, phases }: ChainedAddRequest,
  machine: NodeMachine,
): Promise<undefined> {
  const conf = decodeFirewallConf(netConf);
  const { name: network, prevResult } = netConf;
  for (const sentence of conf.unused) log.info(sentence, { network });
  const name = { network, containerId: attachment.containerId, ifName: attachment.ifName };
  phases.enter("rules");
  using node = machine.openNode();
  putForwarded(machine, name, conf, forwarded(name, conf, prevResult, node));
}
