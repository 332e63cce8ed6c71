import type { Network__Output as Network } from "../proto/gen/podwire/v1/Network.ts";
import type { Node__Output as Node } from "../proto/gen/podwire/v1/Node.ts";
import type { Subnet__Output as Subnet } from "../proto/gen/podwire/v1/Subnet.ts";
import { formatAge, timestamp } from "./age.ts";
import type { Context } from "./context.ts";
import { notFound } from "./exit.ts";
import { renderFields } from "./fields.ts";
import { backendName, networks as resource, subnetLengths } from "./resources/network.ts";
import { compareText } from "./resources/node.ts";
import { type Column, renderTable } from "./table.ts";

/** As many nodes are named where many say the same. */
const MOST_NAMES = 3;

/** `cnictl describe network`: the network, who has subnets in it, and where each node's MTU comes from. */
export async function describeNetworks(context: Context, names: readonly string[]): Promise<string[]> {
  using admin = await context.connect();
  const [networks, { nodes }] = await Promise.all([admin.listNetworks(), admin.listNodes()]);
  const texts: string[] = [];
  for (const name of names) {
    const network = networks.find((candidate) => candidate.name === name);
    if (network === undefined) throw notFound("network", name);
    const subnets = await admin.listSubnets({ network: name });
    texts.push(renderNetwork(network, subnets, nodes, context.now()));
  }
  return texts;
}

/** The text of `describe network`. */
export function renderNetwork(
  network: Network,
  subnets: readonly Subnet[],
  nodes: readonly Node[],
  now: number,
): string {
  const { name, cidrs, backend, masquerade, createdAt } = network;
  const told = (title: string) => resource.columns.find((column) => column.title === title)?.cell(network, now) ?? "";
  const holders = new Set(subnets.flatMap(({ nodeId }) => (nodeId === "" ? [] : [nodeId])));
  const reserved = subnets.filter(({ reserved }) => reserved).length;
  const mtus = mtuGroups(name, nodes);
  return renderFields([
    ["Name", name],
    ["CIDRs", cidrs],
    ["Subnet lengths", subnetLengths(network).join(", ")],
    ["Backend", backendName(network)],
    ["VNI", told("VNI")],
    ["Port", told("PORT")],
    ["Direct routing", String(backend?.directRouting ?? false)],
    ["Masquerade", String(masquerade)],
    ["Created", createdAt === 0 ? "never" : `${timestamp(createdAt)} (${formatAge(createdAt, now)} ago)`],
    ["Nodes", String(holders.size)],
    ["Subnets", `${subnets.length}, of which ${reserved} reserved`],
    ["Asked MTU", told("MTU")],
    ["Pods' MTU", { block: mtus.length === 0 ? "" : renderTable(MTU_COLUMNS, mtus, { now, headers: true }) }],
  ]);
}

interface MtuGroup {
  readonly nodes: readonly string[];
  readonly sentence: string;
}

const MTU_COLUMNS: readonly Column<MtuGroup>[] = [
  {
    title: "NODES",
    cell: ({ nodes }) => {
      const more = nodes.length - MOST_NAMES;
      return more > 0 ? `${nodes.slice(0, MOST_NAMES).join(",")} and ${more} more` : nodes.join(",");
    },
  },
  { title: "MTU", cell: ({ sentence }) => sentence },
];

/** What nodes say of the network's MTU in their conditions; those that say the same together, the most first. */
function mtuGroups(network: string, nodes: readonly Node[]): MtuGroup[] {
  const groups = new Map<string, string[]>();
  for (const { name, connected, conditions } of nodes) {
    const said = conditions.find(({ type, reason }) => type === "MTU" && reason === network)?.message;
    if (connected && said !== undefined) groups.set(said, [...(groups.get(said) ?? []), name]);
  }
  return [...groups]
    .map(([sentence, names]) => ({ sentence, nodes: names.sort(compareText) }))
    .sort((a, b) => b.nodes.length - a.nodes.length || compareText(a.sentence, b.sentence));
}
