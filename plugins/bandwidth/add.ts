import { CniError, Code } from "../../cni/error.ts";
import type { Result } from "../../cni/result.ts";
import { UndoStack } from "../../cni/undo.ts";
import type { AttachmentName } from "../../kernel/mark.ts";
import { isNetlinkError, NetlinkError } from "../../kernel/netlink/error.ts";
import { getLink, type Link } from "../../kernel/rtnetlink/link.ts";
import type { RouteSocket } from "../../kernel/rtnetlink/socket.ts";
import type { ChainedAddRequest } from "../chained/chained.ts";
import type { NodeMachine } from "../node/machine.ts";
import { openPodNetns } from "../pod-netns.ts";
import { decodeBandwidthConf } from "./conf.ts";
import { addIfb, findIfb, requireHostEnd } from "./links.ts";
import { redirect, type Shape, shape, undoRedirect, unshape } from "./shape.ts";

/**
 * Shapes what leaves the host's end, which is what the pod gets, and what the pod sends by way of an IFB, because a link
 * can hold back only what goes out by it. Makes everything or nothing.
 * @throws CniError 7 for what cannot be, 101 when the kernel lacks a qdisc, the filter or the kind of link
 */
export async function add(
  { conf: netConf, attachment, log, phases }: ChainedAddRequest,
  machine: NodeMachine,
): Promise<Result | undefined> {
  const { ingress, egress, subnets } = decodeBandwidthConf(netConf);
  if (ingress === undefined && egress === undefined) return undefined;
  const name = { network: netConf.name, containerId: attachment.containerId, ifName: attachment.ifName };
  phases.enter("netns");
  using netns = openPodNetns(attachment);
  using node = machine.openNode();
  phases.enter("link");
  const host = requireHostEnd(node, netns, name, netConf.prevResult);
  await using undo = new UndoStack(log);
  if (ingress !== undefined) {
    undo.add(() => unshape(node, host.index));
    attempt(host, () => shape(node, host, { rate: ingress, subnets, remote: "source" }));
  }
  if (egress === undefined) {
    undo.commit();
    return undefined;
  }
  await removeStale(node, name, machine);
  const ifb = attempt(host, () => addIfb(node, name, host));
  undo.add(() => machine.deleteLinks([ifb.index]));
  undo.add(() => undoRedirect(node, host.index));
  attempt(host, () => shapeEgress(node, host, ifb, { rate: egress, subnets, remote: "destination" }));
  phases.enter("answer");
  const { mac, mtu } = getLink(node, ifb.index) ?? ifb;
  undo.commit();
  const { prevResult } = netConf;
  const added = { name: ifb.name, mtu, ...(mac === undefined ? {} : { mac }) };
  return { ...prevResult, interfaces: [...prevResult.interfaces, added] };
}

/** Shaped before anything is sent there. */
function shapeEgress(node: RouteSocket, host: Link, ifb: Link, wanted: Shape): void {
  shape(node, ifb, wanted);
  redirect(node, host.index, ifb.index);
}

/** An ADD that was not followed by a DEL may have left one. */
async function removeStale(node: RouteSocket, name: AttachmentName, machine: NodeMachine): Promise<void> {
  const stale = findIfb(node, name);
  if (stale !== undefined) await machine.deleteLinks([stale.index]);
}

/** What a message is about when the kernel does not know it. */
const OPTIONS = {
  "RTM_NEWLINK pwi": "CONFIG_IFB",
  "RTM_NEWQDISC tbf": "CONFIG_NET_SCH_TBF",
  "RTM_NEWQDISC htb": "CONFIG_NET_SCH_HTB",
  "RTM_NEWQDISC ingress": "CONFIG_NET_SCH_INGRESS",
  "RTM_NEWTFILTER u32": "CONFIG_NET_CLS_U32 and CONFIG_NET_ACT_MIRRED",
} as const;

function attempt<T>(host: Link, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
    throw explain(error, host);
  }
}

function explain(error: NetlinkError, host: Link): CniError {
  const unknown = isNetlinkError(error, "EOPNOTSUPP", "ENOENT");
  const lacking = Object.entries(OPTIONS).find(([request]) => unknown && error.request.startsWith(request));
  if (lacking !== undefined) {
    const [, option] = lacking;
    return new CniError(Code.lackingKernel, `this kernel lacks ${option}: ${error.message}`, { cause: error });
  }
  const text = `shaping ${host.name} is refused by the kernel: ${error.message}`;
  const taken = error.code === "EEXIST" && error.request.startsWith("RTM_NEWQDISC");
  const hint = taken ? `; somebody else's queueing discipline hangs there: remove it, or this plugin` : "";
  return new CniError(Code.invalidConfig, `${text}${hint}`, { cause: error });
}
