import type { NetConf } from "../../cni/conf.ts";
import { CniError, Code } from "../../cni/error.ts";
import type { AddRequest, Delegator } from "../../cni/plugin.ts";
import type { Dns, Interface, Result } from "../../cni/result.ts";
import { UndoStack } from "../../cni/undo.ts";
import { atLeast } from "../../cni/version.ts";
import { type AttachmentName, formatMark } from "../../kernel/mark.ts";
import { isNetlinkError } from "../../kernel/netlink/error.ts";
import { getLink, type Link } from "../../kernel/rtnetlink/link.ts";
import type { RouteSocket } from "../../kernel/rtnetlink/socket.ts";
import { openPodNetns } from "../pod-netns.ts";
import { announce, awaitForwarding } from "./announce.ts";
import { type JoinedBridge, joinBridge } from "./bridge.ts";
import { decodeBridgeConf } from "./conf.ts";
import { awaitDad } from "./dad.ts";
import { type AddressPlan, planAddresses } from "./gateway.ts";
import type { BridgeMachine } from "./machine.ts";
import { configurePod, openPod } from "./pod.ts";
import { addPort, deletePort, type Port, type PortOrder, refuseTakenNames } from "./port.ts";
import { putRules } from "./rules.ts";

/** Where the pod's interface stands in the result: after the bridge and the host's end. */
const POD_INTERFACE = 2;

/**
 * Joins the pod to the bridge. Everything is checked before anything is touched; what a failed ADD made is taken back,
 * the address last, so that nobody gets it while a link or a rule of this pod is still there.
 * @throws CniError 7 for a configuration that cannot be, 4 or 8 for the interface or the namespace, IPAM's own codes
 */
export async function add(
  { conf: netConf, attachment, delegator, log, phases }: AddRequest,
  machine: BridgeMachine,
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
  undo.add(() => deletePort(name, machine)); // ours from here on; before, it may be that of an ADD at the same moment

  phases.enter("ipam");
  const leased = await lease.take();
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
    if (conf.enableDad) await awaitDad(pod, plan.ips);
    announce(pod, port.podMac);
  }
  phases.enter("answer");
  const podEnd = { name: ifName, mac: port.podMac, mtu: port.mtu, sandbox: attachment.netns };
  const interfaces = [...describeLinks(bridge, host, podEnd.name), podEnd];
  undo.commit();
  return makeResult(interfaces, plan, dnsOf(netConf, leased));
}

/** 0.1.0 and 0.2.0 have no words for a result without addresses. */
function refuseInexpressible({ cniVersion, ipam }: NetConf): void {
  if (ipam !== undefined || atLeast(cniVersion, "0.3.0")) return;
  throw new CniError(
    Code.invalidConfig,
    `cniVersion: "${cniVersion}" cannot express a network without addresses; add ipam or use "0.3.0" or newer`,
  );
}

/** Names must fit into the alias by which links are known. */
function refuseLongNames({ network, containerId, ifName }: AttachmentName): void {
  try {
    formatMark({ role: "veth", network, containerId, ifName });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new CniError(Code.invalidConfig, `name: ${JSON.stringify(network)} cannot be used: ${error.message}`);
  }
}

/** A GC or a failing ADD may just have removed a bridge that was idle, or another ADD have made the same attachment. */
function joinPort(node: RouteSocket, order: PortOrder, refuseTaken: () => void): Port {
  try {
    return addPort(node, order);
  } catch (error) {
    if (isNetlinkError(error, "EEXIST")) refuseTaken();
    if (getLink(node, order.bridge) !== undefined) throw error;
    throw new CniError(Code.tryAgainLater, "the bridge was removed by somebody else meanwhile; run ADD again", {
      cause: error,
    });
  }
}

/** The addresses of the pod. `release` does nothing until they have been taken. */
function ipamLease(
  { ipam, raw }: NetConf,
  delegator: Delegator,
): { take: () => Promise<Result | undefined>; release: () => Promise<void> } {
  let taken = false;
  return {
    async take() {
      if (ipam === undefined) return undefined;
      const result = await delegator.add(ipam.type, raw);
      taken = true;
      return result;
    },
    async release() {
      if (ipam !== undefined && taken) await delegator.del(ipam.type, raw);
    },
  };
}

/** What the runtime calls the pod, for the link's alias; white space would break that. */
function podOf(args: Readonly<Record<string, string>>): { namespace: string; name: string } | undefined {
  const { K8S_POD_NAMESPACE: namespace, K8S_POD_NAME: name } = args;
  if (!namespace || !name || /[\s/]/.test(namespace) || /\s/.test(name)) return undefined;
  return { namespace, name };
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

function dnsOf({ dns }: NetConf, leased: Result | undefined): Dns | undefined {
  const said = dns !== undefined && Object.values(dns).some((value) => value !== undefined && value.length > 0);
  return said ? dns : leased?.dns;
}

function makeResult(interfaces: readonly Interface[], plan: AddressPlan | undefined, dns: Dns | undefined): Result {
  const { ips = [], routes = [] } = plan ?? {};
  return { interfaces, ips, routes, ...(dns === undefined ? {} : { dns }) };
}
