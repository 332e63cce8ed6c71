import type { DelRequest } from "../../cni/plugin.ts";
import type { AttachmentName } from "../../kernel/mark.ts";
import { openRoute } from "../../kernel/rtnetlink/socket.ts";
import { Attempts } from "./attempts.ts";
import { deletePort } from "./port.ts";
import { deleteRules, whereRulesMatter } from "./rules.ts";

/**
 * Takes the attachment away. Its link and rules are found by names that are derived from the attachment, so neither
 * the namespace nor prevResult nor a sane configuration is needed, and twice is as good as once. Both are tried; the
 * address is given back when they are gone, not before: the next pod to get it must not meet them.
 * @throws AggregateError of all that failed, or IPAM's own error
 */
export async function del({ conf, attachment, delegator, log }: DelRequest): Promise<void> {
  const name = { network: conf.name, containerId: attachment.containerId, ifName: attachment.ifName };
  const attempts = new Attempts();
  await attempts.try("link", () => removePort(name));
  await attempts.try("rules", () => whereRulesMatter(conf.raw, log, () => deleteRules(name)));
  attempts.finish(`DEL of ${name.ifName} of ${name.containerId} is not complete, and its addresses are kept`);
  if (conf.ipam !== undefined) await delegator.del(conf.ipam.type, conf.raw);
}

function removePort(name: AttachmentName): void {
  using node = openRoute();
  deletePort(node, name);
}
