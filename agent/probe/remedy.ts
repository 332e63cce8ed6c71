import { isOverlay } from "../../dataplane/scope.ts";
import { setTxChecksum, txChecksum } from "../../kernel/ethtool.ts";
import { getLink } from "../../kernel/rtnetlink/link.ts";
import { getRoute } from "../../kernel/rtnetlink/route.ts";
import type { RouteSocket } from "../../kernel/rtnetlink/socket.ts";
import type { Address } from "../../net/address.ts";

/** The device that leads to a peer's end. */
export interface Way {
  readonly index: number;
  readonly device: string;
  /** A tunnel device of ours: what is set on it touches nothing else. */
  readonly isOurs: boolean;
  /** What the kernel believes to fit, in bytes. */
  readonly mtu: number;
}

/** How the kernel would send to the address; undefined when it would not. */
export function wayTo(rt: RouteSocket, address: Address): Way | undefined {
  try {
    const { dev, mtu } = getRoute(rt, address);
    const link = dev === undefined ? undefined : getLink(rt, dev);
    if (link === undefined) return undefined;
    return {
      index: link.index,
      device: link.name,
      isOurs: isOverlay(link),
      mtu: mtu === undefined || mtu === 0 ? link.mtu : mtu,
    };
  } catch {
    return undefined; // asking shows what is wrong
  }
}

/** Whether the device is there with its tx checksum offload off. */
export function hasFinishedChecksums(rt: RouteSocket, device: string): boolean {
  try {
    const link = getLink(rt, device);
    return link !== undefined && !txChecksum(link.index);
  } catch {
    return false; // it went in between
  }
}

/**
 * Has checksums finished before packets reach our tunnel device, when that makes packets arrive; else puts everything
 * back. The underlay's device is never touched.
 * @param helps whether packets with a checksum arrive now
 * @returns whether it helped, and what was done, in words
 */
export async function finishChecksums(
  way: Way | undefined,
  underlayDevice: string,
  helps: () => Promise<boolean>,
): Promise<{ readonly helped: boolean; readonly done: string }> {
  const advice = `try "ethtool -K ${underlayDevice} tx off" on this node`;
  if (way === undefined) return { helped: false, done: advice };
  const { index, device, isOurs } = way;
  if (!isOurs) return { helped: false, done: `${device} is not ours, so nothing was changed; ${advice}` };
  if (!txChecksum(index)) return { helped: false, done: `the offload of ${device} is off already; ${advice}` };
  if (!setTxChecksum(index, false))
    return { helped: false, done: `the offload of ${device} cannot be switched off; ${advice}` };
  if (await helps()) return { helped: true, done: `switched off tx checksum offload of ${device}` };
  setTxChecksum(index, true);
  return { helped: false, done: `switching off that of ${device} did not help and was undone; ${advice}` };
}
