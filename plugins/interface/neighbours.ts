import type { Result } from "../../cni/result.ts";
import { deleteNeighbour, getNeighbour, listNeighbours, type Neighbour } from "../../kernel/rtnetlink/neighbour.ts";
import type { RouteSocket } from "../../kernel/rtnetlink/socket.ts";
import { type Address, addressFromBytes } from "../../net/address.ts";
import { type Mac, macToBytes } from "../../net/mac.ts";
import { prefixAddress } from "../../net/prefix.ts";

/** How a pod was known on its bridge. */
export interface FormerPod {
  readonly mac: Mac;
  /** What ADD answered, when the runtime remembers it: then nothing has to be listed. */
  readonly result: Result | undefined;
}

/**
 * Makes the node forget where a pod was, once its link is gone: who gets the address next is not looked for at the old
 * MAC address. What somebody set for good stays.
 */
export function forgetPod(node: RouteSocket, bridge: number, { mac, result }: FormerPod): void {
  if (result === undefined) {
    forgetMacs(node, bridge, new Set([mac]));
    return;
  }
  const addresses = [...result.ips.map(({ address }) => prefixAddress(address)), linkLocalOf(mac)];
  for (const address of addresses) {
    const neighbour = getNeighbour(node, { index: bridge, address });
    if (neighbour !== undefined) forget(node, neighbour);
  }
}

/** As {@link forgetPod}, for many: the bridge's neighbours are listed. */
export function forgetMacs(node: RouteSocket, bridge: number, macs: ReadonlySet<Mac>): void {
  for (const neighbour of listNeighbours(node, { index: bridge })) {
    if (neighbour.mac !== undefined && macs.has(neighbour.mac)) forget(node, neighbour);
  }
}

function forget(node: RouteSocket, neighbour: Neighbour): void {
  if (neighbour.state !== "permanent") deleteNeighbour(node, neighbour, { missingOk: true });
}

/** The address that the kernel gives an interface with that MAC address by itself (RFC 4291, appendix A). */
function linkLocalOf(mac: Mac): Address {
  const [first = 0, second = 0, third = 0, ...others] = macToBytes(mac);
  return addressFromBytes(Uint8Array.of(0xfe, 0x80, 0, 0, 0, 0, 0, 0, first ^ 2, second, third, 0xff, 0xfe, ...others));
}
