import type { DelRequest } from "../../cni/plugin.ts";
import { Attempts } from "./attempts.ts";
import type { BridgeMachine } from "./machine.ts";
import { deletePort } from "./port.ts";
import { deleteRules, whereRulesMatter } from "./rules.ts";

/**
 * Takes the attachment away. Its link and rules are found by names that are derived from the attachment, so neither
 * the namespace nor prevResult nor a sane configuration is needed, and twice is as good as once. Both are tried; the
 * address is given back when they are gone, not before: the next pod to get it must not meet them.
 * @throws AggregateError of all that failed, or IPAM's own error
 */
export async function del(
  { conf, attachment, delegator, log, phases }: DelRequest,
  machine: BridgeMachine,
): Promise<void> {
  const name = { network: conf.name, containerId: attachment.containerId, ifName: attachment.ifName };
  const attempts = new Attempts();
  phases.enter("link");
  await attempts.try("link", () => deletePort(name, machine));
  phases.enter("rules");
  await attempts.try("rules", () => whereRulesMatter(conf.raw, log, () => deleteRules(machine, name)));
  attempts.finish(`DEL of ${name.ifName} of ${name.containerId} is not complete, and its addresses are kept`);
  phases.enter("ipam");
  if (conf.ipam !== undefined) await delegator.del(conf.ipam.type, conf.raw);
}
