import type { NetConf } from "../../cni/conf.ts";
import { CniError, Code } from "../../cni/error.ts";
import type { AddRequest } from "../../cni/plugin.ts";
import type { Interface, Result } from "../../cni/result.ts";
import { UndoStack } from "../../cni/undo.ts";
import { isNetlinkError } from "../../kernel/netlink/error.ts";
import type { Netns } from "../../kernel/netns.ts";
import { openRoute } from "../../kernel/rtnetlink/socket.ts";
import type { NodeMachine } from "../node/machine.ts";
import { openPodNetns } from "../pod-netns.ts";
import { aliasOf, podOf, refuseInexpressible } from "./attachment.ts";
import type { InterfaceConf, InterfaceDesign, Made, Place } from "./design.ts";
import { awaitGroups } from "./groups.ts";
import { dnsOf, giveBackLease, ipamLease, makeResult } from "./lease.ts";
import { type AddressPlan, planAddresses } from "./plan.ts";
import { configurePod, openPod } from "./pod.ts";
import { putRules } from "./rules.ts";
import { refuseTakenNames } from "./veth.ts";

/** No gateway is the node's own address here. */
const NO_GATEWAY = { isGateway: false, isDefaultGateway: false } as const;

/**
 * ADD: the interface, its addresses, its routes. Everything is checked before anything is touched; what a failed ADD made is
 * taken back, the address last, so that nobody gets it while a link or a rule of this pod is still there.
 * @throws CniError 7 for a configuration that cannot be, 4 or 8 for the interface or the namespace, 101 for what the kernel
 * lacks, IPAM's own codes
 */
export async function attach<C extends InterfaceConf>(
  design: InterfaceDesign<C>,
  { conf: netConf, attachment, delegator, log, phases }: AddRequest,
  machine: NodeMachine,
): Promise<Result> {
  const conf = design.decode(netConf, attachment);
  const inherited = netConf.ipam === undefined ? design.inherited?.(netConf) : undefined;
  if (inherited === undefined) requireAddresses(design, netConf);
  const name = { network: netConf.name, containerId: attachment.containerId, ifName: attachment.ifName };
  aliasOf({ role: "interface", ...name });
  if (conf.ipMasq && conf.ipMasqBackend === "iptables") {
    log.warn("ipMasqBackend: iptables is not used; nftables masquerades instead", { network: netConf.name });
  }
  phases.enter("netns");
  using netns = openPodNetns(attachment);
  using node = machine.openNode();
  using pod = openRoute(netns);
  const place: Place = { name, podName: podOf(attachment.args), netConf, netns, node, pod, machine, log };
  refuseTakenNames(node, netns, name);

  phases.enter("link");
  await using undo = new UndoStack(log);
  const lease = ipamLease(netConf, delegator);
  undo.add(lease.release);
  const made = make(design, place, conf);
  if (made !== undefined) undo.add(() => made.remove());

  phases.enter("ipam");
  const leased = inherited ?? (await lease.take());
  if (inherited === undefined) undo.add(() => giveBackLease(netConf, delegator, log));
  const interfaces = made === undefined ? [] : describe(made, name.ifName, attachment.netns);
  const plan = leased === undefined ? undefined : planAddresses(leased, NO_GATEWAY, interfaces.length - 1);
  if (made !== undefined) {
    phases.enter("rules");
    undo.add(serve(place, conf, made, plan));
    phases.enter("pod");
    await configure(netns, name.ifName, made, plan, design);
  }
  phases.enter("answer");
  undo.commit();
  return makeResult(interfaces, made === undefined ? withoutInterface(plan) : plan, dnsOf(netConf, leased));
}

function requireAddresses<C extends InterfaceConf>({ name, needsAddresses }: InterfaceDesign<C>, conf: NetConf): void {
  refuseInexpressible(conf);
  if (!needsAddresses || conf.ipam !== undefined) return;
  throw new CniError(Code.invalidConfig, `ipam is missing; ${name} gives an interface for the sake of its addresses`);
}

function make<C extends InterfaceConf>(design: InterfaceDesign<C>, place: Place, conf: C): Made | undefined {
  try {
    return design.make(place, conf);
  } catch (error) {
    if (isNetlinkError(error, "EEXIST")) refuseTakenNames(place.node, place.netns, place.name); // since we looked
    throw error;
  }
}

/** The node's part of it. @returns what takes the rules back */
function serve(
  { machine, name }: Place,
  { ipMasq = false }: InterfaceConf,
  made: Made,
  plan: AddressPlan | undefined,
): () => void {
  const { mac } = made.link;
  const addresses = plan?.ips.map(({ address }) => address) ?? [];
  const undoRules = mac === undefined ? () => {} : putRules(machine, name, { mac, addresses, conf: { ipMasq } });
  try {
    if (plan !== undefined) made.serve?.(plan);
  } catch (error) {
    undoRules();
    throw error;
  }
  return undoRules;
}

/** The pod's part of it. */
async function configure(
  netns: Netns,
  ifName: string,
  made: Made,
  plan: AddressPlan | undefined,
  { pointToPoint = false }: { readonly pointToPoint?: boolean },
): Promise<void> {
  const configuresItself = plan === undefined;
  const options = { announceOnUp: true, pointToPoint, configuresItself, withoutIpv4: made.withoutIpv4 ?? false };
  using end = openPod({ netns, ifName, index: made.link.index }, plan?.families ?? [], options);
  configurePod(end, plan, options);
  made.settle?.();
  if (plan !== undefined) await awaitGroups(end, plan.ips);
}

function describe({ link, hostEnd, pciId }: Made, name: string, sandbox: string): readonly Interface[] {
  const { mac, mtu } = link;
  const own: Interface = {
    name,
    ...(mac === undefined ? {} : { mac }),
    mtu,
    sandbox,
    ...(pciId === undefined ? {} : { pciID: pciId }),
  };
  return hostEnd === undefined ? [own] : [hostEnd, own];
}

/** Addresses that no interface of the answer has. */
function withoutInterface(plan: AddressPlan | undefined): AddressPlan | undefined {
  return plan && { ...plan, ips: plan.ips.map(({ interface: _none, ...ip }) => ip) };
}
