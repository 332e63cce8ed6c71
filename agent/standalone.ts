import { address, array, boolean, type Decoded, integer, network, object, optional, string } from "../cni/decode.ts";
import { contains, overlaps, prefixAddress, prefixFamily } from "../net/prefix.ts";
import type { Underlay } from "../overlay/network.ts";
import { parseNetworks, type UncheckedNetwork } from "../overlay/parse-network.ts";
import type { Network__Output } from "../proto/gen/podwire/v1/Network.ts";
import type { Subnet__Output } from "../proto/gen/podwire/v1/Subnet.ts";
import { type ClusterState, EMPTY_STATE, subnetKey } from "./cluster-state.ts";

const backend = object({
  type: optional(string),
  mode: optional(string),
  tunnel: optional(string),
  vni: optional(integer(1, 0xffffff)),
  port: optional(integer(1, 65535)),
  directRouting: optional(boolean),
  mtu: optional(integer(576, 65535)),
});

const nodeSubnet = object({
  subnet: network,
  publicIP: optional(address),
  nodeName: optional(string),
  publicKey: optional(string),
});

const standaloneNetwork = object({
  name: string,
  cidrs: array(network),
  backend: optional(backend),
  masquerade: optional(boolean),
  subnets: array(nodeSubnet),
});

const standaloneFile = object({ networks: array(standaloneNetwork) });

/** A cluster without a controller, as a file says it; the same file may lie on every node. */
export interface StandaloneFile {
  readonly networks: readonly {
    readonly name: string;
    readonly cidrs: readonly string[];
    readonly backend?: {
      readonly type?: string;
      readonly mode?: string;
      readonly tunnel?: string;
      readonly vni?: number;
      readonly port?: number;
      readonly directRouting?: boolean;
      readonly mtu?: number;
    };
    readonly masquerade?: boolean;
    /**
     * The nodes' subnets, at most one per family and node. One without an address is this node's, which makes sense for
     * a single machine. A name joins the entries of a node that has more than one address. A backend of wireguard needs the
     * key that each node's agent tells in its log.
     */
    readonly subnets: readonly {
      readonly subnet: string;
      readonly publicIP?: string;
      readonly nodeName?: string;
      readonly publicKey?: string;
    }[];
  }[];
}

type StandaloneNetwork = StandaloneFile["networks"][number];
type StandaloneSubnet = StandaloneNetwork["subnets"][number];

/** One machine alone: a network of one subnet. */
export const SINGLE_MACHINE: StandaloneFile = {
  networks: [{ name: "default", cidrs: ["10.244.0.0/24"], subnets: [{ subnet: "10.244.0.0/24" }] }],
};

/**
 * Reads the file's text.
 * @throws Error naming the file, the key, the value and what would be right
 */
