import { CniError, Code, messageOf } from "../../cni/error.ts";
import type { DelRequest, StatusRequest } from "../../cni/plugin.ts";
import type { Result } from "../../cni/result.ts";
import { lockDescriptor } from "../../kernel/flock.ts";
import { NetlinkError } from "../../kernel/netlink/error.ts";
import { listAddresses } from "../../kernel/rtnetlink/address.ts";
import { getLink } from "../../kernel/rtnetlink/link.ts";
import { deleteRule } from "../../kernel/rtnetlink/rule.ts";
import { openRoute } from "../../kernel/rtnetlink/socket.ts";
import type { Address } from "../../net/address.ts";
import { prefixAddress } from "../../net/prefix.ts";
import { type ChainedAddRequest, chained } from "../chained/chained.ts";
import { ownIps } from "../chained/result.ts";
import { findPodNetns, openPodNetns } from "../pod-netns.ts";
import { check } from "./check.ts";
import { decodeSbrConf } from "./conf.ts";
import { addRules, listOwnRules, moveRoutes, moveRoutesBack, type Undos } from "./tables.ts";

/**
 * Source based routing: what is sent from an address of the interface goes by the interface's own routes. All that it makes is
 * in the pod's namespace and ends with it, so GC has nothing to do.
 */
export const sbr = chained({ name: "sbr", add, check, del, status });

/**
 * Tables are chosen and filled under a lock of the namespace, because another interface may be added at the same moment.
 * @throws CniError 7 for what cannot be, 4 when the interface is not there; then all is as it was
 */
async function add({ conf: netConf, attachment, log, phases }: ChainedAddRequest): Promise<Result | undefined> {
  const conf = decodeSbrConf(netConf);
  const { ifName } = attachment;
  const ips = ownIps(netConf.prevResult, ifName);
  if (ips.length === 0) {
    throw new CniError(Code.invalidConfig, `prevResult.ips: none is of ${ifName}, so there is no source to route by`);
  }
  phases.enter("netns");
  using netns = openPodNetns(attachment);
  using rt = openRoute(netns);
  phases.enter("pod");
  const link = getLink(rt, ifName);
  if (link === undefined) {
    throw new CniError(Code.invalidEnvironment, `CNI_IFNAME "${ifName}" does not exist in ${attachment.netns}`);
  }
  using _lock = lockDescriptor(netns.fd, netns.path);
  const undos: Undos = [];
  try {
    if (conf.table === undefined) moveRoutes(rt, link.index, ips, conf, undos);
    else addRules(rt, ips, conf.table, undos);
  } catch (error) {
    takeBack(undos, log);
    if (!(error instanceof NetlinkError)) throw error;
    throw new CniError(Code.invalidConfig, `sbr of ${ifName} is refused by the kernel: ${error.message}`, {
      cause: error,
    });
  }
  return undefined;
}

/** All at once, for the lock is held. */
function takeBack(undos: Undos, log: StatusRequest["log"]): void {
  for (const undo of undos.toReversed()) {
    try {
      undo();
    } catch (error) {
      log.warn("could not undo a step of a failed operation", { error: messageOf(error) });
    }
  }
}

/**
 * Removes the rules of the attachment: those of addresses that the interface has or had, and those of addresses that no interface
 * has any more. Routes that ADD moved are put back, unless they are gone with the interface.
 */
async function del({ conf, attachment }: DelRequest): Promise<void> {
  using netns = findPodNetns(attachment);
  if (netns === undefined) return;
  using rt = openRoute(netns);
  const rules = listOwnRules(rt);
  if (rules.length === 0) return;
  const link = getLink(rt, attachment.ifName);
  const all = listAddresses(rt);
  const told = conf.prevResult === undefined ? [] : ownIps(conf.prevResult, attachment.ifName);
  const own = [...all.filter(({ index }) => index === link?.index), ...told].map(({ address }) =>
    prefixAddress(address),
  );
  const present = new Set<Address>(all.map(({ address }) => prefixAddress(address)));
  const ended = rules.filter(({ source }) => own.includes(source) || !present.has(source));
  using _lock = lockDescriptor(netns.fd, netns.path);
  if (link !== undefined && conf.raw.table === undefined) {
    const tables = ended.filter(({ source }) => own.includes(source)).flatMap(({ table }) => table ?? []);
    moveRoutesBack(rt, link.index, new Set(tables));
  }
  for (const { source: _source, ...rule } of ended) deleteRule(rt, rule, { missingOk: true });
}

/** @throws CniError 7 */
async function status({ conf }: StatusRequest): Promise<void> {
  decodeSbrConf(conf);
}
