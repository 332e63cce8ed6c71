import { isAddress, parseAddress } from "../net/address.ts";
import { contains, type Prefix } from "../net/prefix.ts";
import type { Pod__Output as Pod } from "../proto/gen/podwire/v1/Pod.ts";
import type { Probe__Output as Probe } from "../proto/gen/podwire/v1/Probe.ts";
import type { Subnet__Output as Subnet } from "../proto/gen/podwire/v1/Subnet.ts";
import { formatAge, timestamp } from "./age.ts";
import type { Context } from "./context.ts";
import { describeNetworks } from "./describe-network.ts";
import { ExitCode, notFound, usageError } from "./exit.ts";
import { type FieldValue, renderFields } from "./fields.ts";
import { parseTarget } from "./resources/kinds.ts";
import { backendName } from "./resources/network.ts";
import { formatBehind, isNode, type NodeItem, nodeStatus } from "./resources/node.ts";
import { podName } from "./resources/pod.ts";
import { describeHolder } from "./resources/subnet.ts";
import { describeLease } from "./subnet-inspect.ts";
import { type Column, renderTable } from "./table.ts";

/** `cnictl describe node|subnet|network`: all that the controller knows about one, for people to read. */
export async function describe(
  context: Context,
  type: string,
  words: readonly string[],
  { network }: { network?: string },
): Promise<ExitCode> {
  const { resource, names } = parseTarget(type, words);
  if (resource !== "nodes" && resource !== "subnets" && resource !== "networks") {
    throw usageError(`only nodes, subnets and networks can be described; try cnictl get ${resource} -o yaml`);
  }
  if (names.length === 0) throw usageError(`which one? Give a NAME of cnictl get ${resource}`);
  const texts = {
    nodes: () => describeNodes(context, names),
    subnets: () => describeSubnets(context, names, network),
    networks: () => describeNetworks(context, names),
  };
  context.out((await texts[resource]()).join("\n\n"));
  return ExitCode.ok;
}

async function describeNodes(context: Context, names: readonly string[]): Promise<string[]> {
  using admin = await context.connect();
  const { nodes, revision } = await admin.listNodes();
  const texts: string[] = [];
  for (const name of names) {
    const node = nodes.find((candidate) => isNode(candidate, name));
    if (node === undefined) throw notFound("node", name);
    const pods = await admin.listPods({ nodeName: node.name });
    texts.push(renderNode({ node, newest: revision }, pods, context.now()));
  }
  return texts;
}

async function describeSubnets(context: Context, names: readonly string[], network?: string): Promise<string[]> {
  using admin = await context.connect();
  const subnets = await admin.listSubnets(network === undefined ? {} : { network });
  const [networks, { nodes }] = await Promise.all([admin.listNetworks(), admin.listNodes()]);
  const texts: string[] = [];
  for (const name of names) {
    const found = subnets.filter(({ subnet }) => subnet === name);
    if (found.length === 0) throw notFound("subnet", name);
    for (const subnet of found) {
      const pods =
        subnet.nodeName === "" ? [] : await admin.listPods({ network: subnet.network, nodeName: subnet.nodeName });
      texts.push(
        renderSubnet(subnet, {
          backend: networks.filter((known) => known.name === subnet.network).map(backendName)[0] ?? "",
          nodeStatus: nodes.filter(({ id }) => id === subnet.nodeId).map(nodeStatus)[0],
          pods: podsInside(subnet, pods),
          now: context.now(),
        }),
      );
    }
  }
  return texts;
}

function podsInside({ subnet }: Subnet, pods: readonly Pod[]): readonly Pod[] {
  const inside = (text: string) => {
    const [address = ""] = text.split("/");
    return isAddress(address) && contains(subnet as Prefix, parseAddress(address));
  };
  return pods.filter(({ addresses }) => addresses.some(inside));
}

/** The text of `describe node`. */
export function renderNode(item: NodeItem, pods: readonly Pod[], now: number): string {
  const { node, newest } = item;
  return renderFields([
    ["Name", node.name],
    ["ID", node.id],
    ["Status", nodeStatus(node)],
    ["Connected", node.connected ? `true, for ${formatAge(node.connectedSince, now)}` : "false"],
    ["Last seen", moment(node.lastSeen, now)],
    ["Addresses", node.addresses],
    ["Backends", node.backends],
    ["Version", node.version],
    ["Created", moment(node.createdAt, now)],
    ["Applied revision", `${node.appliedRevision} of ${newest}, ${moment(node.appliedAt, now)}`],
    ["Behind", formatBehind(item, now)],
    ["Failures", node.failures],
    ["Conditions", block(CONDITIONS, node.conditions, now)],
    ["Tunnel probes", block(PROBES, node.probes, now)],
    ["Leases", block(LEASES, node.subnets, now)],
    ["Pods", block(PODS, pods, now)],
  ]);
}

/** The text of `describe subnet`. */
export function renderSubnet(
  subnet: Subnet,
  {
    backend,
    nodeStatus,
    pods,
    now,
  }: { backend: string; nodeStatus: string | undefined; pods: readonly Pod[]; now: number },
): string {
  return renderFields([
    ["Name", subnet.subnet],
    ["Network", `${subnet.network} (${backend || "unknown backend"})`],
    ["Node", describeHolder(subnet, nodeStatus)],
    ["Node addresses", subnet.addresses],
    ["VTEP MAC", subnet.vtepMac || (subnet.nodeId && "derived from the node id")],
    ["Lease", describeLease(subnet, now)],
    ["Epoch", String(subnet.epoch)],
    ["Created", moment(subnet.createdAt, now)],
    ["Expires", subnet.reserved ? "never (reserved)" : (timestamp(subnet.expiresAt) ?? "never")],
    ["Revision", String(subnet.revision)],
    ["Pods", block(PODS, pods, now)],
  ]);
}

const CONDITIONS: readonly Column<{ type: string; status: boolean; reason: string; message: string }>[] = [
  { title: "TYPE", cell: ({ type }) => type },
  { title: "STATUS", cell: ({ status }) => (status ? "True" : "False") },
  { title: "REASON", cell: ({ reason }) => reason },
  { title: "MESSAGE", cell: ({ message }) => message },
];

const PROBES: readonly Column<Probe>[] = [
  { title: "TO", cell: ({ nodeName }) => nodeName },
  { title: "NETWORK", cell: ({ network }) => network },
  { title: "FAMILY", cell: ({ family }) => `IPv${family}` },
  { title: "VERDICT", cell: ({ verdict }) => verdict },
  { title: "SINCE", cell: ({ since }, now) => formatAge(since, now) },
  { title: "MESSAGE", cell: ({ message }) => message },
];

const LEASES: readonly Column<Subnet>[] = [
  { title: "NETWORK", cell: ({ network }) => network },
  { title: "SUBNET", cell: ({ subnet }) => subnet },
  { title: "LEASE", cell: describeLease },
];

const PODS: readonly Column<Pod>[] = [
  { title: "NAME", cell: podName },
  { title: "NETWORK", cell: ({ network }) => network },
  { title: "INTERFACE", cell: ({ interfaceName }) => interfaceName },
  { title: "ADDRESSES", cell: ({ addresses }) => addresses.join(",") },
  { title: "AGE", cell: ({ createdAt }, now) => formatAge(createdAt, now) },
];

function block<T>(columns: readonly Column<T>[], items: readonly T[], now: number): FieldValue {
  return { block: items.length === 0 ? "" : renderTable(columns, items, { now, headers: true }) };
}

function moment(at: number, now: number): string {
  return at === 0 ? "never" : `${timestamp(at)} (${formatAge(at, now)} ago)`;
}
