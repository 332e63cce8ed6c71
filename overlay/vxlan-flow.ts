import type { Backend } from "../backends/backend.ts";
import { formatMark } from "../kernel/mark.ts";
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
import type { DesiredLink, DesiredRoute } from "./state.ts";
import { underlayFamilies, underlayPath } from "./underlay.ts";

type Context = NetworkContext<Backend<"vxlan">>;

/** The one device of all flow networks with that port. */
export function flowDevice(port: number): string {
  return `pwflow${port}`;
}

/**
 * VXLAN-GPE with collect-metadata: packets without an inner Ethernet header, one device for all networks and peers of
 * either family, and a peer is exactly one route, replaced atomically. Needs neither neighbours nor FDB.
 */
export function vxlanFlow(context: Context): BackendPart {
  const { network, backend, own, peers, underlay } = context;
  const part = emptyPart();
  const device = flowDevice(backend.port);
  const mtu = podMtu(network, underlay);
  part.links.push(flowLink(device, context));
  addOwnEnds(part, own, device);

  for (const peer of peers) {
    const direct = backend.directRouting ? directRoute(peer, underlay) : undefined;
    const route = direct ?? flowRoute(context, peer, device, mtu);
    if (route !== undefined) part.routes.push(route);
    else part.refusals.push(unreachablePeer(network, peer, "the two nodes have no underlay address family in common"));
  }
  return part;
}

function flowLink(device: string, { backend, underlay }: Context): DesiredLink {
  return {
    name: device,
    kind: "vxlan",
    mtu: tunnelMtu(backend, underlayFamilies(underlay).has(4) ? 4 : 6, underlay),
    alias: formatMark({ role: "overlay", network: "*" }),
    vxlan: { collectMetadata: true, gpe: true, port: backend.port, learning: false },
    sysctls: tunnelSysctls(device),
  };
}

function flowRoute(
  { backend, own, underlay }: Context,
  peer: Peer,
  device: string,
  largest: number,
): DesiredRoute | undefined {
  const path = underlayPath(peer, underlay, 4);
  if (path === undefined) return undefined;
  const mine = ownSubnetFor(own, peer.subnet);
  return {
    dst: peer.subnet,
    type: "unicast",
    device,
    ...(mine && { src: prefixAddress(mine) }),
    mtu: Math.min(largest, tunnelMtu(backend, path.family, underlay)),
    encap: {
      type: "ip",
      id: backend.vni,
      // Pinned to the address that peers know, for they may accept tunnel packets from nobody else.
      src: path.local,
      dst: path.remote,
      // A route's tunnel sends no UDP checksum unless told, and IPv6 receivers drop packets without one.
      ...(path.family === 6 && { flags: ["csum"] as const }),
    },
  };
}
