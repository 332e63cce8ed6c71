import { type ListedRoute, listRoutes, type RouteFilter } from "../../kernel/rtnetlink/route.ts";
import type { RouteSocket } from "../../kernel/rtnetlink/socket.ts";
import { prefixFamily } from "../../net/prefix.ts";

/**
 * The routes over the interface. IPv6 makes one route with several paths of routes to the same destination: the interface's paths are
 * routes of their own here. One of IPv4 is left out when it leads over other interfaces too, because it can only be changed as a whole.
 */
export function interfaceRoutes(
  rt: RouteSocket,
  dev: number,
  filter: Pick<RouteFilter, "table"> = {},
): readonly ListedRoute[] {
  return listRoutes(rt, { ...filter, dev }).flatMap(({ multipath, ...route }) => {
    if (multipath === undefined) return [route];
    const paths = multipath.filter((path) => path.dev === dev);
    if (prefixFamily(route.dst) === 6) return paths.map(({ via, onlink }) => ({ ...route, dev, via, onlink }));
    return paths.length === multipath.length ? [{ ...route, multipath }] : [];
  });
}
