import type { GcRequest } from "../../cni/plugin.ts";
import { attachmentKey } from "../../kernel/mark.ts";
import { pruneElements } from "../node/elements.ts";
import type { NodeMachine } from "../node/machine.ts";
import { forgetPodsFlows } from "./flows.ts";
import { PORT_MAP } from "./publish.ts";

/** Removes the mappings of this network's attachments, except of the valid ones. */
export async function gc({ conf, validAttachments, log, phases }: GcRequest, machine: NodeMachine): Promise<void> {
  const names = validAttachments.map(({ containerId, ifName }) => ({ network: conf.name, containerId, ifName }));
  phases.enter("rules");
  forgetPodsFlows(pruneElements(machine, PORT_MAP, conf.name, new Set(names.map(attachmentKey))), log);
}
