import type { CheckRequest } from "../../cni/plugin.ts";
import { Differences } from "../interface/check.ts";
import { elementProblems } from "../node/elements.ts";
import type { NodeMachine } from "../node/machine.ts";
import { decodePortmapConf } from "./conf.ts";
import { mappingElements, PORT_MAP, podAddresses } from "./publish.ts";

/**
 * Whether every element and all that they need are as ADD left them.
 * @throws CniError 100 that lists what is missing
 */
export async function check({ conf: netConf, attachment }: CheckRequest, machine: NodeMachine): Promise<void> {
  const conf = decodePortmapConf(netConf);
  const name = { network: netConf.name, containerId: attachment.containerId, ifName: attachment.ifName };
  if (conf.mappings.length === 0) return;
  using node = machine.openNode();
  const wanted = mappingElements(name, conf, podAddresses(netConf.prevResult, attachment), node);
  const differences = new Differences();
  differences.add(elementProblems(machine, PORT_MAP, wanted));
  differences.refuse(name);
}
