import type { GcRequest } from "../../cni/plugin.ts";
import { attachmentKey, hostVethName, parseMark } from "../../kernel/mark.ts";
import { getLink, type Link, listLinks } from "../../kernel/rtnetlink/link.ts";
import type { RouteSocket } from "../../kernel/rtnetlink/socket.ts";
import { forgetMacs } from "../interface/neighbours.ts";
import { deleteNetworkRules, pruneRules, whereRulesMatter } from "../interface/rules.ts";
import { listVeths, podMac } from "../interface/veth.ts";
import { Attempts } from "../node/attempts.ts";
import type { NodeMachine } from "../node/machine.ts";
import { deleteEmptyBridge, isOwnBridge } from "./bridge.ts";

/**
 * Removes what this network's attachments left, except of the valid ones: rules, links, then (by IPAM's own GC)
 * addresses. When none is valid, our bridge goes too unless something else is joined to it, and the network's rules.
 * Only links with our mark for this network are touched.
 * @throws AggregateError of all that failed
 */
export async function gc(
  { conf, validAttachments, delegator, log, phases }: GcRequest,
  machine: NodeMachine,
): Promise<void> {
  const attempts = new Attempts();
  const names = validAttachments.map(({ containerId, ifName }) => ({ network: conf.name, containerId, ifName }));
  const keys = new Set(names.map(attachmentKey));
  const links = new Set(names.map(hostVethName));
  phases.enter("link");
  using node = machine.openNode();
  const stale = listVeths(node, conf.name).filter((link) => !links.has(link.name));
  await attempts.try("links", async () => {
    await machine.deleteLinks(stale.map(({ index }) => index));
    forgetPods(node, stale);
  });
  phases.enter("rules");
  await attempts.try("rules", () =>
    whereRulesMatter(conf.raw, log, () => {
      pruneRules(machine, conf.name, keys, (port) => getLink(node, port) !== undefined);
      if (names.length === 0) deleteNetworkRules(machine, conf.name);
    }),
  );
  if (names.length === 0) await attempts.try("bridge", () => deleteOwnBridges(node, conf.name));
  phases.enter("ipam");
  const { ipam } = conf;
  if (ipam !== undefined) await attempts.try("ipam", () => delegator.gc(ipam.type, conf.raw));
  attempts.finish(`GC of network ${conf.name} is not complete`);
}

/** What the node learned of the pods behind links that are gone. */
function forgetPods(node: RouteSocket, links: readonly Link[]): void {
  for (const bridge of new Set(links.map(({ master }) => master))) {
    const marks = links.filter(({ master }) => master === bridge).map(({ alias }) => parseMark(alias));
    const macs = marks.flatMap((mark) => (mark?.role === "veth" ? podMac(mark, { mac: undefined }) : []));
    if (bridge !== undefined) forgetMacs(node, bridge, new Set(macs));
  }
}

/** There is one, or more when the name in the configuration was changed since. */
function deleteOwnBridges(node: RouteSocket, network: string): void {
  for (const link of listLinks(node, { kind: "bridge" })) {
    if (isOwnBridge(link, network)) deleteEmptyBridge(node, link);
  }
}
