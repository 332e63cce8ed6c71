import { type ListedAddress, listAddresses } from "../kernel/rtnetlink/address.ts";
import { getLink } from "../kernel/rtnetlink/link.ts";
import { getRoute, listRoutes } from "../kernel/rtnetlink/route.ts";
import type { RouteSocket } from "../kernel/rtnetlink/socket.ts";
import { type Address, isLinkLocal, isLoopback } from "../net/address.ts";
import { prefixAddress } from "../net/prefix.ts";
import type { Underlay } from "../overlay/network.ts";

/** How to find the device that reaches the other nodes; the first that is given counts, then the default route. */
export interface UnderlayHint {
  /** A device's name. */
  readonly device?: string | undefined;
  /** One of this node's own addresses. */
  readonly own?: readonly Address[] | undefined;
  /** The device that routes there, and the source address the kernel would take: the controller's address. */
  readonly towards?: Address | undefined;
}

/**
 * The device, its MTU and its addresses, as the kernel has them now.
 * @throws Error that says what to set when no device fits
 */
export function findUnderlay(rt: RouteSocket, hint: UnderlayHint): Underlay {
  const { index, source } = choose(rt, hint);
  const link = getLink(rt, index);
  if (link === undefined) throw new Error(`the underlay device ${hint.device ?? `number ${index}`} is gone`);
  const usable = listAddresses(rt, { index }).filter(isUsable);
  const known = new Set([source, ...(hint.own ?? [])]);
  const preferred = usable.filter(({ address }) => known.has(prefixAddress(address)));
  const addresses = [...preferred, ...usable.filter((each) => !preferred.includes(each))].map(({ address }) => address);
  if (addresses.length === 0) throw new Error(`the underlay device ${link.name} has no global address`);
  return { device: link.name, mtu: link.mtu, addresses };
}

function choose(rt: RouteSocket, { device, own, towards }: UnderlayHint): { index: number; source?: Address } {
  if (device !== undefined) {
    const link = getLink(rt, device);
    if (link === undefined) throw new Error(`the underlay device "${device}" does not exist; see "ip link"`);
    return { index: link.index };
  }
  const holder = own && listAddresses(rt).find(({ address }) => own.includes(prefixAddress(address)));
  if (holder !== undefined) return { index: holder.index, source: prefixAddress(holder.address) };
  if (towards !== undefined) {
    const route = routeTowards(rt, towards);
    if (route !== undefined) return route;
  }
  const dev = listRoutes(rt).find(({ dst }) => dst === "0.0.0.0/0" || dst === "::/0")?.dev;
  if (dev === undefined)
    throw new Error("no underlay device: there is no default route; name the device (podwire-agent --underlay-device)");
  return { index: dev };
}

/**
 * The way to the controller. One on this very machine is reached over the loopback device, which leads to no other node:
 * then the device that bears its address counts, or, for 127.0.0.1, the default route.
 */
function routeTowards(rt: RouteSocket, towards: Address): { index: number; source?: Address } | undefined {
  if (isLoopback(towards)) return undefined;
  const { type, dev, src } = getRoute(rt, towards);
  if (type === "local") {
    const holder = listAddresses(rt).find(({ address }) => prefixAddress(address) === towards);
    return holder && { index: holder.index, source: towards };
  }
  return dev === undefined ? undefined : { index: dev, ...(src === undefined ? {} : { source: src }) };
}

/** Neither link-local nor temporary, and not one that duplicate address detection has not passed. */
function isUsable({ address, tentative, dadFailed, scope }: ListedAddress): boolean {
  return scope === "universe" && !tentative && !dadFailed && !isLinkLocal(prefixAddress(address));
}
