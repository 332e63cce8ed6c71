import { CniError, Code } from "../../cni/error.ts";
import type { CheckRequest } from "../../cni/plugin.ts";
import { getLink } from "../../kernel/rtnetlink/link.ts";
import { openRoute } from "../../kernel/rtnetlink/socket.ts";
import { isLoopback } from "../../net/address.ts";
import { prefixAddress } from "../../net/prefix.ts";
import { openPodNetns } from "../pod-netns.ts";
import { LOOPBACK, loopbackAddresses } from "./link.ts";

/**
 * `lo` is up and has every loopback address of the result.
 * @throws CniError 100 that says what is missing
 */
export async function check({ conf, attachment }: CheckRequest): Promise<void> {
  using netns = openPodNetns(attachment);
  using rt = openRoute(netns);
  if (getLink(rt, LOOPBACK)?.up !== true) {
    throw new CniError(Code.checkFailed, `${LOOPBACK} in ${attachment.netns} is not up`);
  }
  const present = loopbackAddresses(rt);
  const missing = conf.prevResult.ips
    .map((each) => each.address)
    .filter((address) => isLoopback(prefixAddress(address)) && !present.includes(address));
  if (missing.length === 0) return;
  throw new CniError(Code.checkFailed, `${LOOPBACK} in ${attachment.netns} lacks ${missing.join(", ")}`);
}
