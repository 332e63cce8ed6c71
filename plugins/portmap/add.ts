import type { ChainedAddRequest } from "../chained/chained.ts";
import { putElements } from "../node/elements.ts";
import type { NodeMachine } from "../node/machine.ts";
import { decodePortmapConf } from "./conf.ts";
import { forgetEarlierFlows } from "./flows.ts";
import { mappingElements, PORT_MAP, podAddresses, unservedFamilies } from "./publish.ts";

/**
 * Maps the ports in one transaction and passes prevResult on.
 * @throws CniError 7 for the configuration, 11 when another attachment has one of the ports
 */
export async function add(
  { conf: netConf, attachment, log, phases }: ChainedAddRequest,
  machine: NodeMachine,
): Promise<undefined> {
  const conf = decodePortmapConf(netConf);
  const { name: network, prevResult } = netConf;
  for (const sentence of conf.unused) log.warn(sentence, { network });
  const name = { network, containerId: attachment.containerId, ifName: attachment.ifName };
  phases.enter("rules");
  const addresses = podAddresses(prevResult, attachment);
  for (const family of unservedFamilies(conf, addresses)) {
    log.warn(`mappings of IPv${family} addresses of the node are left out: the pod has no IPv${family} address`);
  }
  using node = machine.openNode();
  const elements = conf.mappings.length === 0 ? [] : mappingElements(name, conf, addresses, node);
  putElements(machine, PORT_MAP, name, elements);
  forgetEarlierFlows(elements, node, log);
}
