import { comparePrefixes, type Prefix } from "../../net/prefix.ts";
import type { Subnet__Output as Subnet } from "../../proto/gen/podwire/v1/Subnet.ts";
import { formatAge, formatExpiry, timestamp } from "../age.ts";
import { compareText } from "./node.ts";
import { API_VERSION, type ApiObject, present, type Resource } from "./resource.ts";

export const subnets: Resource<Subnet> = {
  kind: "subnet",
  plural: "subnets",
  watches: ["subnets"],
  columns: [
    { title: "NAME", cell: ({ subnet }) => subnet },
    { title: "NETWORK", cell: ({ network }) => network },
    { title: "NODE", cell: (subnet) => holder(subnet) },
    { title: "RESERVED", cell: ({ reserved }) => String(reserved) },
    { title: "EXPIRES", ticking: true, cell: ({ expiresAt }, now) => formatExpiry(expiresAt, now) },
    { title: "AGE", ticking: true, cell: ({ createdAt }, now) => formatAge(createdAt, now) },
    { title: "ADDRESSES", wide: true, cell: ({ addresses }) => addresses.join(",") },
    { title: "EPOCH", wide: true, cell: ({ epoch }) => String(epoch) },
    { title: "REVISION", wide: true, cell: ({ revision }) => String(revision) },
    { title: "VTEP-MAC", wide: true, cell: ({ vtepMac }) => vtepMac },
  ],
  list: async (admin, { network, node }) => {
    const all = await admin.listSubnets(network === undefined ? {} : { network });
    return all
      .filter(({ nodeName, nodeId }) => node === undefined || nodeName === node || nodeId === node)
      .sort(compareSubnets);
  },
  name: ({ subnet }) => subnet,
  key: ({ network, subnet }) => `${network} ${subnet}`,
  matches: ({ subnet }, name) => subnet === name,
  toObject,
};

/** The holder's name, its id when the name is not known, and nothing when nobody holds it. */
export function holder({ nodeName, nodeId }: Subnet): string {
  return nodeName || nodeId;
}

/** The holder in words: a reservation may be for a node that has never joined, or for nobody. */
export function describeHolder(subnet: Subnet, status: string | undefined): string {
  if (subnet.nodeId !== "") return `${holder(subnet)} (${subnet.nodeId}), ${status ?? "unknown to the controller"}`;
  return subnet.nodeName === "" ? "<none>, kept from every node" : `${subnet.nodeName}, has not joined yet`;
}

/** By network, then by address. */
export function compareSubnets(a: Subnet, b: Subnet): number {
  return compareText(a.network, b.network) || comparePrefixes(a.subnet as Prefix, b.subnet as Prefix);
}

function toObject(subnet: Subnet): ApiObject {
  return {
    apiVersion: API_VERSION,
    kind: "Subnet",
    metadata: { name: subnet.subnet, ...present({ creationTimestamp: timestamp(subnet.createdAt) }) },
    spec: {
      network: subnet.network,
      ...(subnet.nodeId === "" ? {} : { node: present({ id: subnet.nodeId, name: subnet.nodeName }) }),
      reserved: subnet.reserved,
    },
    status: present({
      epoch: subnet.epoch,
      addresses: subnet.addresses,
      vtepMac: subnet.vtepMac,
      expiresAt: timestamp(subnet.expiresAt),
      revision: subnet.revision,
    }),
  };
}
