import { factsOf, backendName as kindName, wireOf } from "../../backends/backend.ts";
import type { Network__Output as Network } from "../../proto/gen/podwire/v1/Network.ts";
import { formatAge, timestamp } from "../age.ts";
import { compareText } from "./node.ts";
import { API_VERSION, type ApiObject, present, type Resource } from "./resource.ts";

/** `vxlan/flow`, `vxlan/static`, `host-gw`: the words in which nodes say what they can do. */
export function backendOf(backend: Network["backend"]): string {
  return backend === null ? "" : kindName(backend);
}

/** While it is being changed: the old one and the new one. */
export function backendName({ backend, previous }: Network): string {
  return previous === null ? backendOf(backend) : `${backendOf(previous)}→${backendOf(backend)}`;
}

/** {@link backendName}, and the tunnel where there is a choice. */
export function backendText(network: Network): string {
  const { tunnel = "" } = network.backend ?? {};
  return tunnel === "" ? backendName(network) : `${backendName(network)} (${tunnel})`;
}

/** One length for each of the network's CIDRs. */
export function subnetLengths({ cidrs, ipv4SubnetLength, ipv6SubnetLength }: Network): readonly number[] {
  return cidrs.map((cidr) => (cidr.includes(":") ? ipv6SubnetLength || 64 : ipv4SubnetLength || 24));
}

export const networks: Resource<Network> = {
  kind: "network",
  plural: "networks",
  watches: ["networks"],
  columns: [
    { title: "NAME", cell: ({ name }) => name },
    { title: "CIDRS", cell: ({ cidrs }) => cidrs.join(",") },
    { title: "BACKEND", cell: (network) => backendText(network) },
    { title: "MASQUERADE", cell: ({ masquerade }) => String(masquerade) },
    { title: "AGE", ticking: true, cell: ({ createdAt }, now) => formatAge(createdAt, now) },
    { title: "SUBNET-LENGTHS", wide: true, cell: (network) => subnetLengths(network).join(",") },
    { title: "VNI", wide: true, cell: ({ backend }) => (backend?.vni ? String(backend.vni) : "") },
    { title: "PORT", wide: true, cell: ({ backend }) => (isPortless(backend) ? "" : number(backend?.port)) },
    { title: "MTU", wide: true, cell: ({ backend }) => number(backend?.mtu) },
    { title: "DIRECT-ROUTING", wide: true, cell: ({ backend }) => String(backend?.directRouting ?? false) },
  ],
  list: async (admin, { network }) => {
    const all = await admin.listNetworks();
    return all
      .filter(({ name }) => network === undefined || name === network)
      .sort((a, b) => compareText(a.name, b.name));
  },
  name: ({ name }) => name,
  key: ({ name }) => name,
  matches: (network, name) => network.name === name,
  toObject,
};

function isPortless(backend: Network["backend"]): boolean {
  return backend !== null && factsOf(backend.type) !== undefined && wireOf(backend)?.port === undefined;
}

/** 0 leaves the choice to the agents. */
function number(value: number | undefined): string {
  return value === undefined || value === 0 ? "<auto>" : String(value);
}

function toObject(network: Network): ApiObject {
  const { name, cidrs, backend, previous, masquerade, createdAt } = network;
  return {
    apiVersion: API_VERSION,
    kind: "Network",
    metadata: { name, ...present({ creationTimestamp: timestamp(createdAt) }) },
    spec: {
      cidrs,
      subnetLengths: subnetLengths(network),
      masquerade,
      ...(backend === null ? {} : { backend: present({ ...backend }) }),
      ...(previous === null ? {} : { previousBackend: present({ ...previous }) }),
    },
  };
}
