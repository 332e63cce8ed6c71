import type { DelRequest } from "../../cni/plugin.ts";
import { dropElements } from "../node/elements.ts";
import type { NodeMachine } from "../node/machine.ts";
import { forwardingPart } from "./pods.ts";

/** Takes the attachment's elements away, known by its name alone; nothing else is needed, not even a right configuration. */
export async function del({ conf, attachment, phases }: DelRequest, machine: NodeMachine): Promise<void> {
  const name = { network: conf.name, containerId: attachment.containerId, ifName: attachment.ifName };
  phases.enter("rules");
  dropElements(machine, forwardingPart({ adminChain: "", ingressPolicy: "open" }), name);
}
