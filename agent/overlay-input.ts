import type { UncheckedBackend } from "../backends/check.ts";
import { isAddress } from "../net/address.ts";
import { parseEndpoint } from "../net/endpoint.ts";
import { parsePrefix } from "../net/prefix.ts";
import type { OverlayInput, Underlay } from "../overlay/network.ts";
import { isNetworkName, oneLine, parseNetworks, quote, type UncheckedNetwork } from "../overlay/parse-network.ts";
import { parseLeases, parsePeers } from "../overlay/parse-peers.ts";
import type { Backend__Output } from "../proto/gen/podwire/v1/Backend.ts";
import type { Lease__Output } from "../proto/gen/podwire/v1/Lease.ts";
import type { Network__Output } from "../proto/gen/podwire/v1/Network.ts";
import type { Subnet__Output } from "../proto/gen/podwire/v1/Subnet.ts";
import type { ClusterState } from "./cluster-state.ts";
import type { WireguardKeys } from "./wireguard-keys.ts";

/** The cluster as far as it could be believed, and a sentence for every part that could not. */
export interface CheckedInput extends OverlayInput {
  readonly refusals: readonly string[];
}

/** Beyond all epochs that a store can say: what is only remembered yields to what is told. */
const REMEMBERED_EPOCH = 1n << 64n;
/** Each is checked against all others, and has a file. */
export const MOST_NETWORKS = 256;
/** A fenced node may name more than one subnet per family, but not many. */
const MOST_SUBNETS = 16;

/**
 * Checks what the controller (or a file) said against hostile and mistaken values. Whatever is refused is left out, the
 * rest stands. Fenced leases give this node nothing: their subnets are other nodes' now.
 * @param joined the networks that this node takes part in; none: all
 * @param keys of this node's WireGuard
 */
export function overlayInput(
  state: ClusterState,
  nodeId: string,
  underlay: Underlay,
  joined: readonly string[],
  keys?: Pick<WireguardKeys, "publicKey" | "paired">,
): CheckedInput {
  const { remembered } = state;
  const told = [...oldestFirst(state.networks.values()), ...oldestFirst(remembered?.networks.values() ?? [])];
  const wanted = told.filter(({ name }) => joined.length === 0 || joined.includes(name));
  const networks = parseNetworks(wanted.slice(0, MOST_NETWORKS).map(unchecked));
  const held = [...state.leases.values()].filter((lease) => lease.state === "LEASE_STATE_HELD");
  const leases = parseLeases(
    held.map(({ network, subnets }) => ({ network, subnets: subnets.map(({ subnet }) => subnet) })),
    { networks: networks.accepted, underlay },
  );
  const peers = parsePeers(
    [
      ...Array.from(state.subnets.values(), (subnet) => withEpoch(subnet, 0n)),
      ...Array.from(remembered?.subnets.values() ?? [], (subnet) => withEpoch(subnet, REMEMBERED_EPOCH)),
    ],
    { nodeId, networks: networks.accepted, leases: leases.accepted, underlay, publicKey: keys?.publicKey },
  );
  return {
    nodeId,
    networks: networks.accepted,
    leases: leases.accepted,
    peers: peers.accepted,
    underlay,
    paired: keys?.paired,
    refusals: [...tooMany(wanted.length), ...networks.refusals, ...leases.refusals, ...peers.refusals],
  };
}

/**
 * Why a lease that came in is not even kept: it would be named in every hello from now on, and a controller that says
 * sane things later would refuse this node for it. Undefined when it is fine.
 */
export function leaseRefusal({ network, subnets }: Lease__Output): string | undefined {
  if (!isNetworkName(network)) return oneLine(`a lease in network ${quote(network)} is refused: that is not a name`);
  const refused = (why: string) => oneLine(`our lease in network "${network}" is refused: ${why}`);
  if (subnets.length > MOST_SUBNETS) return refused(`it has ${subnets.length} subnets`);
  for (const { subnet, epoch } of subnets) {
    try {
      parsePrefix(subnet);
    } catch (error) {
      return refused(error instanceof Error ? error.message : String(error));
    }
    if (!Number.isSafeInteger(epoch) || epoch < 0) return refused(`epoch ${epoch} of ${subnet} is no revision`);
  }
  return undefined;
}

function tooMany(networks: number): string[] {
  return networks <= MOST_NETWORKS ? [] : [`${networks - MOST_NETWORKS} networks beyond ${MOST_NETWORKS} are refused`];
}

function oldestFirst(networks: Iterable<Network__Output>): Network__Output[] {
  return [...networks].sort((a, b) => a.createdAt - b.createdAt);
}

/** A machine that does not run podwire (flannel's, until it is taken over) has no node id; its address names it. */
function withEpoch(subnet: Subnet__Output, more: bigint): Omit<Subnet__Output, "epoch"> & { epoch: bigint } {
  const [address = ""] = subnet.addresses;
  const nodeId = subnet.nodeId === "" && address !== "" ? `address/${address}` : subnet.nodeId;
  return { ...subnet, nodeId, epoch: BigInt(subnet.epoch) + more };
}

function unchecked(network: Network__Output): UncheckedNetwork {
  const { name, cidrs, ipv4SubnetLength, ipv6SubnetLength, backend, masquerade, previous, generation, required } =
    network;
  const change = previous && { previous: uncheckedBackend(previous), generation, required };
  return {
    name,
    cidrs,
    subnetLengths: { 4: ipv4SubnetLength, 6: ipv6SubnetLength },
    backend: uncheckedBackend(backend),
    ...(change && { change }),
    masquerade,
  };
}

function uncheckedBackend(backend: Backend__Output | null): UncheckedBackend {
  const { type = "", mode = "", tunnel = "", vni = 0, port = 0, directRouting = false, mtu = 0 } = backend ?? {};
  return { type, mode, tunnel, vni, port, directRouting, mtu };
}

/** The host of host:port when it is an address. */
export function addressOfEndpoint(endpoint: string): string | undefined {
  const { host } = parseEndpoint(endpoint);
  return isAddress(host) ? host : undefined;
}
