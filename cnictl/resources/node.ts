import type { Condition__Output as Condition } from "../../proto/gen/podwire/v1/Condition.ts";
import type { Node__Output as Node } from "../../proto/gen/podwire/v1/Node.ts";
import type { Probe__Output as Probe } from "../../proto/gen/podwire/v1/Probe.ts";
import { formatAge, timestamp } from "../age.ts";
import { API_VERSION, type ApiObject, present, type Resource } from "./resource.ts";

/** A node, and the newest revision that it could have applied. */
export interface NodeItem {
  readonly node: Node;
  readonly newest: number;
}

/** How many revisions the node has yet to apply. */
export function behind({ node, newest }: NodeItem): number {
  return Math.max(0, newest - node.appliedRevision);
}

/** `0`, or the revisions it lacks and how long ago it last applied any: `3 (12s)`. */
export function formatBehind(item: NodeItem, now: number): string {
  const missing = behind(item);
  if (missing === 0) return "0";
  return item.node.appliedAt === 0 ? `${missing} (never)` : `${missing} (${formatAge(item.node.appliedAt, now)})`;
}

/** Every condition is told so that true is good. */
export function unmet(node: Node): readonly Condition[] {
  return node.conditions.filter(({ status }) => !status);
}

/** What the self-test of tunnels found on the way to a peer. */
export function probePair(node: Node, { nodeName, network, family }: Probe): string {
  return `${node.name} → ${nodeName} ${network} IPv${family}`;
}

/** Ways from this node that fail though the peer is there; its own absence is said of the peer. */
export function failingProbes(node: Node, isConnected: (nodeId: string) => boolean): readonly Probe[] {
  return node.probes.filter(({ verdict, nodeId }) => verdict !== "remedied" && isConnected(nodeId));
}

/** One word on how it is. */
export function nodeStatus(node: Node): string {
  if (!node.connected) return "Disconnected";
  return unmet(node).length === 0 ? "Ready" : "NotReady";
}

export const nodes: Resource<NodeItem> = {
  kind: "node",
  plural: "nodes",
  watches: ["nodes", "subnets", "pods"],
  columns: [
    { title: "NAME", cell: ({ node }) => node.name },
    { title: "STATUS", cell: ({ node }) => nodeStatus(node) },
    { title: "ADDRESSES", cell: ({ node }) => node.addresses.join(",") },
    { title: "SUBNETS", cell: ({ node }) => node.subnets.map(({ subnet }) => subnet).join(",") },
    { title: "PODS", cell: ({ node }) => String(node.podCount) },
    { title: "BEHIND", cell: (item) => String(behind(item)) },
    { title: "AGE", ticking: true, cell: ({ node }, now) => formatAge(node.createdAt, now) },
    { title: "ID", wide: true, cell: ({ node }) => node.id },
    { title: "APPLIED", wide: true, cell: ({ node }) => String(node.appliedRevision) },
    { title: "FAILURES", wide: true, cell: ({ node }) => String(node.failures.length) },
    { title: "LAST-SEEN", wide: true, ticking: true, cell: ({ node }, now) => formatAge(node.lastSeen, now) },
    { title: "BACKENDS", wide: true, cell: ({ node }) => node.backends.join(",") },
    { title: "VERSION", wide: true, cell: ({ node }) => node.version },
  ],
  list: async (admin, { network, node: wanted }) => {
    const { nodes: all, revision } = await admin.listNodes();
    return all
      .filter((node) => network === undefined || node.subnets.some((subnet) => subnet.network === network))
      .filter((node) => wanted === undefined || isNode(node, wanted))
      .map((node) => ({ node, newest: revision }))
      .sort((a, b) => compareText(a.node.name, b.node.name));
  },
  name: ({ node }) => node.name,
  key: ({ node }) => node.id,
  matches: ({ node }, name) => isNode(node, name),
  toObject,
};

/** Whether the word on the command line means this node: its name or its id. */
export function isNode(node: { readonly name: string; readonly id: string }, word: string): boolean {
  return node.name === word || node.id === word;
}

/** By number where the names have numbers: node-2 before node-10. */
export function compareText(a: string, b: string): number {
  return a.localeCompare(b, "en", { numeric: true });
}

function toObject(item: NodeItem): ApiObject {
  const { node, newest } = item;
  return {
    apiVersion: API_VERSION,
    kind: "Node",
    metadata: {
      name: node.name,
      ...present({ uid: node.id, creationTimestamp: timestamp(node.createdAt) }),
    },
    spec: { addresses: node.addresses, backends: node.backends },
    status: present({
      connected: node.connected,
      connectedSince: timestamp(node.connectedSince),
      lastSeen: timestamp(node.lastSeen),
      appliedRevision: node.appliedRevision,
      appliedAt: timestamp(node.appliedAt),
      newestRevision: newest,
      behind: behind(item),
      failures: node.failures,
      conditions: node.conditions.map(({ type, status, reason, message }) => ({
        type,
        status: status ? "True" : "False",
        ...present({ reason, message }),
      })),
      probes: node.probes.map(({ network, nodeId, nodeName, family, verdict, message, since }) => ({
        network,
        node: nodeName,
        nodeId,
        family,
        verdict,
        message,
        ...present({ since: timestamp(since) }),
      })),
      subnets: node.subnets.map(({ network, subnet, epoch }) => ({ network, subnet, epoch })),
      podCount: node.podCount,
      version: node.version,
    }),
  };
}