export function parseStandalone(text: string, path: string): StandaloneFile {
  try {
    const file = standaloneFile(JSON.parse(text), "");
    if (file.networks.length === 0) throw new Error("networks: [] lists no network");
    const { refusals } = parseNetworks(file.networks.map(unchecked));
    if (refusals.length > 0) throw new Error(refusals.join("; "));
    for (const [i, each] of file.networks.entries()) checkSubnets(each, `networks[${i}]`);
    return file;
  } catch (cause) {
    throw new Error(`${path}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

function unchecked({ name, cidrs, backend, masquerade = true }: StandaloneNetwork): UncheckedNetwork {
  return { name, cidrs, backend: { type: "", ...backend }, masquerade, subnetLengths: subnetLengths(cidrs) };
}

function checkSubnets({ cidrs, subnets }: Decoded<typeof standaloneNetwork>, path: string): void {
  if (subnets.length === 0) throw new Error(`${path}.subnets: [] lists no subnet; list at least this node's`);
  for (const [i, { subnet, publicIP, nodeName }] of subnets.entries()) {
    const at = `${path}.subnets[${i}].subnet: ${subnet}`;
    if (!cidrs.some((cidr) => contains(cidr, subnet)))
      throw new Error(`${at} is outside the network's cidrs ${cidrs.join(", ")}`);
    const others = subnets.slice(0, i);
    const clash = others.find((other) => overlaps(other.subnet, subnet));
    if (clash !== undefined) throw new Error(`${at} overlaps ${clash.subnet}, which is listed before it`);
    const node = nodeName ?? publicIP;
    const second = others.find(
      (other) => (other.nodeName ?? other.publicIP) === node && prefixFamily(other.subnet) === prefixFamily(subnet),
    );
    if (second !== undefined)
      throw new Error(`${at} is a second one of ${node ?? "this node"}, which has ${second.subnet} already`);
  }
}

/** How the nodes of a file are known to each other: by name, or by address. */
function listedNodeId({ nodeName, publicIP }: StandaloneSubnet): string | undefined {
  const name = nodeName ?? publicIP;
  return name === undefined ? undefined : `mesh/${name}`;
}

/** The identities under which a file lists the node with these addresses. */
function ownIds(file: StandaloneFile, underlay: Underlay | undefined): ReadonlySet<string | undefined> {
  const mine: readonly string[] = underlay?.addresses.map(prefixAddress) ?? [];
  const own = file.networks.flatMap(({ subnets }) =>
    subnets.filter(({ publicIP }) => publicIP === undefined || mine.includes(publicIP)),
  );
  return new Set([undefined, ...own.map(listedNodeId)]);
}

/**
 * The node id to run under, so that all nodes with the file derive the same of it (the VTEP's MAC address).
 * @returns undefined when the file lists no address of this node
 */
export function standaloneNodeId(file: StandaloneFile, underlay: Underlay | undefined): string | undefined {
  return [...ownIds(file, underlay)].find((id) => id !== undefined);
}

/** The file as if a controller had said it, to the node with these addresses. */
export function standaloneState(file: StandaloneFile, nodeId: string, underlay: Underlay | undefined): ClusterState {
  const own = ownIds(file, underlay);
  const mine = underlay?.addresses.map(prefixAddress) ?? [];
  const subnets = file.networks.flatMap(({ name, subnets: listed }) =>
    listed.map((each) => {
      const id = listedNodeId(each);
      const addresses = listed.flatMap((other) =>
        listedNodeId(other) === id && other.publicIP !== undefined ? [other.publicIP] : [],
      );
      return subnetOf(name, each, own.has(id) ? nodeId : (id ?? nodeId), [...new Set(addresses)]);
    }),
  );
  return {
    ...EMPTY_STATE,
    revision: 1,
    networks: new Map(file.networks.map((network, i) => [network.name, networkOf(network, i)])),
    subnets: new Map(subnets.map((subnet) => [subnetKey(subnet), subnet])),
    leases: new Map(
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
  const lengths = subnetLengths(cidrs);
  const { type = "vxlan", mode = "flow", tunnel = "", vni = 0, port = 0, directRouting = false, mtu = 0 } = backend;
  return {
    name,
    cidrs: [...cidrs],
    ipv4SubnetLength: lengths[4],
    ipv6SubnetLength: lengths[6],
    backend: { type, mode, tunnel, vni, port, directRouting, mtu },
    masquerade,
    createdAt: order,
    generation: 0,
    previous: null,
    required: 0,
  };
}

/** No more than a name for "any": a file says each node's subnet itself. */
function subnetLengths(cidrs: readonly string[]): { readonly 4: number; readonly 6: number } {
  return {
    4: Math.max(24, ...cidrs.filter((cidr) => !cidr.includes(":")).map(lengthOf)),
    6: Math.max(64, ...cidrs.filter((cidr) => cidr.includes(":")).map(lengthOf)),
  };
}

function lengthOf(cidr: string): number {
  return Number(cidr.slice(cidr.indexOf("/") + 1)) || 0;
}

function subnetOf(
  network: string,
  { subnet, publicIP = "", nodeName = publicIP, publicKey = "" }: StandaloneSubnet,
  nodeId: string,
  addresses: readonly string[],
): Subnet__Output {
  return {
    network,
    subnet,
    epoch: 1,
    nodeId,
    nodeName,
    addresses: [...addresses],
    vtepMac: "",
    reserved: true,
    expiresAt: 0,
    createdAt: 0,
    revision: 1,
    receives: 0,
    sends: 0,
    publicKey,
  };
}
