import { ROUTE_PROTOCOL } from "../kernel/mark.ts";
import type { RouteEvent } from "../kernel/rtnetlink/monitor.ts";

/**
 * Whether a notification may mean that the kernel is no longer as desired, or that pods came or went. The ARP chatter of
 * a busy node must not: it would keep the agent busy for nothing.
 */
export function isRelevant(event: RouteEvent): boolean {
  switch (event.type) {
    case "neighbour":
    case "neighbour-deleted":
      return event.neighbour.protocol === ROUTE_PROTOCOL || event.neighbour.state === "permanent";
    case "fdb":
    case "fdb-deleted":
      return event.fdb.dst !== undefined; // of a VXLAN device
    case "route":
    case "route-deleted":
      return event.route.protocol === ROUTE_PROTOCOL || event.route.dst === "0.0.0.0/0" || event.route.dst === "::/0";
    case "other":
      return false;
    default:
      return true;
  }
}
