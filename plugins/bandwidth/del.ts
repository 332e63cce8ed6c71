import type { DelRequest, GcRequest } from "../../cni/plugin.ts";
import { ifbName } from "../../kernel/mark.ts";
import type { RouteSocket } from "../../kernel/rtnetlink/socket.ts";
import { findVeth } from "../interface/veth.ts";
import { Attempts } from "../node/attempts.ts";
import type { NodeMachine } from "../node/machine.ts";
import { findPodNetns } from "../pod-netns.ts";
import { findIfb, listIfbs, possibleHostEnds } from "./links.ts";
import { undoRedirect, unshape } from "./shape.ts";

/**
 * Takes the limits away. The IFB is found by its name; the host's end, when it is still there, by ours, by the pod's
 * interface or by prevResult, and keeps what is not marked as ours. Neither is needed.
 * @throws AggregateError of all that failed
 */
export async function del({ conf, attachment, phases }: DelRequest, machine: NodeMachine): Promise<void> {
  const name = { network: conf.name, containerId: attachment.containerId, ifName: attachment.ifName };
  const attempts = new Attempts();
  phases.enter("link");
  using netns = findPodNetns(attachment);
  using node = machine.openNode();
  for (const host of possibleHostEnds(node, name, netns, conf.prevResult)) {
    await attempts.try(host.name, () => clear(node, host.index));
  }
  const ifb = findIfb(node, name);
  if (ifb !== undefined) await attempts.try(ifb.name, () => machine.deleteLinks([ifb.index]));
  attempts.finish(`DEL of ${name.ifName} of ${name.containerId} is not complete`);
}

/**
 * Removes the IFBs of this network's attachments that are not valid. The host's ends go with the plugin that made them; one that
 * is still there is cleared first, because what is redirected to a link that is gone is lost.
 * @throws AggregateError of all that failed
 */
export async function gc({ conf, validAttachments, phases }: GcRequest, machine: NodeMachine): Promise<void> {
  const attempts = new Attempts();
  const valid = new Set(validAttachments.map((each) => ifbName({ network: conf.name, ...each })));
  phases.enter("link");
  using node = machine.openNode();
  const stale = listIfbs(node, conf.name).filter(({ link }) => !valid.has(link.name));
  for (const { name } of stale) {
    const host = name === undefined ? undefined : findVeth(node, name);
    if (host !== undefined) await attempts.try(host.name, () => clear(node, host.index));
  }
  await attempts.try("links", () => machine.deleteLinks(stale.map(({ link }) => link.index)));
  attempts.finish(`GC of network ${conf.name} is not complete`);
}

function clear(node: RouteSocket, index: number): void {
  undoRedirect(node, index);
  unshape(node, index);
}
