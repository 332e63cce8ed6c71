import { interfaceNameProblem } from "../../cni/attachment.ts";
import type { JsonObject } from "../../cni/json.ts";
import type { DelRequest } from "../../cni/plugin.ts";
import type { AttachmentName } from "../../kernel/mark.ts";
import { getLink } from "../../kernel/rtnetlink/link.ts";
import { giveBackLease } from "../interface/lease.ts";
import { forgetPod } from "../interface/neighbours.ts";
import { deleteRules, whereRulesMatter } from "../interface/rules.ts";
import { findVeth, podMac } from "../interface/veth.ts";
import { Attempts } from "../node/attempts.ts";
import type { NodeMachine } from "../node/machine.ts";
import { DEFAULT_BRIDGE } from "./conf.ts";

/**
 * Takes the attachment away. Its link and rules are found by names that are derived from the attachment, so neither
 * the namespace nor prevResult nor a sane configuration is needed, and twice is as good as once. All is tried; the
 * address is given back when everything is gone, not before: the next pod to get it must not meet the old one's.
 * @throws AggregateError of all that failed, or IPAM's own error
 */
export async function del(
  { conf, attachment, delegator, log, phases }: DelRequest,
  machine: NodeMachine,
): Promise<void> {
  const name = { network: conf.name, containerId: attachment.containerId, ifName: attachment.ifName };
  const attempts = new Attempts();
  phases.enter("ipam");
  await giveBackLease(conf, delegator, log);
  phases.enter("link");
  await attempts.try("link", () => deleteAttachedLink(name, conf, machine));
  phases.enter("rules");
  await attempts.try("rules", () => whereRulesMatter(conf.raw, log, () => deleteRules(machine, name)));
  attempts.finish(`DEL of ${name.ifName} of ${name.containerId} is not complete, and its addresses are kept`);
  phases.enter("ipam");
  if (conf.ipam !== undefined) await delegator.del(conf.ipam.type, conf.raw);
}

/** Removes both ends, and what the node learned of the pod. A foreign link that happens to have the name stays. */
async function deleteAttachedLink(
  name: AttachmentName,
  { raw, prevResult }: DelRequest["conf"],
  machine: NodeMachine,
): Promise<void> {
  using node = machine.openNode();
  const port = findVeth(node, name);
  if (port !== undefined) await machine.deleteLinks([port.index]);
  const bridge = port?.master ?? getLink(node, bridgeName(raw))?.index;
  if (bridge !== undefined) forgetPod(node, bridge, { mac: podMac(name, { mac: undefined }), result: prevResult });
}

function bridgeName({ bridge }: JsonObject): string {
  return typeof bridge === "string" && interfaceNameProblem(bridge) === undefined ? bridge : DEFAULT_BRIDGE;
}
