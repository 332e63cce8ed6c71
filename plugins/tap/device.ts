import { existsSync } from "node:fs";
import { CniError, Code } from "../../cni/error.ts";
import { formatMark, networkGroup } from "../../kernel/mark.ts";
import { lackingKind } from "../../kernel/rtnetlink/device-kinds.ts";
import { getLink, type Link, setLink } from "../../kernel/rtnetlink/link.ts";
import type { RouteSocket } from "../../kernel/rtnetlink/socket.ts";
import { canOpenTap, type NewTap, openTap } from "../../kernel/tap.ts";
import type { Report } from "../interface/check.ts";
import type { Facts, Made, Place } from "../interface/design.ts";
import { deletePodLink } from "../interface/pod-link.ts";
import { podMac, refuseTakenNames } from "../interface/veth.ts";
import type { TapConf } from "./plugin.ts";

/** IFLA_INFO_KIND of tun and tap devices. */
export const KIND = "tun";

/**
 * Makes the device in the pod, marked and down. Until it has its mark it goes with this process.
 * @throws CniError 101 when the kernel lacks tap devices or SELinux is asked for, 7 for a bridge that the pod has not
 */
export function makeTap(place: Place, conf: TapConf): Made {
  refuseSelinux(conf);
  const { name, netns, pod, podName } = place;
  const master = conf.bridge === undefined ? undefined : findBridge(pod, conf.bridge).index;
  using tap = open(place, conf);
  const link = getLink(pod, name.ifName);
  if (link === undefined) throw new Error(`${name.ifName} was deleted by somebody else while it was being made`);
  const mac = podMac(name, conf);
  setLink(pod, link.index, {
    mac,
    mtu: conf.mtu,
    master,
    group: networkGroup(name.network),
    alias: formatMark({ role: "interface", ...name, pod: podName }),
  });
  tap.persist();
  const mtu = conf.mtu ?? link.mtu;
  return { link: { index: link.index, mac, mtu }, remove: () => deletePodLink({ ...place, netns }, KIND) };
}

function open({ name, netns, node }: Place, { multiQueue, owner, group }: TapConf): NewTap {
  if (!canOpenTap()) throw new CniError(Code.lackingKernel, `tap: ${lackingKind("tap")}`);
  try {
    return openTap(netns, { name: name.ifName, multiQueue, owner, group });
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EBUSY") refuseTakenNames(node, netns, name);
    throw error;
  }
}

function findBridge(pod: RouteSocket, bridge: string): Link {
  const link = getLink(pod, bridge);
  if (link?.kind === "bridge") return link;
  const what = link === undefined ? "no interface" : `a link of kind ${link.kind ?? "none"}, not a bridge,`;
  throw new CniError(
    Code.invalidConfig,
    `bridge: "${bridge}" is ${what} of the container; make the bridge there first`,
  );
}

/**
 * The kernel labels a tap device with the context of the thread that makes it, whatever sockcreate says, and a process of
 * several threads cannot take another's. Rather than a device with the wrong label there is none.
 */
function refuseSelinux({ selinuxContext }: TapConf): void {
  if (selinuxContext === undefined) return;
  const reason = existsSync("/sys/fs/selinux/enforce")
    ? "a tap device has the context of the program that makes it, and this one starts no other; allow its own instead"
    : "this kernel runs without SELinux (CONFIG_SECURITY_SELINUX)";
  throw new CniError(Code.lackingKernel, `selinuxContext: ${JSON.stringify(selinuxContext)} cannot be had: ${reason}`);
}

/** @throws CniError 50 when ADD could not make a device */
export function requireTap(conf: TapConf): void {
  try {
    refuseSelinux(conf);
  } catch (error) {
    if (error instanceof CniError) throw new CniError(Code.notAvailable, error.message);
    throw error;
  }
  if (!canOpenTap()) throw new CniError(Code.notAvailable, `tap: ${lackingKind("tap")}`);
}

/** Whether the device is still a port of its bridge. */
export function checkBridge({ pod, link }: Facts, { bridge }: TapConf, report: Report): void {
  if (bridge === undefined || link === undefined) return;
  const master = getLink(pod, bridge);
  if (master === undefined || link.master !== master.index) report("bridge", bridge, link.master);
}
