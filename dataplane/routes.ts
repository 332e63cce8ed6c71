import { ROUTE_PROTOCOL } from "../kernel/mark.ts";
import { listLinks } from "../kernel/rtnetlink/link.ts";
import { deleteRoute, type ListedRoute, listRoutes, type Route, replaceRoute } from "../kernel/rtnetlink/route.ts";
import type { RouteSocket } from "../kernel/rtnetlink/socket.ts";
import { prefixFamily } from "../net/prefix.ts";
import type { DesiredRoute } from "../overlay/state.ts";
import type { Kind } from "../reconcile/step.ts";
import { deviceIndex, inScope, type Scope } from "./scope.ts";

/** Metric that the kernel gives an IPv6 route without one: IP6_RT_PRIO_USER, <linux/ipv6_route.h>. */
const DEFAULT_METRIC = { 4: 0, 6: 1024 } as const;

/** Routes with our protocol number in the main table. */
export function routeKind(rt: RouteSocket, scope: Scope): Kind<DesiredRoute> {
  return {
    name: "route",
    key: ({ dst, metric }) => `${dst} metric ${metric ?? DEFAULT_METRIC[prefixFamily(dst)]}`,
    list: () => {
      const names = new Map(listLinks(rt).map(({ index, name }) => [index, name]));
      return listRoutes(rt, { protocol: ROUTE_PROTOCOL })
        .filter(({ dst }) => inScope(scope, dst))
        .map((route) => described(route, names));
    },
    same: (existing, wanted) => comparable(existing) === comparable(wanted),
    put: (wanted) => replaceRoute(rt, ordered(rt, wanted)),
    remove: (route) => {
      const { dst, metric } = route;
      deleteRoute(rt, { dst, metric, protocol: ROUTE_PROTOCOL }, { missingOk: true });
    },
  };
}

function ordered(rt: RouteSocket, { device, ...rest }: DesiredRoute): Route {
  return { ...rest, protocol: ROUTE_PROTOCOL, ...(device === undefined ? {} : { dev: deviceIndex(rt, device) }) };
}

function described(route: ListedRoute, names: ReadonlyMap<number, string>): DesiredRoute {
  const { dst, type, dev, via, onlink, src, mtu, metric, encap } = route;
  const unreachable = type === "unreachable";
  return {
    dst,
    type: unreachable ? "unreachable" : "unicast",
    ...(dev === undefined || unreachable ? {} : { device: names.get(dev) ?? `if${dev}` }), // IPv6 says "dev lo"
    ...(via === undefined ? {} : { via }),
    ...(onlink === true ? { onlink } : {}),
    ...(src === undefined ? {} : { src }),
    ...(mtu === undefined ? {} : { mtu }),
    ...(metric === undefined ? {} : { metric }),
    ...(encap === undefined ? {} : { encap }),
  };
}

/** All that must agree, as one text. */
function comparable({ dst, type, device, via, onlink, src, mtu, metric, encap }: DesiredRoute): string {
  const key = encap === undefined ? [] : [encap.id, encap.dst, encap.src, ...(encap.flags ?? []).toSorted()];
  const effective = metric ?? DEFAULT_METRIC[prefixFamily(dst)];
  return [dst, type, device, via, onlink === true, src, mtu ?? 0, effective, ...key].join("|");
}
