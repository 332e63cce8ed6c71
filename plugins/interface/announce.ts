import { getLink, type Link, setLink } from "../../kernel/rtnetlink/link.ts";
import { RtnlGroup } from "../../kernel/rtnetlink/monitor.ts";
import type { RouteSocket } from "../../kernel/rtnetlink/socket.ts";
import type { Mac } from "../../net/mac.ts";
import { until } from "../node/until.ts";
import type { PodEnd } from "./pod.ts";

/** BR_STATE_FORWARDING, <linux/if_bridge.h>. */
const FORWARDING = 3;
/** The kernel notices a carrier within a second at worst (linkwatch); it takes longer only where STP delays ports. */
const LIMIT_MS = 1500;

/**
 * Waits until the bridge forwards what comes from the port, which it begins to do a moment after both ends are up. A
 * question about the link makes kernels since 6.9 do it at once; older ones tell when they have. A bridge with STP is
 * not waited for: it takes half a minute.
 * @returns the port as it is then; undefined when it is gone
 */
export async function awaitForwarding(
  node: RouteSocket,
  bridge: Pick<Link, "bridge">,
  port: { readonly index: number },
): Promise<Link | undefined> {
  let link = getLink(node, port.index);
  const forwards = () => link?.port === undefined || link.port.state === FORWARDING;
  if (forwards() || bridge.bridge?.stp) return link;
  await until({ groups: [RtnlGroup.link], limitMs: LIMIT_MS }, () => {
    link = getLink(node, port.index);
    return forwards();
  });
  return link;
}

/**
 * Tells the pod's neighbours, by gratuitous ARP and unsolicited neighbour advertisements, that its addresses are at
 * its MAC now: they may know the one that an earlier pod had. What the kernel sent when the link came up (arp_notify,
 * ndisc_notify) came before the bridge forwarded; it does so again when the MAC is set, to whatever.
 */
export function announce({ rt, index }: PodEnd, mac: Mac): void {
  setLink(rt, index, { mac });
}
