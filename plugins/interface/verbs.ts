import type { CheckRequest, DelRequest, GcRequest, StatusRequest } from "../../cni/plugin.ts";
import { attachmentKey } from "../../kernel/mark.ts";
import { getLink } from "../../kernel/rtnetlink/link.ts";
import { openRoute } from "../../kernel/rtnetlink/socket.ts";
import { Attempts } from "../node/attempts.ts";
import type { NodeMachine } from "../node/machine.ts";
import { findPodNetns, openPodNetns } from "../pod-netns.ts";
import { available, requireNftables } from "./available.ts";
import { checkInterface, Differences, ownPart } from "./check.ts";
import type { InterfaceConf, InterfaceDesign } from "./design.ts";
import { giveBackLease } from "./lease.ts";
import { deleteNetworkRules, deleteRules, pruneRules, ruleProblems, whereRulesMatter } from "./rules.ts";

/**
 * DEL: takes the attachment away. All is found by names, so neither the namespace nor prevResult nor a sane configuration is
 * needed, and twice is as good as once. All is tried; the address is given back when everything is gone, not before: the next
 * pod to get it must not meet the old one's.
 * @throws AggregateError of all that failed, or IPAM's own error
 */
export async function detach<C extends InterfaceConf>(
  design: InterfaceDesign<C>,
  { conf, attachment, delegator, log, phases }: DelRequest,
  machine: NodeMachine,
): Promise<void> {
  const name = { network: conf.name, containerId: attachment.containerId, ifName: attachment.ifName };
  using netns = findPodNetns(attachment);
  const attempts = new Attempts();
  phases.enter("ipam");
  await giveBackLease(conf, delegator, log);
  phases.enter("link");
  await attempts.try("link", () => design.remove({ name, netns, raw: conf.raw, machine }));
  if (design.masquerades) {
    phases.enter("rules");
    await attempts.try("rules", () => whereRulesMatter(conf.raw, log, () => deleteRules(machine, name)));
  }
  attempts.finish(`DEL of ${name.ifName} of ${name.containerId} is not complete, and its addresses are kept`);
  phases.enter("ipam");
  if (conf.ipam !== undefined) await delegator.del(conf.ipam.type, conf.raw);
}

/**
 * CHECK: compares everything that ADD made with what is there. What ADD did not make, such as more addresses or routes, is
 * other plugins' affair.
 * @throws CniError 100 that lists what differs, IPAM's own error, 7 for a prevResult that is not of this attachment
 */
export async function checkAttachment<C extends InterfaceConf>(
  design: InterfaceDesign<C>,
  { conf: netConf, attachment, delegator }: CheckRequest,
  machine: NodeMachine,
): Promise<void> {
  const conf = design.decode(netConf, attachment);
  if (!design.isWithoutInterface?.(conf)) {
    const name = { network: netConf.name, containerId: attachment.containerId, ifName: attachment.ifName };
    const told = ownPart(netConf.prevResult, attachment.ifName, attachment.netns);
    const differences = new Differences();
    const { report } = differences;
    using netns = openPodNetns(attachment);
    using node = machine.openNode();
    using pod = openRoute(netns);
    const link = checkInterface(pod, { kind: design.kind, up: true }, told, report);
    design.check?.({ name, netConf, node, pod, link, told }, conf, report);
    const addresses = told.ips.map(({ address }) => address);
    if (conf.ipMasq && link?.mac !== undefined) {
      differences.add(ruleProblems(machine, name, { mac: link.mac, addresses, conf: { ipMasq: true } }));
    }
    differences.refuse(name);
  }
  if (netConf.ipam !== undefined) await delegator.check(netConf.ipam.type, netConf.raw);
}

/**
 * GC: removes what this network's attachments left, except of the valid ones: what is on the node, rules, then (by IPAM's own
 * GC) addresses. Interfaces in pods' namespaces are not looked for: those of namespaces that are gone went with them, and
 * the others can be listed by nobody who does not know the namespace. A DEL for the pod, or its end, removes them.
 * @throws AggregateError of all that failed
 */
export async function collect<C extends InterfaceConf>(
  design: InterfaceDesign<C>,
  { conf, validAttachments, delegator, log, phases }: GcRequest,
  machine: NodeMachine,
): Promise<void> {
  const network = conf.name;
  const attempts = new Attempts();
  const valid = validAttachments.map(({ containerId, ifName }) => ({ network, containerId, ifName }));
  const keys = new Set(valid.map(attachmentKey));
  phases.enter("link");
  await attempts.try("links", () => design.collect?.({ network, valid, machine }));
  if (design.masquerades) {
    phases.enter("rules");
    using node = machine.openNode();
    await attempts.try("rules", () =>
      whereRulesMatter(conf.raw, log, () => {
        pruneRules(machine, network, keys, (port) => getLink(node, port) !== undefined);
        if (keys.size === 0) deleteNetworkRules(machine, network);
      }),
    );
  }
  phases.enter("ipam");
  const { ipam } = conf;
  if (ipam !== undefined) await attempts.try("ipam", () => delegator.gc(ipam.type, conf.raw));
  attempts.finish(`GC of network ${network} is not complete`);
}

/**
 * STATUS: whether an ADD could be served: the configuration is right, the kernel answers and has what is needed, and so does
 * IPAM.
 * @throws CniError 7 for the configuration, 50 with the reason, IPAM's own codes
 */
export async function status<C extends InterfaceConf>(
  design: InterfaceDesign<C>,
  { conf: netConf, delegator }: StatusRequest,
  machine: NodeMachine,
): Promise<void> {
  const conf = design.decode(netConf, { args: {} });
  using node = available("netlink", () => machine.openNode());
  design.status?.(node, conf);
  if (conf.ipMasq) requireNftables(machine);
  const { ipam } = netConf;
  if (ipam !== undefined) await delegator.status(ipam.type, netConf.raw);
}
