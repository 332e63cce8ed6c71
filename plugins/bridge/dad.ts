import { CniError, Code } from "../../cni/error.ts";
import type { IpConfig } from "../../cni/result.ts";
import type { Netns } from "../../kernel/netns.ts";
import { type ListedAddress, listAddresses } from "../../kernel/rtnetlink/address.ts";
import { openMonitor, RtnlGroup } from "../../kernel/rtnetlink/monitor.ts";
import { prefixFamily } from "../../net/prefix.ts";
import type { PodEnd } from "./pod.ts";

/** As the reference plugin; RFC 4862 with the kernel's defaults takes one to two seconds. */
const LIMIT_MS = 10_000;

/**
 * Waits until duplicate address detection has accepted the IPv6 addresses, told by the kernel.
 * @throws CniError 7 when another node has one of them, 11 when the kernel has not decided after ten seconds
 */
export async function awaitDad({ netns, rt, ifName, index }: PodEnd, ips: readonly IpConfig[]): Promise<void> {
  const wanted = new Set<string>(ips.map(({ address }) => address).filter((address) => prefixFamily(address) === 6));
  if (wanted.size === 0) return;
  const pending = () =>
    listAddresses(rt, { index, family: 6 }).filter(({ address, tentative }) => tentative && wanted.has(address));

  const left = await settle(netns, pending);
  const [first] = left;
  if (first === undefined) return;
  throw first.dadFailed
    ? new CniError(Code.invalidConfig, `ips: ${first.address} of ${ifName} is in use by another node on the link`)
    : new CniError(
        Code.tryAgainLater,
        `enabledad: ${first.address} of ${ifName} is not yet accepted after ${LIMIT_MS / 1000} s; is the bridge up?`,
      );
}

/** The addresses that are still pending when all have been decided upon, or when the time is over. */
async function settle(netns: Netns, pending: () => readonly ListedAddress[]): Promise<readonly ListedAddress[]> {
  let stop = () => {};
  try {
    return await new Promise((resolve, reject) => {
      const look = () => {
        try {
          const left = pending();
          if (left.every(({ dadFailed }) => dadFailed)) resolve(left);
        } catch (error) {
          reject(error);
        }
      };
      const monitor = openMonitor({ netns, groups: [RtnlGroup.ipv6Address], onMessages: look, onOverrun: look });
      const timer = setTimeout(() => resolve(pending()), LIMIT_MS);
      stop = () => {
        clearTimeout(timer);
        monitor[Symbol.dispose]();
      };
      look(); // what happened before the subscription
    });
  } finally {
    stop();
  }
}
