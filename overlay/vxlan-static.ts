import type { Backend } from "../backends/backend.ts";
import { formatMark } from "../kernel/mark.ts";
import type { Family } from "../net/address.ts";
import { hostPrefix, type Prefix, prefixAddress, prefixFamily } from "../net/prefix.ts";
import {
  type BackendPart,
  emptyPart,
  type NetworkContext,
  ownSubnetFor,
  tunnelSysctls,
  unreachablePeer,
} from "./backend.ts";
import { directRoute } from "./host-gw.ts";
import { tunnelMtu } from "./mtu.ts";
import type { Peer } from "./network.ts";
import type { DesiredLink } from "./state.ts";
import { type UnderlayPath, underlayFamilies, underlayPath } from "./underlay.ts";
import { vtepMac } from "./vtep.ts";

type Context = NetworkContext<Backend<"vxlan">>;

/** The network's device for tunnels over that underlay family. */
export function staticDevice(vni: number, underlay: Family): string {
  return underlay === 4 ? `pwvx${vni}` : `pwvx${vni}-6`;
}

/**
 * Flannel's wire format: a classic VXLAN device an underlay family, and for each peer a permanent neighbour, an FDB
 * entry and an onlink route by way of the peer subnet's lowest address. As flannel does, a subnet goes over the
 * underlay of its own family when both nodes have it.
 */
export function vxlanStatic(context: Context): BackendPart {
  const { network, backend, own, peers, underlay } = context;
  const part = emptyPart();
  const needed = new Map<Family, DesiredLink>();
  const macs = new Set<string>();
  const link = (family: Family) => {
    const existing = needed.get(family) ?? staticLink(context, family);
    needed.set(family, existing);
    return existing.name;
  };

  for (const subnet of own.subnets) {
    const device = link(underlayFor(context, subnet));
    part.addresses.push({ device, address: hostPrefix(prefixAddress(subnet)) });
  }
  for (const peer of peers) {
    const direct = backend.directRouting ? directRoute(peer, underlay) : undefined;
    const path = direct === undefined ? underlayPath(peer, underlay, prefixFamily(peer.subnet)) : undefined;
    if (direct !== undefined) part.routes.push(direct);
    else if (path !== undefined) addTunnel(part, context, peer, path, link(path.family), macs);
    else part.refusals.push(unreachablePeer(network, peer, "the two nodes have no underlay address family in common"));
  }
  part.links.push(...needed.values());
  return part;
}

function addTunnel(
  part: BackendPart,
  { network, own }: Context,
  peer: Peer,
  path: UnderlayPath,
  device: string,
  macs: Set<string>,
): void {
  const gateway = prefixAddress(peer.subnet);
  const mac = peer.vtepMac ?? vtepMac(network.name, peer.nodeId);
  const mine = ownSubnetFor(own, peer.subnet);
  part.neighbours.push({ device, address: gateway, mac });
  // A node with subnets of both families has one FDB entry a device.
  const key = `${device} ${mac}`;
  if (!macs.has(key)) part.fdb.push({ device, mac, dst: path.remote });
  macs.add(key);
  part.routes.push({
    dst: peer.subnet,
    type: "unicast",
    via: gateway,
    device,
    onlink: true,
    ...(mine && { src: prefixAddress(mine) }),
  });
}

function staticLink({ nodeId, network, backend, underlay }: Context, family: Family): DesiredLink {
  const name = staticDevice(backend.vni, family);
  const local = underlay.addresses.find((address) => prefixFamily(address) === family);
  const mtu = tunnelMtu(backend, family, underlay);
  return {
    name,
    kind: "vxlan",
    mtu: Math.min(mtu, backend.mtu || mtu),
    mac: vtepMac(network.name, nodeId),
    alias: formatMark({ role: "overlay", network: network.name }),
    vxlan: {
      id: backend.vni,
      port: backend.port,
      ...(local && { local: prefixAddress(local) }),
      learning: false,
    },
    sysctls: tunnelSysctls(name),
  };
}

function underlayFor({ underlay }: Context, subnet: Prefix): Family {
  const families = underlayFamilies(underlay);
  const own = prefixFamily(subnet);
  return families.has(own) ? own : own === 4 ? 6 : 4;
}
