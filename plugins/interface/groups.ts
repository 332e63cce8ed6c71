import type { IpConfig } from "../../cni/result.ts";
import { listGroups } from "../../kernel/rtnetlink/address.ts";
import { RtnlGroup } from "../../kernel/rtnetlink/monitor.ts";
import { type Address, addressFromBytes, addressToBytes } from "../../net/address.ts";
import { prefixAddress, prefixFamily } from "../../net/prefix.ts";
import { until } from "../node/until.ts";
import type { PodEnd } from "./pod.ts";

/** Whoever asks for an address asks three times within three seconds; a pod that is not heard by then is late anyway. */
const LIMIT_MS = 5_000;

/**
 * Waits until the pod hears who asks for its IPv6 addresses. The kernel joins their solicited-node groups in a work queue
 * that needs the rtnl lock, and on a node where many namespaces come and go that may take longer than neighbours ask.
 * It tells of the address once more when it has.
 */
export async function awaitGroups(
  { netns, rt, index }: Pick<PodEnd, "netns" | "rt" | "index">,
  ips: readonly IpConfig[],
): Promise<void> {
  const addresses = ips.map(({ address }) => address).filter((address) => prefixFamily(address) === 6);
  if (addresses.length === 0) return;
  const groups = addresses.map((address) => solicitedNode(prefixAddress(address)));
  await until({ netns, groups: [RtnlGroup.ipv6Address], limitMs: LIMIT_MS }, () => {
    const joined = new Set(listGroups(rt, { index }));
    return groups.every((group) => joined.has(group));
  });
}

/** ff02::1:ffXX:XXXX (RFC 4291, 2.7.1). */
function solicitedNode(address: Address): Address {
  const low = addressToBytes(address).subarray(13);
  return addressFromBytes(Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, ...low));
}
