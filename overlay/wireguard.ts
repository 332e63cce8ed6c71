import type { Backend } from "../backends/backend.ts";
import { formatMark } from "../kernel/mark.ts";
import { type Prefix, prefixAddress } from "../net/prefix.ts";
import type { WireguardPublicKey } from "../net/wireguard-key.ts";
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
import type { DesiredRoute, DesiredWireguard, DesiredWireguardPeer } from "./state.ts";
import { type UnderlayPath, underlayFamilies, underlayPath } from "./underlay.ts";

type Context = NetworkContext<Backend<"wireguard">>;

/** The one device of all networks with that port. */
export function wireguardDevice(port: number): string {
  return `pwwg${port}`;
}

/**
 * One WireGuard device, over either underlay family, for all networks of its port: a peer is its node's key, with the
 * address where it is reached and the subnets that are sent to it, which are the only sources taken from it; and a route to
 * each. Neither keepalives nor anything else goes out while no pod speaks.
 */
export function wireguard(context: Context): BackendPart {
  const { network, backend, own, peers, underlay } = context;
  const part = emptyPart();
  const device = wireguardDevice(backend.port);
  part.links.push({
    name: device,
    kind: "wireguard",
    mtu: tunnelMtu(backend, underlayFamilies(underlay).has(4) ? 4 : 6, underlay),
    alias: formatMark({ role: "overlay", network: "*" }),
    sysctls: tunnelSysctls(device),
  });
  addOwnEnds(part, own, device);

  const known: DesiredWireguardPeer[] = [];
  for (const peer of peers) {
    const direct = backend.directRouting ? directRoute(peer, underlay) : undefined;
    const path = underlayPath(peer, underlay, 4);
    const { publicKey } = peer;
    const obstacle = obstacleTo(peer, context, path);
    // A peer that we reach directly may still send through the tunnel: it may see the segment otherwise.
    if (obstacle === undefined && path !== undefined && publicKey !== undefined) {
      const endpoint = { address: path.remote, port: backend.port };
      known.push({ publicKey, endpoint, allowedIps: [peer.subnet] });
      part.routes.push(direct ?? tunnelRoute(context, peer, path, device));
    } else if (direct !== undefined) part.routes.push(direct);
    else part.refusals.push(unreachablePeer(network, peer, obstacle ?? ""));
  }
  part.wireguard.push({ device, listenPort: backend.port, peers: known });
  return part;
}

/** Why there can be no tunnel to that peer; undefined: there can. */
function obstacleTo(peer: Peer, { paired }: Context, path: UnderlayPath | undefined): string | undefined {
  const { publicKey } = peer;
  if (path === undefined) return "the two nodes have no underlay address family in common";
  if (publicKey === undefined) return "its node has told no WireGuard key; update podwire-agent there";
  if (paired?.has(publicKey) !== false) return undefined;
  return "no controller has sent the two nodes' preshared key yet; it comes when both nodes are connected to one";
}

function tunnelRoute({ network, backend, own, underlay }: Context, peer: Peer, path: UnderlayPath, device: string) {
  const mine = ownSubnetFor(own, peer.subnet);
  const route: DesiredRoute = {
    dst: peer.subnet,
    type: "unicast",
    device,
    ...(mine && { src: prefixAddress(mine) }),
    mtu: Math.min(podMtu(network, underlay), tunnelMtu(backend, path.family, underlay)),
  };
  return route;
}

/** The parts of all networks, one a device: a node is one peer there, with its subnets of all of them. */
export function mergeWireguard(parts: readonly DesiredWireguard[]): DesiredWireguard[] {
  const devices = new Map<string, { listenPort: number; peers: Map<WireguardPublicKey, Merged> }>();
  for (const { device, listenPort, peers } of parts) {
    const merged = devices.get(device) ?? { listenPort, peers: new Map() };
    devices.set(device, merged);
    for (const peer of peers) {
      const known = merged.peers.get(peer.publicKey);
      if (known === undefined) merged.peers.set(peer.publicKey, { ...peer, allowedIps: [...peer.allowedIps] });
      else known.allowedIps.push(...peer.allowedIps.filter((subnet) => !known.allowedIps.includes(subnet)));
    }
  }
  return Array.from(devices, ([device, { listenPort, peers }]) => ({ device, listenPort, peers: [...peers.values()] }));
}

interface Merged extends DesiredWireguardPeer {
  readonly allowedIps: Prefix[];
}
