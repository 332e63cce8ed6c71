import { type FilterStep, filterNotifications } from "../netlink/filter.ts";
import type { Message } from "../netlink/message.ts";
import { openNetlinkMonitor } from "../netlink/monitor.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../netlink/socket.ts";
import { inNetns, type Netns } from "../netns.ts";
import { decodeAddress, type ListedAddress } from "./address.ts";
import { decodeLink, type Link } from "./link.ts";
import { Rtm } from "./message-types.ts";
import { decodeFdb, decodeNeighbour, type FdbEntry, type Neighbour } from "./neighbour.ts";
import { decodeRoute, type ListedRoute } from "./route.ts";

/** RTNLGRP_*, <linux/rtnetlink.h>. "neigh" also tells of FDB entries. */
export const RtnlGroup = {
  link: 1,
  neigh: 3,
  ipv4Address: 5,
  ipv4Route: 7,
  ipv4Rule: 8,
  ipv6Address: 9,
  ipv6Route: 11,
  ipv6Rule: 19,
  nsid: 28,
} as const;
export type RtnlGroup = (typeof RtnlGroup)[keyof typeof RtnlGroup];

/** What changed. */
export type RouteEvent =
  | { readonly type: "link" | "link-deleted"; readonly link: Link }
  | { readonly type: "address" | "address-deleted"; readonly address: ListedAddress }
  | { readonly type: "route" | "route-deleted"; readonly route: ListedRoute }
  | { readonly type: "neighbour" | "neighbour-deleted"; readonly neighbour: Neighbour }
  | { readonly type: "fdb" | "fdb-deleted"; readonly fdb: FdbEntry }
  | { readonly type: "other"; readonly messageType: number };

export interface MonitorOptions {
  /** This thread's namespace when absent. */
  readonly netns?: Netns | string | undefined;
  readonly groups: readonly RtnlGroup[];
  /** Called on the main thread with what has come in, in order. */
  readonly onMessages: (events: readonly RouteEvent[]) => void;
  /** Messages were lost (ENOBUFS): list everything again. */
  readonly onOverrun: () => void;
  /** What the kernel is to drop; see filterNotifications. */
  readonly filter?: readonly FilterStep[] | undefined;
  /** Milliseconds between two looks; see openNetlinkMonitor. */
  readonly restMs?: number | undefined;
}

/**
 * Subscribes to the kernel's notifications of a namespace. A thread blocks in poll(2) meanwhile (one of libuv's pool of
 * four); disposing ends it. Keeps the process alive until then.
 * @throws NotANamespaceError
 */
export function openMonitor({ netns, groups, filter = [], onMessages, onOverrun, restMs }: MonitorOptions): Disposable {
  const socket = inNetns(netns, () => new NetlinkSocket(NETLINK_ROUTE));
  try {
    if (filter.length > 0) filterNotifications(socket, filter);
    socket.join(groups);
    return openNetlinkMonitor({
      socket,
      onMessages: (messages) => onMessages(messages.map(decodeEvent)),
      onOverrun,
      restMs,
    });
  } catch (error) {
    socket[Symbol.dispose]();
    throw error;
  }
}

/** What a notification says; "other" for what we have no words for. */
export function decodeEvent(message: Message): RouteEvent {
  const other = { type: "other", messageType: message.type } as const;
  try {
    return decodeKnown(message) ?? other;
  } catch (error) {
    if (error instanceof RangeError) return other; // not decodable: a subscription must outlive it
    throw error;
  }
}

function decodeKnown(message: Message): RouteEvent | undefined {
  switch (message.type) {
    case Rtm.newLink:
      return { type: "link", link: decodeLink(message) };
    case Rtm.delLink:
      return { type: "link-deleted", link: decodeLink(message) };
    case Rtm.newAddress:
    case Rtm.delAddress: {
      const address = decodeAddress(message);
      return address && { type: message.type === Rtm.newAddress ? "address" : "address-deleted", address };
    }
    case Rtm.newRoute:
    case Rtm.delRoute: {
      const route = decodeRoute(message);
      return route && { type: message.type === Rtm.newRoute ? "route" : "route-deleted", route };
    }
    case Rtm.newNeighbour:
    case Rtm.delNeighbour:
      return decodeNeighbourEvent(message);
    default:
      return undefined;
  }
}

function decodeNeighbourEvent(message: Message): RouteEvent | undefined {
  const deleted = message.type === Rtm.delNeighbour;
  const fdb = decodeFdb(message);
  if (fdb !== undefined) return { type: deleted ? "fdb-deleted" : "fdb", fdb };
  const neighbour = decodeNeighbour(message);
  return neighbour && { type: deleted ? "neighbour-deleted" : "neighbour", neighbour };
}
