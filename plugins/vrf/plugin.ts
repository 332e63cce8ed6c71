import { interfaceNameProblem } from "../../cni/attachment.ts";
import { CniError, Code, messageOf } from "../../cni/error.ts";
import type { CheckRequest, DelRequest, Plugin, StatusRequest } from "../../cni/plugin.ts";
import type { Result } from "../../cni/result.ts";
import { lockDescriptor } from "../../kernel/flock.ts";
import { NetlinkError } from "../../kernel/netlink/error.ts";
import { deleteLink, getLink, type Link } from "../../kernel/rtnetlink/link.ts";
import { openRoute, type RouteSocket } from "../../kernel/rtnetlink/socket.ts";
import { type ChainedAddRequest, chained } from "../chained/chained.ts";
import { Differences } from "../interface/check.ts";
import { requireKind } from "../interface/pod-link.ts";
import type { NodeMachine } from "../node/machine.ts";
import { findPodNetns, openPodNetns } from "../pod-netns.ts";
import { decodeVrfConf, type VrfConf } from "./conf.ts";
import { enslave, ensureVrf, release } from "./vrf.ts";

/**
 * Puts the pod's interface into a VRF, a routing domain of its own. All that it makes is in the pod's namespace and ends with
 * it, so GC has nothing to do.
 */
export function makeVrfPlugin(machine: Pick<NodeMachine, "openNode">): Plugin {
  return chained({ name: "vrf", add, check, del, status: (request) => status(request, machine) });
}

/** @throws CniError 7 for what cannot be, 4 when the interface is not there, 101 when the kernel has no VRFs */
async function add({ conf: netConf, attachment, log, phases }: ChainedAddRequest): Promise<Result | undefined> {
  const conf = decodeVrfConf(netConf);
  phases.enter("netns");
  using netns = openPodNetns(attachment);
  using rt = openRoute(netns);
  phases.enter("pod");
  using _lock = lockDescriptor(netns.fd, netns.path); // two interfaces may join at the same moment
  const undos: (() => void)[] = [];
  try {
    join(rt, attachment.ifName, conf, netConf.name, undos);
  } catch (error) {
    for (const undo of undos.toReversed()) {
      try {
        undo();
      } catch (failure) {
        log.warn("could not undo a step of a failed operation", { error: messageOf(failure) });
      }
    }
    if (!(error instanceof NetlinkError)) throw error;
    throw new CniError(Code.invalidConfig, `vrfname: "${conf.vrfName}": refused by the kernel: ${error.message}`, {
      cause: error,
    });
  }
  return undefined;
}

function join(rt: RouteSocket, ifName: string, conf: VrfConf, network: string, undos: (() => void)[]): void {
  const link = getLink(rt, ifName);
  if (link === undefined) {
    throw new CniError(Code.invalidEnvironment, `CNI_IFNAME "${ifName}" does not exist in the pod`);
  }
  refuseMaster(rt, link);
  const { link: vrf, made } = ensureVrf(rt, conf, network);
  if (made) undos.push(() => deleteLink(rt, vrf.index, { missingOk: true }));
  enslave(rt, link, vrf, undos);
}

function refuseMaster(rt: RouteSocket, { name, master }: Link): void {
  if (master === undefined) return;
  const owner = getLink(rt, master)?.name ?? `link ${master}`;
  throw new CniError(Code.invalidEnvironment, `CNI_IFNAME "${name}" belongs to ${owner} already; take it out first`);
}

/** @throws CniError 100 that lists what differs */
async function check({ conf: netConf, attachment }: CheckRequest): Promise<void> {
  const { vrfName, table } = decodeVrfConf(netConf);
  const differences = new Differences();
  const { report } = differences;
  using netns = openPodNetns(attachment);
  using rt = openRoute(netns);
  const vrf = getLink(rt, vrfName);
  const link = getLink(rt, attachment.ifName);
  if (vrf?.kind !== "vrf") report("vrf", vrfName, vrf?.kind);
  else {
    if (!vrf.up) report(vrfName, "up", "down");
    if (table !== undefined && vrf.vrf?.table !== table) report(`table of ${vrfName}`, table, vrf.vrf?.table);
    if (link?.master !== vrf.index) {
      const master = link?.master === undefined ? undefined : (getLink(rt, link.master)?.name ?? link.master);
      report(`master of ${attachment.ifName}`, vrfName, master);
    }
  }
  differences.refuse(attachment);
}

async function del({ conf, attachment, log }: DelRequest): Promise<void> {
  const { vrfname } = conf.raw;
  if (typeof vrfname !== "string" || interfaceNameProblem(vrfname) !== undefined) return; // no ADD has come far with it
  using netns = findPodNetns(attachment);
  if (netns === undefined) return;
  using rt = openRoute(netns);
  using _lock = lockDescriptor(netns.fd, netns.path);
  release(rt, attachment.ifName, vrfname, log);
}

/** @throws CniError 7 for the configuration, 50 when the kernel has no VRFs */
async function status({ conf }: StatusRequest, machine: Pick<NodeMachine, "openNode">): Promise<void> {
  decodeVrfConf(conf);
  using node = machine.openNode();
  requireKind(node, "vrf");
}
