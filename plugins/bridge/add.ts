import { CniError, Code } from "../../cni/error.ts";
import type { AddRequest } from "../../cni/plugin.ts";
import type { Interface, Result } from "../../cni/result.ts";
import { UndoStack } from "../../cni/undo.ts";
import { isNetlinkError } from "../../kernel/netlink/error.ts";
import { getLink, type Link } from "../../kernel/rtnetlink/link.ts";
import type { RouteSocket } from "../../kernel/rtnetlink/socket.ts";
import { announce, awaitForwarding } from "../interface/announce.ts";
import { podOf, refuseInexpressible, refuseLongNames } from "../interface/attachment.ts";
import { awaitDad } from "../interface/dad.ts";
import { awaitGroups } from "../interface/groups.ts";
import { dnsOf, giveBackLease, ipamLease, makeResult } from "../interface/lease.ts";
import { planAddresses } from "../interface/plan.ts";
import { configurePod, openPod } from "../interface/pod.ts";
import { putRules } from "../interface/rules.ts";
import { addVeth, deleteVeth, refuseTakenNames, type Veth, type VethOrder } from "../interface/veth.ts";
import type { NodeMachine } from "../node/machine.ts";
import { openPodNetns } from "../pod-netns.ts";
import { type JoinedBridge, joinBridge } from "./bridge.ts";
import { decodeBridgeConf } from "./conf.ts";

/** Where the pod's interface stands in the result: after the bridge and the host's end. */
const POD_INTERFACE = 2;

/**
 * Joins the pod to the bridge. Everything is checked before anything is touched; what a failed ADD made is taken back,
 * the address last, so that nobody gets it while a link or a rule of this pod is still there.
 * @throws CniError 7 for a configuration that cannot be, 4 or 8 for the interface or the namespace, IPAM's own codes
 */
export async function add(
  { conf: netConf, attachment, delegator, log, phases }: AddRequest,
  machine: NodeMachine,
): Promise<Result> {
  const conf = decodeBridgeConf(netConf, attachment);
  refuseInexpressible(netConf);
  refuseLongNames({ network: netConf.name, ...attachment });
  if (conf.ipMasq && conf.ipMasqBackend === "iptables") {
    log.warn("ipMasqBackend: iptables is not used; nftables masquerades instead", { network: netConf.name });
  }
  const name = { network: netConf.name, containerId: attachment.containerId, ifName: attachment.ifName };
  phases.enter("netns");
  using netns = openPodNetns(attachment);
  using node = machine.openNode();
  const refuseTaken = () => refuseTakenNames(node, netns, name);

  phases.enter("link");
  await using undo = new UndoStack(log);
  const lease = ipamLease(netConf, delegator);
  undo.add(lease.release);
  const bridge = joinBridge(node, conf, netConf.name, refuseTaken);
  undo.add(bridge.leave);
  const order = { attachment: name, pod: podOf(attachment.args), netns, bridge: bridge.link.index, conf };
  const port = joinPort(node, order, refuseTaken);
  undo.add(() => deleteVeth(name, machine)); // ours from here on; before, it may be that of an ADD at the same moment

  phases.enter("ipam");
  const leased = await lease.take();
  undo.add(() => giveBackLease(netConf, delegator, log));
  phases.enter("pod");
  const plan = leased === undefined ? undefined : planAddresses(leased, conf, POD_INTERFACE);
  if (plan !== undefined) bridge.serve(plan);
  phases.enter("rules");
  const addresses = plan?.ips.map(({ address }) => address) ?? [];
  undo.add(putRules(machine, name, { mac: port.podMac, addresses, conf }));
  phases.enter("pod");
  const { ifName } = attachment;
  using pod = openPod({ netns, ifName, index: port.podIndex }, plan?.families ?? [], conf);
  configurePod(pod, plan, conf);

  phases.enter("ready");
  let host: Link | undefined;
  if (plan === undefined) {
    host = getLink(node, port.index);
  } else {
    host = await awaitForwarding(node, bridge.link, port);
    await (conf.enableDad ? awaitDad : awaitGroups)(pod, plan.ips);
    announce(pod, port.podMac);
  }
  phases.enter("answer");
  const podEnd = { name: ifName, mac: port.podMac, mtu: port.mtu, sandbox: attachment.netns };
  const interfaces = [...describeLinks(bridge, host, podEnd.name), podEnd];
  undo.commit();
  return makeResult(interfaces, plan, dnsOf(netConf, leased));
}

/** A GC or a failing ADD may just have removed a bridge that was idle, or another ADD have made the same attachment. */
function joinPort(node: RouteSocket, order: VethOrder & { readonly bridge: number }, refuseTaken: () => void): Veth {
  try {
    return addVeth(node, order);
  } catch (error) {
    if (isNetlinkError(error, "EEXIST")) refuseTaken();
    if (getLink(node, order.bridge) !== undefined) throw error;
    throw new CniError(Code.tryAgainLater, "the bridge was removed by somebody else meanwhile; run ADD again", {
      cause: error,
    });
  }
}

/** Bridge and host's end; what somebody took away meanwhile is an error, not a result. */
function describeLinks({ link, withPort }: JoinedBridge, host: Link | undefined, ifName: string): readonly Interface[] {
  const bridge = host?.master === link.index ? withPort(host) : undefined;
  if (host !== undefined && bridge !== undefined) return [describe(bridge), describe(host)];
  throw new CniError(
    Code.tryAgainLater,
    `bridge "${link.name}" or "${ifName}" on it was removed by somebody else meanwhile; run ADD again`,
  );
}

function describe({ name, mac, mtu }: Link): Interface {
  return { name, mtu, ...(mac === undefined ? {} : { mac }) };
}
