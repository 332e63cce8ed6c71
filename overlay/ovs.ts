import { createHash } from "node:crypto";
import type { Backend } from "../backends/backend.ts";
import { formatMark } from "../kernel/mark.ts";
import { type Address, type Family, parseAddress } from "../net/address.ts";
import { type Mac, parseMac } from "../net/mac.ts";
import { type Prefix, prefixAddress, prefixFamily } from "../net/prefix.ts";
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
import type { DesiredFlow, DesiredRoute, DesiredTunnelPort } from "./state.ts";
import { type UnderlayPath, underlayFamilies, underlayPath } from "./underlay.ts";
import { vtepMac } from "./vtep.ts";

type OvsBackend = Backend<"ovs">;
type Context = NetworkContext<OvsBackend>;

/** The next hop of every route into the mesh. It exists on no node: flows give each packet the MAC address of its peer. */
const GATEWAY: Readonly<Record<Family, Address>> = { 4: parseAddress("169.254.112.1"), 6: parseAddress("fe80::7077") };
const GATEWAY_MAC: Mac = parseMac("02:70:77:00:00:01");

/** What a flow calls the bridge's own device. */
export const LOCAL = "LOCAL";

/** The port of its own comes before the common one, in mode "both". */
const PRIORITY = { ownPort: 200, commonPort: 150, arrival: 100 } as const;

/** Names of bridges tell the tunnel, so that networks of several kinds may bear the same number. */
const LETTER = { gre: "g", vxlan: "v", geneve: "n" } as const;

/** The network's bridge, and the name of the bridge's own device. */
export function switchName({ tunnel, vni }: Pick<OvsBackend, "tunnel" | "vni">): string {
  return `pwovs${LETTER[tunnel]}${vni}`;
}

/**
 * A mesh of Open vSwitch. The node routes its peers' subnets to the device of a bridge of its own; flows there know which
 * peer has the destination and send the packet, with that peer's MAC address, through a tunnel port to it. What comes in
 * reaches the device only when its outer source is a peer and its inner source lies in that peer's subnets; anything else,
 * ARP and broadcasts included, meets no flow and is dropped.
 *
 * - `static`: a port a peer.
 * - `flow`: one port, and the flows say where to.
 * - `both`: a port a peer, and the common one for a peer whose own port is not there (yet); packets may come in by either.
 */
export function ovs(context: Context): BackendPart {
  const { nodeId, network, backend, own, peers, everyPeer, underlay } = context;
  const part = emptyPart();
  const name = switchName(backend);
  const ports = new Map<string, DesiredTunnelPort>();
  const flows: DesiredFlow[] = [];
  const sources = subnetsByNode(everyPeer, peers);
  const greeted = new Set<string>();

  if (backend.mode !== "static") {
    for (const port of commonPorts(backend, underlayFamilies(underlay))) ports.set(port.name, port);
  }
  for (const peer of peers) {
    const direct = backend.directRouting ? directRoute(peer, underlay) : undefined;
    const path = direct === undefined ? underlayPath(peer, underlay, 4) : undefined;
    if (direct !== undefined) part.routes.push(direct);
    if (path === undefined) {
      if (direct === undefined) part.refusals.push(unreachablePeer(network, peer, NO_PATH));
      continue;
    }
    const ways = waysTo(backend, path);
    for (const { port, ...way } of ways) {
      ports.set(port.name, port);
      flows.push(departure(peer, vtepMac(network.name, peer.nodeId), port, way));
    }
    if (!greeted.has(peer.nodeId)) flows.push(...arrivals(ways, sources.get(peer.nodeId) ?? []));
    greeted.add(peer.nodeId);
    part.routes.push(meshRoute(context, peer, path, name));
  }
  const mac = vtepMac(network.name, nodeId);
  const mtu = tunnelMtu(backend, underlayFamilies(underlay).has(4) ? 4 : 6, underlay);
  const alias = formatMark({ role: "overlay", network: network.name });
  part.links.push({ name, kind: "ovs", mtu, mac, alias, sysctls: tunnelSysctls(name) });
  addOwnEnds(part, own, name);
  for (const family of new Set(own.subnets.map(prefixFamily))) {
    part.neighbours.push({ device: name, address: GATEWAY[family], mac: GATEWAY_MAC });
  }
  part.switches.push({
    name,
    network: network.name,
    mac,
    mtu,
    underlay: underlay.device,
    ports: [...ports.values()],
    flows,
  });
  return part;
}

const NO_PATH = "the two nodes have no underlay address family in common";

