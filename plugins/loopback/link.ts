import { listAddresses } from "../../kernel/rtnetlink/address.ts";
import { getLink } from "../../kernel/rtnetlink/link.ts";
import type { RouteSocket } from "../../kernel/rtnetlink/socket.ts";
import { isLoopback } from "../../net/address.ts";
import { type Prefix, prefixAddress } from "../../net/prefix.ts";

/** The kernel's name for it in every namespace, whatever CNI_IFNAME says. */
export const LOOPBACK = "lo";

/** 127.0.0.1/8 and, unless IPv6 is switched off, ::1/128: what the kernel gives `lo` when it is up. */
export function loopbackAddresses(rt: RouteSocket): readonly Prefix[] {
  const link = getLink(rt, LOOPBACK);
  if (link === undefined) return [];
  return listAddresses(rt, { index: link.index })
    .map((each) => each.address)
    .filter((address) => isLoopback(prefixAddress(address)));
}
