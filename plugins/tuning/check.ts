import type { CheckRequest } from "../../cni/plugin.ts";
import { getLink } from "../../kernel/rtnetlink/link.ts";
import { openRoute } from "../../kernel/rtnetlink/socket.ts";
import { Differences } from "../interface/check.ts";
import { openPodNetns } from "../pod-netns.ts";
import { decodeTuningConf } from "./conf.ts";
import { currentValue } from "./sysctl.ts";
import { isEmpty, tuningOf } from "./tune.ts";

/**
 * Compares every value that ADD set with what is there. One that can only be written is not looked at.
 * @throws CniError 100 that lists what differs
 */
export async function check({ conf: netConf, attachment }: CheckRequest): Promise<void> {
  const { sysctls, link: wanted } = decodeTuningConf(netConf, attachment);
  const { ifName } = attachment;
  const differences = new Differences();
  const { report } = differences;
  using netns = openPodNetns(attachment);
  using rt = openRoute(netns);
  for (const order of sysctls) {
    const have = currentValue(order, netns);
    if (have !== undefined && words(have) !== words(order.value)) report(`sysctl ${order.name}`, order.value, have);
  }
  const link = isEmpty(wanted) ? undefined : getLink(rt, ifName);
  if (link === undefined && !isEmpty(wanted)) report("interface", ifName, undefined);
  if (link !== undefined) {
    const have = tuningOf(link, wanted);
    for (const key of Object.keys(wanted) as (keyof typeof wanted)[]) {
      if (wanted[key] !== have[key]) report(`${key} of ${ifName}`, wanted[key], have[key]);
    }
  }
  differences.refuse(attachment);
}

/** The kernel writes tabs between the numbers of a list. */
function words(value: string): string {
  return value.trim().split(/\s+/).join(" ");
}
