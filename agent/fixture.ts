import type { Delta__Output } from "../proto/gen/podwire/v1/Delta.ts";
import type { Lease__Output } from "../proto/gen/podwire/v1/Lease.ts";
import type { Network__Output } from "../proto/gen/podwire/v1/Network.ts";
import type { Snapshot__Output } from "../proto/gen/podwire/v1/Snapshot.ts";
import type { Subnet__Output } from "../proto/gen/podwire/v1/Subnet.ts";

/* Messages of a controller, for tests. */

export function network(name: string, change: Partial<Network__Output> = {}): Network__Output {
  return {
    name,
    cidrs: ["10.244.0.0/16"],
    ipv4SubnetLength: 24,
    ipv6SubnetLength: 64,
    backend: { type: "vxlan", mode: "flow", vni: 0, port: 0, directRouting: false, mtu: 0, tunnel: "" },
    masquerade: true,
    createdAt: 1,
    generation: 0,
    previous: null,
    required: 0,
    ...change,
  };
}

/** A subnet of network "a". */
export function subnet(prefix: string, nodeId: string, change: Partial<Subnet__Output> = {}): Subnet__Output {
  return {
    network: "a",
    subnet: prefix,
    epoch: 1,
    nodeId,
    nodeName: nodeId,
    addresses: ["192.0.2.99"],
    vtepMac: "",
    reserved: false,
    expiresAt: 0,
    createdAt: 1,
    revision: 1,
    receives: 0,
    sends: 0,
    publicKey: "",
    ...change,
  };
}

export function lease(name: string, change: Partial<Lease__Output> = {}): Lease__Output {
  return {
    network: name,
    state: "LEASE_STATE_HELD",
    reason: "",
    subnets: [{ subnet: "10.244.7.0/24", epoch: 3 }],
    expiresAt: 0,
    ttlSeconds: 60,
    ...change,
  };
}

export function snapshot(revision: number, networks: Network__Output[], subnets: Subnet__Output[]): Snapshot__Output {
  return { revision, networks, subnets };
}

export function delta(revision: number): Delta__Output {
  return { revision, networks: [], deletedNetworks: [], subnets: [], deletedSubnets: [] };
}
