import { createHash } from "node:crypto";
import { type Backend, factsOf } from "../backends/backend.ts";
import { formatMark } from "../kernel/mark.ts";
import type { Family } from "../net/address.ts";
import { prefixAddress } from "../net/prefix.ts";
import {
  addOwnEnds,
  type BackendPart,
  emptyPart,
  type NetworkContext,
  ownSubnetFor,
  tunnelSysctls,
  unreachablePeer,
} from "./backend.ts";
import { directRoute } from "./host-gw.ts";
import { podMtu, tunnelMtu } from "./mtu.ts";
import type { Peer } from "./network.ts";
import type { DesiredLink, DesiredRoute, TunnelDevice } from "./state.ts";
import { type UnderlayPath, underlayFamilies, underlayPath } from "./underlay.ts";

/** A tunnel protocol whose devices carry bare IP packets: what it does in its own way. */
export interface IpTunnel {
  /** The one collect-metadata device that the kernel allows a namespace for that underlay family. */
  flowDevice(family: Family): TunnelDevice & { readonly name: string };
  /** Three characters before the hash in the names of static devices. */
  readonly staticPrefix: string;
  /** What the kernel knows a static device by. Its name is a hash of that. */
  staticName(path: UnderlayPath): string;
  staticDevice(path: UnderlayPath): TunnelDevice;
}

type Context = NetworkContext<Backend<"gre" | "ipip">>;

/**
 * A peer is one route: in flow mode with its tunnel's ends (`encap ip`) over the one device of the underlay family, in
 * static mode over a device of its own. Either may serve several networks. A static device is named by its ends, so a
 * node that moves gets another one, its route is replaced at once, and the old one goes last.
 */
export function ipTunnel(context: Context, tunnel: IpTunnel): BackendPart {
  const { network, backend, own, peers, underlay } = context;
  const part = emptyPart();
  const links = new Map<string, DesiredLink>();
  const need = (family: Family, path?: UnderlayPath): DesiredLink => {
    const device =
      path === undefined
        ? tunnel.flowDevice(family)
        : { name: staticDeviceName(tunnel, path), ...tunnel.staticDevice(path) };
    const link = links.get(device.name) ?? tunnelLink(context, device, family);
    links.set(link.name, link);
    return link;
  };

  // Made before there is a peer: a kernel without such devices is told of at once.
  const first = familiesOf(context).find((family) => underlayFamilies(underlay).has(family));
  if (backend.mode === "flow" && first !== undefined) need(first);
  for (const peer of peers) {
    const direct = backend.directRouting ? directRoute(peer, underlay) : undefined;
    const path = direct === undefined ? tunnelPath(context, peer) : undefined;
    if (direct !== undefined) part.routes.push(direct);
    else if (path === undefined) part.refusals.push(unreachablePeer(network, peer, noPath(context)));
    else
      part.routes.push(tunnelRoute(context, peer, path, need(path.family, backend.mode === "flow" ? undefined : path)));
  }
  for (const link of links.values()) {
    part.links.push(link);
    addOwnEnds(part, own, link.name);
  }
  return part;
}

/** Of underlays that it can go over, the preferred one first. */
function familiesOf({ backend }: Context): readonly Family[] {
  return factsOf(backend.type)?.over ?? [];
}

function tunnelPath(context: Context, peer: Peer): UnderlayPath | undefined {
  const families = familiesOf(context);
  const path = underlayPath(peer, context.underlay, families[0] ?? 4);
  return path !== undefined && families.includes(path.family) ? path : undefined;
}

function noPath(context: Context): string {
  const families = familiesOf(context);
  return families.length > 1
    ? "the two nodes have no underlay address family in common"
    : `its tunnel needs an IPv${families.join()} address of both nodes; use a gre or vxlan backend`;
}

function staticDeviceName({ staticPrefix, staticName }: IpTunnel, path: UnderlayPath): string {
  return `${staticPrefix}${createHash("sha256").update(staticName(path)).digest("hex").slice(0, 12)}`;
}

function tunnelLink(
  { backend, underlay }: Context,
  device: TunnelDevice & { readonly name: string },
  family: Family,
): DesiredLink {
  return {
    ...device,
    mtu: tunnelMtu(backend, family, underlay),
    alias: formatMark({ role: "overlay", network: "*" }),
    sysctls: tunnelSysctls(device.name),
  };
}

function tunnelRoute(context: Context, peer: Peer, path: UnderlayPath, link: DesiredLink): DesiredRoute {
  const { network, backend, own, underlay } = context;
  const mine = ownSubnetFor(own, peer.subnet);
  return {
    dst: peer.subnet,
    type: "unicast",
    device: link.name,
    ...(mine && { src: prefixAddress(mine) }),
    mtu: Math.min(podMtu(network, underlay), tunnelMtu(backend, path.family, underlay)),
    // Pinned to the address that peers know, for they may accept tunnel packets from nobody else.
    ...(backend.mode === "flow" && { encap: { type: "ip", id: 0, src: path.local, dst: path.remote } as const }),
  };
}
