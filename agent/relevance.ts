import { parseMark, ROUTE_PROTOCOL } from "../kernel/mark.ts";
import type { Link } from "../kernel/rtnetlink/link.ts";
import type { RouteEvent } from "../kernel/rtnetlink/monitor.ts";
import { isLinkLocal } from "../net/address.ts";
import { prefixAddress } from "../net/prefix.ts";

/** As hostVethName and ifbName of kernel/mark.ts make them; a new link has its name before its mark. */
const POD_LINK = /^pwi?[0-9a-f]{12}$/;

/**
 * What a notification may mean: "overlay", the kernel may no longer be as desired; "pods", a pod came or went; undefined,
 * neither. The ARP chatter of a busy node and the veths of starting pods must not start passes over thousands of routes.
 */
export function relevanceOf(event: RouteEvent): "overlay" | "pods" | undefined {
  switch (event.type) {
    case "link":
    case "link-deleted":
      return isPodLink(event.link) ? "pods" : "overlay";
    case "address":
    case "address-deleted":
      return isLinkLocal(prefixAddress(event.address.address)) ? undefined : "overlay";
    case "neighbour":
    case "neighbour-deleted":
      return overlayIf(event.neighbour.protocol === ROUTE_PROTOCOL || event.neighbour.state === "permanent");
    case "fdb":
    case "fdb-deleted":
      return overlayIf(event.fdb.dst !== undefined); // of a VXLAN device
    case "route":
    case "route-deleted":
      return overlayIf(
        event.route.protocol === ROUTE_PROTOCOL || event.route.dst === "0.0.0.0/0" || event.route.dst === "::/0",
      );
    case "other":
      return undefined;
  }
}

function isPodLink({ name, alias }: Link): boolean {
  return POD_LINK.test(name) || parseMark(alias)?.role === "veth";
}

function overlayIf(relevant: boolean): "overlay" | undefined {
  return relevant ? "overlay" : undefined;
}
