import { factsOf, wireOf } from "../../backends/backend.ts";
import { type Address, type Family, familyOf, isAddress } from "../../net/address.ts";
import { comparePrefixes, contains, type Prefix, prefixFamily } from "../../net/prefix.ts";
import type { Network__Output as Network } from "../../proto/gen/podwire/v1/Network.ts";
import type { Node__Output as Node } from "../../proto/gen/podwire/v1/Node.ts";
import type { Subnet__Output as Subnet } from "../../proto/gen/podwire/v1/Subnet.ts";
import { backendName } from "./network.ts";
import { compareText, isNode } from "./node.ts";
import { API_VERSION, type ApiObject, present, type Resource } from "./resource.ts";
import { holder } from "./subnet.ts";

/** How nodes reach a subnet, as the controller told them to. What a node's kernel holds is shown by `cnictl dump` there. */
export interface Route {
  /** The node that has the route; undefined: every node but the destination's own. */
  readonly from?: string;
  readonly destination: Prefix;
  readonly network: string;
  /** The node that holds the subnet. */
  readonly node: string;
  /** That node's address on the underlay; undefined when the route does not leave the node, or cannot be made. */
  readonly via?: Address;
  /** `vxlan/flow`, `vxlan/static`, `direct`, `direct or vxlan/…` (on the same segment or not), `local`, or why there is none. */
  readonly how: string;
  readonly vni?: number;
}

/** What routes follow from. */
export interface Topology {
  readonly networks: readonly Network[];
  readonly subnets: readonly Subnet[];
  readonly nodes: readonly Node[];
}

/**
 * The routes to every subnet that a node holds: those of the node `from` (name or id), or without it one row a
 * subnet, since all other nodes reach it alike.
 */
export function deriveRoutes({ networks, subnets, nodes }: Topology, from?: string): readonly Route[] {
  const source = from === undefined ? undefined : nodes.find((node) => isNode(node, from));
  if (from !== undefined && source === undefined) return [];
  const networkOf = new Map(networks.map((network) => [network.name, network]));
  return subnets.flatMap((subnet) => {
    const network = networkOf.get(subnet.network);
    return subnet.nodeId === "" || network === undefined ? [] : [routeTo(subnet, network, source)];
  });
}

function routeTo(subnet: Subnet, network: Network, source: Node | undefined): Route {
  const route = {
    ...(source === undefined ? {} : { from: source.name }),
    destination: subnet.subnet as Prefix,
    network: network.name,
    node: holder(subnet),
  };
  if (source?.id === subnet.nodeId) return { ...route, how: "local" };

  const backend = backendName(network);
  if (source !== undefined && !source.backends.includes(backend)) {
    return { ...route, how: `none: ${source.name} cannot do ${backend || "it"}` };
  }
  const { directRouting, vni } = network.backend ?? {};
  const via = underlayAddress(subnet, source, underlayFamilies(network, subnet));
  if (via === undefined) return { ...route, how: `none: ${route.node} has no address of a family that it takes` };
  if (!isTunnel(network.backend)) return { ...route, via, how: "direct" };
  const how = directRouting ? `direct or ${backend}` : backend;
  return { ...route, via, how, ...(vni ? { vni } : {}) };
}

/** The families that agents take to the holder, the preferred one first; a plain next hop can only be of the subnet's own. */
function underlayFamilies({ backend }: Network, { subnet }: Subnet): readonly Family[] {
  const own = prefixFamily(subnet as Prefix);
  if (backend === null || !isTunnel(backend)) return [own];
  const over: readonly Family[] = factsOf(backend.type)?.over ?? [4, 6];
  return own === 6 && wireOf(backend)?.followsPods === true ? over.toReversed() : over;
}

/** One of which nothing is known may well be. */
function isTunnel(backend: Network["backend"]): boolean {
  return backend !== null && (factsOf(backend.type) === undefined || wireOf(backend) !== undefined);
}

function underlayAddress(subnet: Subnet, source: Node | undefined, families: readonly Family[]): Address | undefined {
  const ours = source && new Set(source.addresses.map((address) => familyOf(address as Address)));
  const theirs = subnet.addresses as Address[];
  const family = families.find(
    (family) => (ours?.has(family) ?? true) && theirs.some((address) => familyOf(address) === family),
  );
  return theirs.find((address) => familyOf(address) === family);
}

export const routes: Resource<Route> = {
  kind: "route",
  plural: "routes",
  watches: ["nodes", "networks", "subnets"],
  columns: [
    { title: "FROM", cell: ({ from }) => from ?? "*" },
    { title: "DESTINATION", cell: ({ destination }) => destination },
    { title: "NETWORK", cell: ({ network }) => network },
    { title: "NODE", cell: ({ node }) => node },
    { title: "VIA", cell: ({ via }) => via ?? "" },
    { title: "HOW", cell: ({ how }) => how },
    { title: "VNI", wide: true, cell: ({ vni }) => (vni === undefined ? "" : String(vni)) },
  ],
  list: async (admin, { network, node }) => {
    const [all, networks, subnets] = await Promise.all([
      admin.listNodes(),
      admin.listNetworks(),
      admin.listSubnets(network === undefined ? {} : { network }),
    ]);
    const found = deriveRoutes({ networks, subnets, nodes: all.nodes }, node);
    return [...found].sort(
      (a, b) => compareText(a.network, b.network) || comparePrefixes(a.destination, b.destination),
    );
  },
  name: ({ destination }) => destination,
  key: ({ from = "*", network, destination }) => `${from} ${network} ${destination}`,
  // A route is also meant by an address that it leads to.
  matches: ({ destination }, name) =>
    destination === name || (isAddress(name) && contains(destination, name as Address)),
  toObject: ({ from, destination, network, node, via, how, vni }): ApiObject => ({
    apiVersion: API_VERSION,
    kind: "Route",
    metadata: { name: destination },
    spec: present({ from, destination, network, node, via, how, vni }),
  }),
};
