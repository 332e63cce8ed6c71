import type { Backend, BackendType } from "../backends/backend.ts";
import { hostPrefix, type Prefix, prefixAddress, prefixFamily } from "../net/prefix.ts";
import type { BackendPart, NetworkContext } from "./backend.ts";
import { keepPrevious } from "./change.ts";
import { gre } from "./gre.ts";
import { hostGateway } from "./host-gw.ts";
import { ipip } from "./ipip.ts";
import { isTunnel, podMtu } from "./mtu.ts";
import { backendsOf, type NetworkSpec, type OverlayInput, type OwnLease, type Peer, type Underlay } from "./network.ts";
import { ovs } from "./ovs.ts";
import type { ChangeProgress, DesiredLink, DesiredRoute, DesiredState, DesiredSysctl } from "./state.ts";
import { vxlan } from "./vxlan.ts";
import { mergeWireguard, wireguard } from "./wireguard.ts";

/** What each backend makes of peers. */
const PARTS: { readonly [T in BackendType]: (context: NetworkContext<Backend<T>>) => BackendPart } = {
  vxlan,
  gre,
  ipip,
  wireguard,
  ovs,
  "host-gw": hostGateway,
};

/** Behind every route that anybody else makes: the largest RTA_PRIORITY. */
const LAST_METRIC = 0xffff_ffff;

/** RFC 8200, section 5. */
const MINIMUM_IPV6_MTU = 1280;

/**
 * What the kernel should hold so that this node's pods reach the peers' subnets. Pure: the same input gives the same
 * state in the same order. A network in which this node holds no subnet gets nothing.
 */
export function desiredOverlay(input: OverlayInput): DesiredState {
  const peersOf = groupPeers(input.peers);
  const links = new Map<string, DesiredLink>();
  const parts: BackendPart[] = [];
  const mtus: Record<string, number> = Object.create(null);
  const changes: ChangeProgress[] = [];

  for (const network of input.networks) {
    const own = input.leases.find((lease) => lease.network === network.name);
    if (own === undefined || own.subnets.length === 0) continue;
    const peers = peersOf.get(network.name) ?? [];
    const { nodeId, underlay, paired, peers: everyPeer } = input;
    const context = { nodeId, network, own, peers, everyPeer, underlay, paired };
    const part = backendPart(network.backend, context);
    const { change } = network;
    const before = change && { ...network, backend: change.previous };
    if (change !== undefined && before !== undefined) {
      changes.push(keepPrevious(part, backendPart(change.previous, { ...context, network: before }), context, change));
    }
    for (const link of part.links) links.set(link.name, link);
    const largest = Math.min(...[network, before ?? network].map((spec) => podMtu(spec, input.underlay)));
    const mtu = smallestMtu(largest, part);
    part.routes.push(...ownEnds(own, part), ...own.subnets.map(unreachable));
    const problem = mtuProblem(network, own, mtu, input.underlay);
    if (problem !== undefined) part.refusals.push(problem);
    parts.push(part);
    mtus[network.name] = mtu;
  }
  return {
    links: [...links.values()],
    addresses: parts.flatMap((part) => part.addresses),
    neighbours: parts.flatMap((part) => part.neighbours),
    fdb: parts.flatMap((part) => part.fdb),
    wireguard: mergeWireguard(parts.flatMap((part) => part.wireguard)),
    routes: parts.flatMap((part) => part.routes),
    switches: parts.flatMap((part) => part.switches),
    sysctls: parts.length === 0 ? [] : nodeSysctls(input),
    podMtu: mtus,
    changes,
    refusals: parts.flatMap((part) => part.refusals),
  };
}

function backendPart<T extends BackendType>(
  backend: Backend<T> & { readonly type: T },
  context: Omit<NetworkContext, "backend">,
): BackendPart {
  return PARTS[backend.type]({ ...context, backend });
}

/** What fits to every peer: one that is reached by a longer header lowers what pods are given. */
function smallestMtu(largest: number, { links, routes }: BackendPart): number {
  const ofDevice = new Map(links.map(({ name, mtu }) => [name, mtu]));
  return routes.reduce((mtu, route) => Math.min(mtu, route.mtu ?? ofDevice.get(route.device ?? "") ?? mtu), largest);
}

/**
 * Without it a packet to an address that no pod has would follow the default route out of the node (before the first
 * pod there is no bridge with a better one), and may come back and circle. The sender hears "no route" at once.
 */
function unreachable(dst: Prefix): DesiredRoute {
  return { dst, type: "unreachable", metric: LAST_METRIC };
}

/**
 * The subnets' lowest addresses are this node's towards peers, which test their ways to it with them. A backend without
 * tunnels puts them on no device.
 */
function ownEnds({ subnets }: OwnLease, { addresses }: BackendPart): DesiredRoute[] {
  return subnets
    .map((subnet) => hostPrefix(prefixAddress(subnet)))
    .filter((end) => !addresses.some(({ address }) => address === end))
    .map((end) => ({ dst: end, type: "local", device: "lo" }));
}

function nodeSysctls({ networks, leases, underlay }: OverlayInput): DesiredSysctl[] {
  const families = new Set(leases.flatMap((lease) => lease.subnets.map(prefixFamily)));
  const sysctls: DesiredSysctl[] = networks.some(movesPlainRoutes)
    ? [{ key: `net/ipv4/conf/${underlay.device}/rp_filter`, value: "2", onlyFrom: "1" }]
    : [];
  if (families.has(4)) sysctls.push({ key: "net/ipv4/ip_forward", value: "1" });
  if (families.has(6)) {
    // A forwarding host ignores router advertisements unless told otherwise (Documentation/networking/ip-sysctl.rst,
    // accept_ra): the node would lose its own default route.
    sysctls.push({ key: `net/ipv6/conf/${underlay.device}/accept_ra`, value: "2", onlyFrom: "1" });
    sysctls.push({ key: "net/ipv6/conf/all/forwarding", value: "1" });
  }
  return sysctls;
}

/** Then a peer's packets come in plainly while ours to it go through a tunnel already, or the other way about. */
function movesPlainRoutes(network: NetworkSpec): boolean {
  if (network.change === undefined) return false;
  return backendsOf(network).some((backend) => backend.directRouting || !isTunnel(backend));
}

function groupPeers(peers: readonly Peer[]): ReadonlyMap<string, readonly Peer[]> {
  const groups = new Map<string, Peer[]>();
  for (const peer of peers) {
    const group = groups.get(peer.network);
    if (group === undefined) groups.set(peer.network, [peer]);
    else group.push(peer);
  }
  return groups;
}

/** Why pods of the network cannot work with that MTU; undefined when they can. */
export function mtuProblem(
  { name }: NetworkSpec,
  own: OwnLease,
  mtu: number,
  { device }: Underlay,
): string | undefined {
  if (mtu >= MINIMUM_IPV6_MTU || own.subnets.every((subnet) => prefixFamily(subnet) === 4)) return undefined;
  return `network "${name}": the pods' MTU would be ${mtu}, and IPv6 needs ${MINIMUM_IPV6_MTU}; raise the MTU of ${device}`;
}
