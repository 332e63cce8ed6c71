import type { CheckRequest } from "../../cni/plugin.ts";
import { bridgeDifference } from "../../firewall/forwarding.ts";
import { Differences } from "../interface/check.ts";
import { elementProblems } from "../node/elements.ts";
import type { NodeMachine } from "../node/machine.ts";
import { decodeFirewallConf } from "./conf.ts";
import { forwarded, forwardingPart } from "./pods.ts";

/**
 * Whether the pod's elements, the policy of its bridge and all that they need are as ADD left them.
 * @throws CniError 100 that lists what is missing
 */
export async function check({ conf: netConf, attachment }: CheckRequest, machine: NodeMachine): Promise<void> {
  const conf = decodeFirewallConf(netConf);
  const name = { network: netConf.name, containerId: attachment.containerId, ifName: attachment.ifName };
  using node = machine.openNode();
  const { elements, bridge } = forwarded(name, conf, netConf.prevResult, node);
  const differences = new Differences();
  differences.add(elementProblems(machine, forwardingPart(conf), elements));
  if (bridge !== undefined) {
    using existing = machine.openNftElements();
    const { missing, excess } = bridgeDifference(existing, bridge);
    if (missing.length + excess.length > 0) {
      differences.add([`ingressPolicy: "${bridge.policy}" is not in force for bridge ${bridge.bridge}`]);
    }
  }
  differences.refuse(name);
}
