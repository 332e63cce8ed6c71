import type { Lease as LeaseMessage } from "../../proto/gen/podwire/v1/Lease.ts";
import type { Network as NetworkMessage } from "../../proto/gen/podwire/v1/Network.ts";
import type { Subnet as SubnetMessage } from "../../proto/gen/podwire/v1/Subnet.ts";
import type { Lease } from "./leases.ts";
import type { Network, Subnet } from "./state.ts";

/** Of podwire.proto; `ttl` in milliseconds. */
export function leaseMessage(lease: Lease, ttl: number): LeaseMessage {
  return {
    network: lease.network,
    state: `LEASE_STATE_${lease.state}`,
    reason: lease.reason,
    subnets: [...lease.subnets],
    expiresAt: lease.expiresAt,
    ttlSeconds: Math.ceil(ttl / 1000),
  };
}

export function networkMessage(network: Network): NetworkMessage {
  const { name, cidrs, subnetLengths, backend, masquerade, createdAt, generation, backendSince, previous } = network;
  return {
    name,
    cidrs: [...cidrs],
    ipv4SubnetLength: subnetLengths[4] ?? 0,
    ipv6SubnetLength: subnetLengths[6] ?? 0,
    backend: { ...backend },
    masquerade,
    createdAt,
    generation,
    ...(previous && { previous: { ...previous.backend }, required: backendSince }),
  };
}

export function subnetMessage(subnet: Subnet): SubnetMessage {
  return {
    network: subnet.network,
    subnet: subnet.subnet,
    epoch: subnet.createRevision,
    nodeId: subnet.nodeId,
    nodeName: subnet.nodeName,
    addresses: [...subnet.addresses],
    vtepMac: subnet.vtepMac ?? "",
    reserved: subnet.reserved,
    expiresAt: subnet.expiresAt,
    createdAt: subnet.createdAt,
    revision: subnet.modRevision,
    receives: subnet.receives ?? 0,
    sends: subnet.sends ?? 0,
    publicKey: subnet.publicKey,
  };
}
