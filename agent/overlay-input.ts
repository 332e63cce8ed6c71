import { isAddress } from "../net/address.ts";
import type { OverlayInput, Underlay } from "../overlay/network.ts";
import { parseNetworks, type UncheckedNetwork } from "../overlay/parse-network.ts";
import { parseLeases, parsePeers } from "../overlay/parse-peers.ts";
import type { Network__Output } from "../proto/gen/podwire/v1/Network.ts";
import type { ClusterState } from "./cluster-state.ts";

/** The cluster as far as it could be believed, and a sentence for every part that could not. */
export interface CheckedInput extends OverlayInput {
  readonly refusals: readonly string[];
}

/**
 * Checks what the controller (or a file) said against hostile and mistaken values. Whatever is refused is left out, the
 * rest stands. Fenced leases give this node nothing: their subnets are other nodes' now.
 * @param joined the networks that this node takes part in; none: all
 */
export function overlayInput(
  state: ClusterState,
  nodeId: string,
  underlay: Underlay,
  joined: readonly string[],
): CheckedInput {
  const wanted = Object.values(state.networks).filter(({ name }) => joined.length === 0 || joined.includes(name));
  const networks = parseNetworks(wanted.toSorted((a, b) => a.createdAt - b.createdAt).map(unchecked));
  const held = Object.values(state.leases).filter((lease) => lease.state === "LEASE_STATE_HELD");
  const leases = parseLeases(
    held.map(({ network, subnets }) => ({ network, subnets: subnets.map(({ subnet }) => subnet) })),
    { networks: networks.accepted, underlay },
  );
  const peers = parsePeers(
    Object.values(state.subnets).map((subnet) => ({ ...subnet, epoch: BigInt(subnet.epoch) })),
    { nodeId, networks: networks.accepted, leases: leases.accepted, underlay },
  );
  return {
    nodeId,
    networks: networks.accepted,
    leases: leases.accepted,
    peers: peers.accepted,
    underlay,
    refusals: [...networks.refusals, ...leases.refusals, ...peers.refusals],
  };
}

function unchecked({
  name,
  cidrs,
  ipv4SubnetLength,
  ipv6SubnetLength,
  backend,
  masquerade,
}: Network__Output): UncheckedNetwork {
  const { type = "", mode = "", vni = 0, port = 0, directRouting = false, mtu = 0 } = backend ?? {};
  return {
    name,
    cidrs,
    subnetLengths: { 4: ipv4SubnetLength, 6: ipv6SubnetLength },
    backend: { type, mode, vni, port, directRouting, mtu },
    masquerade,
  };
}

/** The host of "host:port" when it is an address, to find the device that routes there. */
export function addressOfEndpoint(endpoint: string): string | undefined {
  const host = endpoint.slice(0, endpoint.lastIndexOf(":")).replace(/^\[|\]$/g, "");
  return isAddress(host) ? host : undefined;
}