/** One way to a peer: a port, what a packet must be given to take it, and what one that came by it has. */
interface Way {
  readonly port: DesiredTunnelPort;
  readonly priority: number;
  readonly set: readonly string[];
  readonly from: string | undefined;
}

function waysTo(backend: OvsBackend, path: UnderlayPath): Way[] {
  const { family, local, remote } = path;
  const tunnel = family === 4 ? "tun_" : "tun_ipv6_";
  const own = { port: ownPort(backend, path), priority: PRIORITY.ownPort, set: [], from: undefined };
  const common = {
    port: commonPort(backend, family),
    priority: PRIORITY.commonPort,
    // Pinned to the address that peers know, for they accept tunnel packets from nobody else.
    set: [`set_field:${remote}->${tunnel}dst`, `set_field:${local}->${tunnel}src`],
    from: `${tunnel}src=${remote}`,
  };
  return backend.mode === "both" ? [own, common] : [backend.mode === "static" ? own : common];
}

function departure(peer: Peer, mac: Mac, port: DesiredTunnelPort, { priority, set }: Omit<Way, "port">): DesiredFlow {
  const match = prefixFamily(peer.subnet) === 4 ? `ip,nw_dst=${peer.subnet}` : `ipv6,ipv6_dst=${peer.subnet}`;
  return { priority, from: LOCAL, match, set: [`set_field:${mac}->eth_dst`, ...set], to: port.name };
}

function arrivals(ways: readonly Way[], sources: readonly Prefix[]): DesiredFlow[] {
  return ways.flatMap(({ port, from }) =>
    sources.map((source) => {
      const inner = prefixFamily(source) === 4 ? `ip,nw_src=${source}` : `ipv6,ipv6_src=${source}`;
      const match = from === undefined ? inner : `${from},${inner}`;
      return { priority: PRIORITY.arrival, from: port.name, match, set: [], to: LOCAL };
    }),
  );
}

function commonPorts(backend: OvsBackend, families: ReadonlySet<Family>): DesiredTunnelPort[] {
  return ([4, 6] as const).filter((family) => families.has(family)).map((family) => commonPort(backend, family));
}

/** One serves both families, but for GRE, which the kernel has as a protocol of each. */
function commonPort(backend: OvsBackend, family: Family): DesiredTunnelPort {
  const suffix = backend.tunnel === "gre" && family === 6 ? "-6" : "";
  return {
    name: `pwof${LETTER[backend.tunnel]}${backend.vni}${suffix}`,
    type: portType(backend, family),
    options: { ...tunnelOptions(backend), local_ip: "flow", remote_ip: "flow" },
  };
}

function ownPort(backend: OvsBackend, { family, local, remote }: UnderlayPath): DesiredTunnelPort {
  const { tunnel, vni, port } = backend;
  const hash = createHash("sha256").update(`${tunnel}/${vni}/${port}/${local}/${remote}`).digest("hex");
  return {
    name: `pwo${hash.slice(0, 12)}`,
    type: portType(backend, family),
    options: { ...tunnelOptions(backend), local_ip: local, remote_ip: remote },
  };
}

function portType({ tunnel }: OvsBackend, family: Family): DesiredTunnelPort["type"] {
  return tunnel === "gre" && family === 6 ? "ip6gre" : tunnel;
}

function tunnelOptions({ tunnel, vni, port }: OvsBackend): Record<string, string> {
  return { key: String(vni), ...(tunnel !== "gre" && { dst_port: String(port) }) };
}

function meshRoute({ network, backend, own, underlay }: Context, peer: Peer, path: UnderlayPath, device: string) {
  const mine = ownSubnetFor(own, peer.subnet);
  const route: DesiredRoute = {
    dst: peer.subnet,
    type: "unicast",
    via: GATEWAY[prefixFamily(peer.subnet)],
    device,
    onlink: true,
    ...(mine && { src: prefixAddress(mine) }),
    mtu: Math.min(podMtu(network, underlay), tunnelMtu(backend, path.family, underlay)),
  };
  return route;
}

/** A peer's pods may be of any network that it serves: networks reach each other by way of the nodes. */
function subnetsByNode(everyPeer: readonly Peer[], wanted: readonly Peer[]): ReadonlyMap<string, readonly Prefix[]> {
  const subnets = new Map<string, Prefix[]>(wanted.map(({ nodeId }) => [nodeId, []]));
  for (const { nodeId, subnet } of everyPeer) subnets.get(nodeId)?.push(subnet);
  return subnets;
}
