import { CniError, Code } from "../../cni/error.ts";
import type { IpConfig } from "../../cni/result.ts";
import { listAddresses } from "../../kernel/rtnetlink/address.ts";
import { RtnlGroup } from "../../kernel/rtnetlink/monitor.ts";
import { prefixFamily } from "../../net/prefix.ts";
import { until } from "../node/until.ts";
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

  await until({ netns, groups: [RtnlGroup.ipv6Address], limitMs: LIMIT_MS }, () =>
    pending().every(({ dadFailed }) => dadFailed),
  );
  const [first] = pending();
  if (first === undefined) return;
  throw first.dadFailed
    ? new CniError(Code.invalidConfig, `ips: ${first.address} of ${ifName} is in use by another node on the link`)
    : new CniError(
        Code.tryAgainLater,
        `enabledad: ${first.address} of ${ifName} is not yet accepted after ${LIMIT_MS / 1000} s; is the bridge up?`,
      );
}
