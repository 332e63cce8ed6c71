import type { Backend } from "../backends/backend.ts";
import type { Family } from "../net/address.ts";
import { headerLength, isTunnel, preferredFamily, tunnelHeaders, tunnelMtu, wayTo } from "./mtu.ts";
import { backendsOf, type NetworkSpec, type Peer, type Underlay } from "./network.ts";

/** Where a network's numbers on this node come from. */
export interface MtuExplanation {
  /** Of the pods, in bytes. */
  readonly pods: number;
  /** Its sum, as in `1464 = underlay eth0 1500 − 36 (vxlan flow over IPv4: IP 20, UDP 8, VXLAN 8)`. */
  readonly sentence: string;
  /** The sums for peers that take larger packets, or that the pods' was lowered for, with their nodes' names. */
  readonly others: readonly string[];
}

/** As many nodes are named; of the rest the number is told. */
const MOST_NAMES = 3;

/**
 * Says where the MTU of the network's pods comes from, and which peers another one holds for. The numbers are those
 * that {@link ./desired.ts desiredOverlay} puts on routes and gives to pods.
 */
export function explainMtu(network: NetworkSpec, peers: readonly Peer[], underlay: Underlay): MtuExplanation {
  const each = backendsOf(network).map((backend) => explainBackend({ ...network, backend }, peers, underlay));
  const [first = explainBackend(network, peers, underlay), second] = each;
  if (second === undefined) return first;
  const tighter = second.pods < first.pods ? second : first;
  return { ...tighter, sentence: `${tighter.sentence}, while the backend is being changed`, others: [] };
}

function explainBackend(network: NetworkSpec, peers: readonly Peer[], underlay: Underlay): MtuExplanation {
  const groups = waysOf(network, peers, underlay);
  const usual = describeWay(network, usualWay(network, underlay), underlay);
  const [tightest] = [...groups].sort((a, b) => a.mtu - b.mtu);
  const lowered = tightest !== undefined && tightest.mtu < usual.mtu ? tightest : undefined;
  const { mtu: pods, sum } = lowered ?? usual;
  const sentence = lowered === undefined ? sum : `${sum}, for ${names(lowered.nodes)}`;
  const others = groups
    .filter(({ mtu }) => mtu !== pods)
    .map(({ sum, nodes }) => `to ${groups.length === 1 ? "all others" : names(nodes)} ${sum}`);
  return { pods, sentence, others };
}

interface Way {
  readonly mtu: number;
  /** `1464 = underlay eth0 1500 − 36 (…)` */
  readonly sum: string;
}

/** Peers that are reached alike. */
function waysOf(network: NetworkSpec, peers: readonly Peer[], underlay: Underlay): (Way & { nodes: string[] })[] {
  const groups = new Map<Family | "direct", Set<string>>();
  for (const peer of peers) {
    const way = wayTo(network, peer, underlay);
    if (way !== undefined) groups.set(way, (groups.get(way) ?? new Set()).add(peer.nodeName));
  }
  return [...groups].map(([way, nodes]) => ({ ...describeWay(network, way, underlay), nodes: [...nodes].sort() }));
}

function usualWay(network: NetworkSpec, underlay: Underlay): Family | "direct" {
  return isTunnel(network.backend) ? preferredFamily(network, underlay) : "direct";
}

function describeWay({ backend }: NetworkSpec, way: Family | "direct", { device, mtu }: Underlay): Way {
  const link = `underlay ${device} ${mtu}`;
  const fits = way === "direct" ? mtu : tunnelMtu(backend, way, { mtu });
  const sum = `${fits} = ${link}${way === "direct" ? " (plain route)" : ` − ${describeTunnel(backend, way)}`}`;
  const bound = backend.mtu || fits;
  // A plain route of a tunnel backend has no MTU of its own; what pods are given is bounded all the same.
  if (bound >= fits || (way === "direct" && isTunnel(backend))) return { mtu: fits, sum };
  return { mtu: bound, sum: `${bound} = the network's own mtu, less than ${sum}` };
}

/** `36 (vxlan flow over IPv4: IP 20, UDP 8, VXLAN 8)` */
function describeTunnel(backend: Backend, family: Family): string {
  const headers = tunnelHeaders(backend, family);
  const parts = headers.map(([name, bytes]) => `${name} ${bytes}`).join(", ");
  const name = [backend.type, ...(backend.mode === undefined ? [] : [backend.mode])].join(" ");
  return `${headerLength(headers)} (${name} over IPv${family}: ${parts})`;
}

function names(nodes: readonly string[]): string {
  const more = nodes.length - MOST_NAMES;
  const shown = nodes.slice(0, MOST_NAMES).join(", ");
  return more > 0 ? `${shown} and ${more} more` : shown;
}
