import { findUnderlay } from "../dataplane/underlay.ts";
import type { RouteSocket } from "../kernel/rtnetlink/socket.ts";
import { type Address, isAddress, parseAddress } from "../net/address.ts";
import type { Underlay } from "../overlay/network.ts";
import { ownAddress } from "../overlay/underlay.ts";

/**
 * The interface to the other nodes: the named one, or the one that leads to the controller, or the default route's.
 * @param controllerAddress of the controller in use; undefined: not known
 * @throws Error that says what to set when no device fits
 */
export function agentUnderlay(
  rt: RouteSocket,
  device: string | undefined,
  controllerAddress: string | undefined,
): Underlay {
  const known = controllerAddress !== undefined && isAddress(controllerAddress);
  return findUnderlay(rt, { device, towards: known ? parseAddress(controllerAddress) : undefined });
}

/** What the controller is told, and peers send to: the first address of each family. */
export function announcedAddresses(underlay: Underlay): Address[] {
  return ([4, 6] as const).flatMap((family) => ownAddress(underlay, family) ?? []);
}
