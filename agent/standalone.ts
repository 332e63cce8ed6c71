import { prefixAddress } from "../net/prefix.ts";
import type { Underlay } from "../overlay/network.ts";
import type { Network__Output } from "../proto/gen/podwire/v1/Network.ts";
import type { Subnet__Output } from "../proto/gen/podwire/v1/Subnet.ts";
import { type ClusterState, EMPTY_STATE, subnetKey } from "./cluster-state.ts";

/** A cluster without a controller, as a file says it; the same file may lie on every node. */
export interface StandaloneFile {
  readonly networks: readonly {
    readonly name: string;
    readonly cidrs: readonly string[];
    readonly backend?: {
      readonly type?: string;
      readonly mode?: string;
      readonly vni?: number;
      readonly port?: number;
      readonly directRouting?: boolean;
      readonly mtu?: number;
    };
    readonly masquerade?: boolean;
    /** The nodes' subnets. One without an address is this node's, which makes sense for a single machine. */
    readonly subnets: readonly { readonly subnet: string; readonly publicIP?: string; readonly nodeName?: string }[];
  }[];
}

/** One machine alone: a network of one subnet. */
export const SINGLE_MACHINE: StandaloneFile = {
  networks: [{ name: "default", cidrs: ["10.244.0.0/24"], subnets: [{ subnet: "10.244.0.0/24" }] }],
};

/**
 * Reads the file's text.
 * @throws Error saying which key is wrong; values are checked later, like those of a controller
 */
export function parseStandalone(text: string, path: string): StandaloneFile {
  const file: unknown = JSON.parse(text);
  const networks = (file as Partial<StandaloneFile> | null)?.networks;
  if (!Array.isArray(networks))
    throw new Error(`${path}: "networks" is missing; it is a list of {name, cidrs, subnets}`);
  for (const [i, network] of networks.entries()) {
    if (typeof network?.name !== "string") throw new Error(`${path}: networks[${i}].name is not a text`);
    for (const key of ["cidrs", "subnets"]) {
      if (!Array.isArray(network[key])) throw new Error(`${path}: networks[${i}].${key} is not a list`);
    }
  }
  return { networks };
}

/** The file as if a controller had said it, to the node with these addresses. Nodes are known by their address alone. */
export function standaloneState(file: StandaloneFile, nodeId: string, underlay: Underlay | undefined): ClusterState {
  const mine = new Set(underlay?.addresses.map(prefixAddress) as string[] | undefined);
  const isOwn = (publicIP?: string): boolean => publicIP === undefined || mine.has(publicIP);
  const subnets = file.networks.flatMap(({ name, subnets: listed }) =>
    listed.map(({ subnet, publicIP, nodeName }) =>
      subnetOf(name, subnet, isOwn(publicIP) ? nodeId : `mesh/${publicIP}`, publicIP, nodeName),
    ),
  );
  return {
    ...EMPTY_STATE,
    revision: 1,
    networks: Object.fromEntries(file.networks.map((network, i) => [network.name, networkOf(network, i)])),
    subnets: Object.fromEntries(subnets.map((subnet) => [subnetKey(subnet), subnet])),
    leases: Object.fromEntries(
      file.networks.map(({ name }) => {
        const own = subnets.filter((subnet) => subnet.network === name && subnet.nodeId === nodeId);
        const held = own.length > 0;
        return [
          name,
          {
            network: name,
            state: held ? ("LEASE_STATE_HELD" as const) : ("LEASE_STATE_NONE" as const),
            reason: held
              ? ""
              : `none of the network's subnets is listed with an address of this node (${[...mine].join(", ")})`,
            subnets: own.map(({ subnet }) => ({ subnet, epoch: 1 })),
            expiresAt: 0,
            ttlSeconds: 0,
          },
        ];
      }),
    ),
  };
}

function networkOf(
  { name, cidrs, backend = {}, masquerade = true }: StandaloneFile["networks"][number],
  order: number,
): Network__Output {
  const { type = "vxlan", mode = "flow", vni = 0, port = 0, directRouting = false, mtu = 0 } = backend;
  return {
    name,
    cidrs: [...cidrs],
    ipv4SubnetLength: Math.max(24, ...cidrs.filter((cidr) => !cidr.includes(":")).map(lengthOf)),
    ipv6SubnetLength: Math.max(64, ...cidrs.filter((cidr) => cidr.includes(":")).map(lengthOf)),
    backend: { type, mode, vni, port, directRouting, mtu },
    masquerade,
    createdAt: order,
  };
}

function lengthOf(cidr: string): number {
  return Number(cidr.slice(cidr.indexOf("/") + 1)) || 0;
}

function subnetOf(network: string, subnet: string, nodeId: string, publicIP = "", nodeName = publicIP): Subnet__Output {
  return {
    network,
    subnet,
    epoch: 1,
    nodeId,
    nodeName,
    addresses: publicIP === "" ? [] : [publicIP],
    vtepMac: "",
    reserved: true,
    expiresAt: 0,
    createdAt: 0,
    revision: 1,
  };
}
