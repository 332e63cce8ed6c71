import { formatMark } from "../kernel/mark.ts";
import { hostPrefix, prefixAddress } from "../net/prefix.ts";
import {
  type BackendPart,
  emptyPart,
  type NetworkContext,
  ownSubnetFor,
  tunnelSysctls,
  unreachablePeer,
} from "./backend.ts";
import { directRoute } from "./host-gw.ts";
import { podMtu, tunnelMtu } from "./mtu.ts";
import type { Peer, Underlay, VxlanBackend } from "./network.ts";
import type { DesiredLink, DesiredRoute } from "./state.ts";
import { underlayFamilies, underlayPath } from "./underlay.ts";

type Context = NetworkContext<VxlanBackend>;

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
  part.links.push(flowLink(device, backend, underlay));
  // The subnet's lowest address, which no pod gets, is the node's own towards peers. The gateway's would not do: it is
  // there only when the bridge is, and the kernel refuses a route with a source it does not have.
  for (const subnet of own.subnets) part.addresses.push({ device, address: hostPrefix(prefixAddress(subnet)) });

  for (const peer of peers) {
    const direct = backend.directRouting ? directRoute(peer, underlay) : undefined;
    const route = direct ?? flowRoute(context, peer, device, mtu);
    if (route !== undefined) part.routes.push(route);
    else part.refusals.push(unreachablePeer(network, peer, "the two nodes have no underlay address family in common"));
  }
  return part;
}

function flowLink(device: string, backend: VxlanBackend, underlay: Underlay): DesiredLink {
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
