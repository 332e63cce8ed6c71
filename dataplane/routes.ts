import { ROUTE_PROTOCOL } from "../kernel/mark.ts";
import {
  addRoutes,
  deleteRoute,
  type ListedRoute,
  listRoutes,
  type Route,
  replaceRoute,
  replaceRoutes,
} from "../kernel/rtnetlink/route.ts";
import { hostPrefix, prefixFamily } from "../net/prefix.ts";
import type { DesiredRoute } from "../overlay/state.ts";
import type { Kind, Put } from "../reconcile/step.ts";
import type { Context } from "./apply.ts";
import { inScope } from "./scope.ts";

/** Metric that the kernel gives an IPv6 route without one: IP6_RT_PRIO_USER, <linux/ipv6_route.h>. */
const DEFAULT_METRIC = { 4: 0, 6: 1024 } as const;

/** Routes with our protocol number in the main table. A foreign route to the same destination is left alone, and said. */
export function routeKind({ rt, scope, devices }: Context): Kind<DesiredRoute> {
  const putAll = (puts: readonly Put<DesiredRoute>[]): unknown[] => {
    const outcomes = new Map<Put<DesiredRoute>, unknown>();
    const ready: { readonly put: Put<DesiredRoute>; readonly route: Route }[] = [];
    for (const put of puts) {
      try {
        ready.push({ put, route: kernelRoute(put.item, (name) => devices.indexOf(name)) });
      } catch (error) {
        outcomes.set(put, error);
      }
    }
    for (const [send, some] of [
      [addRoutes, ready.filter(({ put }) => put.existing === undefined)],
      [replaceRoutes, ready.filter(({ put }) => put.existing !== undefined)],
    ] as const) {
      const refused = send(
        rt,
        some.map(({ route }) => route),
      );
      for (const [i, { put, route }] of some.entries()) {
        const error = refused[i];
        outcomes.set(put, error && putRefused({ rt, devices }, put, route, error));
      }
    }
    return puts.map((put) => outcomes.get(put));
  };
  return {
    name: "route",
    key: ({ dst, metric }) => `${dst} metric ${metric ?? DEFAULT_METRIC[prefixFamily(dst)]}`,
    list: () =>
      listRoutes(rt, { protocol: ROUTE_PROTOCOL })
        .filter(({ dst }) => inScope(scope, dst))
        .map((route) => described(route, (index) => devices.nameOf(index))),
    same: (existing, wanted) => comparable(existing) === comparable(wanted),
    put(item, existing) {
      for (const error of putAll([{ item, existing }])) if (error !== undefined) throw error;
    },
    putAll,
    remove: ({ dst, metric }) => deleteRoute(rt, { dst, metric, protocol: ROUTE_PROTOCOL }, { missingOk: true }),
  };
}

type Refusal = NonNullable<ReturnType<typeof addRoutes>[number]>;

/** Another try where the kernel refuses what is right. @returns why it could not be put */
function putRefused(
  { rt, devices }: Pick<Context, "rt" | "devices">,
  put: Put<DesiredRoute>,
  route: Route,
  error: Refusal,
): unknown {
  const { dst, metric } = route;
  if (isInOwnWay(put, error)) return attempt(() => replaceBeside(rt, route));
  if (error.code !== "EEXIST") return error;
  const sameMetric = (each: ListedRoute) => (each.metric ?? 0) === (metric ?? DEFAULT_METRIC[prefixFamily(dst)]);
  const obstacle = listRoutes(rt, { family: prefixFamily(dst) }).find((each) => each.dst === dst && sameMetric(each));
  // The bridge of a subnet that this node held before has the kernel's own route to it, and now it is a peer's.
  if (obstacle?.dev !== undefined && devices.isOurs(obstacle.dev)) return attempt(() => replaceRoute(rt, route));
  const protocol = obstacle === undefined ? "" : ` (protocol ${obstacle.protocol})`;
  return new Error(`a route that is not ours is there already${protocol}; see "ip route show ${dst}" and remove it`);
}

/**
 * IPv6 looks the gateway of an onlink route up before it replaces anything, finds the old route to the gateway's own
 * subnet on another device, and says "device mismatch" (ip6_route_check_nh_onlink, net/ipv6/route.c).
 */
function isInOwnWay({ item, existing }: Put<DesiredRoute>, error: Refusal): boolean {
  return error.code === "EINVAL" && item.onlink === true && existing !== undefined && existing.device !== item.device;
}

/**
 * With a route to the gateway alone, over the new device, for as long as it takes: so that there is not a moment without
 * a route. One that a crash leaves is removed by the next pass, which does not want it.
 */
function replaceBeside(rt: Context["rt"], route: Route): void {
  if (route.via === undefined) throw new Error(`the route to ${route.dst} has no gateway`);
  const gateway = { dst: hostPrefix(route.via), dev: route.dev, protocol: ROUTE_PROTOCOL } as const;
  replaceRoute(rt, gateway);
  try {
    replaceRoute(rt, route);
  } finally {
    deleteRoute(rt, gateway, { missingOk: true });
  }
}

function attempt(change: () => void): unknown {
  try {
    change();
    return undefined;
  } catch (error) {
    return error;
  }
}

// Written out, because objects of one shape are what thousands of messages are made from quickly.
function kernelRoute(route: DesiredRoute, indexOf: (name: string) => number): Route {
  const { dst, type, device, via, onlink, src, mtu, metric, encap } = route;
  const dev = device === undefined ? undefined : indexOf(device);
  return { dst, type, dev, via, onlink, src, mtu, metric, encap, protocol: ROUTE_PROTOCOL };
}

function described(route: ListedRoute, nameOf: (index: number) => string | undefined): DesiredRoute {
  const { dst, type, dev, via, onlink, src, mtu, metric, encap } = route;
  const unreachable = type === "unreachable";
  return {
    dst,
    type: unreachable || type === "local" ? type : "unicast",
    ...(dev === undefined || unreachable ? {} : { device: nameOf(dev) ?? `if${dev}` }), // IPv6 says "dev lo"
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
