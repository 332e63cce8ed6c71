import type { DelRequest } from "../../cni/plugin.ts";
import { dropElements } from "../node/elements.ts";
import type { NodeMachine } from "../node/machine.ts";
import { forgetPodsFlows } from "./flows.ts";
import { PORT_MAP } from "./publish.ts";

/** Takes the attachment's mappings away, whatever they are: they are known by its name alone, so nothing is needed. */
export async function del({ conf, attachment, log, phases }: DelRequest, machine: NodeMachine): Promise<void> {
  const name = { network: conf.name, containerId: attachment.containerId, ifName: attachment.ifName };
  phases.enter("rules");
  forgetPodsFlows(dropElements(machine, PORT_MAP, name), log);
}
