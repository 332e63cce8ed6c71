import type { CheckRequest } from "../../cni/plugin.ts";
import { ifbName } from "../../kernel/mark.ts";
import type { Link } from "../../kernel/rtnetlink/link.ts";
import type { RouteSocket } from "../../kernel/rtnetlink/socket.ts";
import { getQdisc, listClasses, listFilters, Parent } from "../../kernel/rtnetlink/tc.ts";
import { Differences, type Report } from "../interface/check.ts";
import type { NodeMachine } from "../node/machine.ts";
import { openPodNetns } from "../pod-netns.ts";
import { decodeBandwidthConf, type Rate } from "./conf.ts";
import { findIfb, requireHostEnd } from "./links.ts";
import { QDISC_HANDLE, redirectTarget, type Shape, shapingOf } from "./shape.ts";

/** The kernel's memory of a burst ends here: 2^32 ticks of 64 ns. */
const LONGEST_BURST_SECONDS = 274;
const TICK_SECONDS = 64e-9;

/**
 * Compares rates, bursts, subnets and the redirection with what ADD made.
 * @throws CniError 100 that lists what differs
 */
export async function check({ conf: netConf, attachment }: CheckRequest, machine: NodeMachine): Promise<void> {
  const { ingress, egress, subnets } = decodeBandwidthConf(netConf);
  if (ingress === undefined && egress === undefined) return;
  const name = { network: netConf.name, containerId: attachment.containerId, ifName: attachment.ifName };
  const differences = new Differences();
  const { report } = differences;
  using netns = openPodNetns(attachment);
  using node = machine.openNode();
  const host = requireHostEnd(node, netns, name, netConf.prevResult);
  if (ingress !== undefined) checkShape(node, host, { rate: ingress, subnets, remote: "source" }, report);
  if (egress !== undefined) {
    const ifb = findIfb(node, name);
    if (ifb === undefined) report("link", ifbName(name), undefined);
    else {
      if (!ifb.up) report(ifb.name, "up", "down");
      checkShape(node, ifb, { rate: egress, subnets, remote: "destination" }, report);
      const target = redirectTarget(node, host.index);
      if (target !== ifb.index) report(`redirection of ${host.name}`, `to link ${ifb.index}`, target);
    }
  }
  differences.refuse(attachment);
}

function checkShape(node: RouteSocket, link: Link, wanted: Shape, report: Report): void {
  const { index, name } = link;
  const shaping = shapingOf(link, wanted);
  const qdisc = getQdisc(node, index, Parent.root);
  if (qdisc?.kind !== shaping.kind || qdisc.handle !== QDISC_HANDLE) {
    report(`qdisc of ${name}`, shaping.kind, qdisc?.kind);
    return;
  }
  if (shaping.kind === "tbf") {
    const { limit, ...rate } = qdisc.tbf ?? { rate: 0, burst: 0, limit: 0 };
    checkRate(name, shaping.tbf, rate, report);
    if (limit !== shaping.tbf.limit) report(`limit of ${name}`, shaping.tbf.limit, limit);
    return;
  }
  const { defaultClass } = shaping;
  if (qdisc.htb?.defaultClass !== defaultClass) report(`default of ${name}`, defaultClass, qdisc.htb?.defaultClass);
  const present = listClasses(node, index);
  for (const { handle, htb } of shaping.classes) {
    const found = present.find((each) => each.handle === handle);
    if (found === undefined)
      report(
        `class of ${name}`,
        handle.toString(16),
        present.map((each) => each.handle.toString(16)),
      );
    else checkRate(name, htb, found.htb, report);
  }
  const have = new Set(listFilters(node, { index, parent: QDISC_HANDLE }).map(filterText));
  for (const filter of shaping.filters) {
    const text = filterText(filter);
    if (!have.has(text)) report(`filter of ${name}`, text, [...have]);
  }
}

function checkRate(name: string, wanted: Rate, have: Rate, report: Report): void {
  if (have.rate !== wanted.rate) report(`bytes a second of ${name}`, wanted.rate, have.rate);
  if (wanted.burst === 0 || wanted.burst / wanted.rate > LONGEST_BURST_SECONDS) return;
  const rounding = 1 + wanted.rate * TICK_SECONDS;
  if (Math.abs(have.burst - wanted.burst) > rounding) report(`burst of ${name}`, wanted.burst, have.burst);
}

function filterText({ u32 }: ReturnType<typeof listFilters>[number]): string {
  const keys = u32.keys.map(({ value, mask, offset }) => `${value.toString(16)}/${mask.toString(16)} at ${offset}`);
  return `${keys.join(" ")} to ${u32.classId?.toString(16)}`;
}
