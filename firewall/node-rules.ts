import { PROTOCOLS, type TunnelProtocol } from "../backends/facts.ts";
import { type Address, type Family, familyOf } from "../net/address.ts";
import { comparePrefixes, contains, type Prefix, prefixAddress, prefixFamily, prefixLength } from "../net/prefix.ts";
import { type InnerSource, innerSource } from "./inner-source.ts";
import type { NftChain, NftSet, Ruleset } from "./ruleset.ts";

/** Pods of the overlay networks reach the world behind the node's address. */
export interface OverlayMasquerade {
  /** This node's subnets in networks that masquerade. */
  readonly ownSubnets: readonly Prefix[];
  /** CIDRs of all networks: packets to them keep their source. */
  readonly clusterCidrs: readonly Prefix[];
  /** True when absent. */
  readonly randomFully?: boolean;
  /** Begins the names of the sets and chains; "overlay_" when absent, which is the agent's. */
  readonly prefix?: string;
}

/** Tunnel packets are taken from current peers alone, and only on the underlay (VU#199397). */
export interface TunnelGuard {
  readonly device: string;
  /** This node's addresses that peers send to, at most one per family; any when absent. */
  readonly own?: readonly Address[];
  /** UDP ports with the peers' underlay addresses. */
  readonly tunnels: readonly (TunnelPeers & { readonly port: number })[];
  /** Tunnel protocols without ports, with the peers' underlay addresses; none when absent. */
  readonly protocols?: readonly (TunnelPeers & { readonly name: TunnelProtocol })[];
  /** Begins the names of the sets and chains; "tunnel_" when absent, which is the agent's. */
  readonly prefix?: string;
}

export interface TunnelPeers {
  readonly peers: readonly Address[];
  /** Absent: the tunnel itself knows who may send what. */
  readonly inner?: InnerSource;
}

const IP = { 4: "ip", 6: "ip6" } as const;

const MULTICAST = ["224.0.0.0/4", "ff00::/8"] as readonly string[] as readonly Prefix[];

/** The node's masquerading. Two static rules; networks and subnets are elements. */
export function overlayMasquerade({
  ownSubnets,
  clusterCidrs,
  randomFully = true,
  prefix = "overlay_",
}: OverlayMasquerade): Ruleset {
  const masquerade = randomFully ? "masquerade fully-random" : "masquerade";
  return {
    prefix,
    sets: [
      prefixSet(`${prefix}own4`, 4, ownSubnets),
      prefixSet(`${prefix}own6`, 6, ownSubnets),
      prefixSet(`${prefix}near4`, 4, [...clusterCidrs, ...MULTICAST]),
      prefixSet(`${prefix}near6`, 6, [...clusterCidrs, ...MULTICAST]),
    ],
    chains: [
      {
        name: `${prefix}egress`,
        hook: { type: "nat", hook: "postrouting", priority: 100 },
        rules: [
          `ip saddr @${prefix}own4 ip daddr != @${prefix}near4 ${masquerade}`,
          `ip6 saddr @${prefix}own6 ip6 daddr != @${prefix}near6 ${masquerade}`,
        ],
      },
    ],
  };
}

/**
 * Drops tunnel packets that come from nobody's node, that come in anywhere but on the underlay or to another address
 * than the one that peers know, or whose inner source is not of the sender's subnets; and those that a pod sends to a
 * peer's tunnel port through this node. Fragments are put together before: connection tracking, which masquerading needs,
 * does so for IPv6 before any of our chains.
 */
export function tunnelGuard({ device, own, tunnels, protocols = [], prefix = "tunnel_" }: TunnelGuard): Ruleset {
  const arrival = [`iifname != "${device}" drop`, ...(own === undefined ? [] : ([4, 6] as const).map(notTo(own)))];
  const inner = tunnels.flatMap(({ port, inner }) =>
    inner === undefined ? [] : [{ port, ...innerSource(`${prefix}${port}`, inner) }],
  );
  const guards = protocols.map((protocol) => protocolGuard(protocol, arrival, prefix));
  const peers = (family: 4 | 6) =>
    tunnels.flatMap((tunnel) =>
      tunnel.peers.filter((peer) => familyOf(peer) === family).map((peer) => `${tunnel.port} . ${peer}`),
    );
  return {
    prefix,
    sets: [
      { name: `${prefix}ports`, type: "inet_service", keys: tunnels.map(({ port }) => String(port)) },
      { name: `${prefix}peers4`, type: "inet_service . ipv4_addr", keys: peers(4) },
      { name: `${prefix}peers6`, type: "inet_service . ipv6_addr", keys: peers(6) },
      ...inner.flatMap(({ sets }) => sets),
      ...guards.flatMap(({ sets }) => sets),
    ],
    chains: [
      {
        name: `${prefix}input`,
        hook: { type: "filter", hook: "input", priority: -300 },
        rules: [`udp dport @${prefix}ports goto ${prefix}udp`, ...guards.flatMap(({ input }) => input)],
      },
      {
        name: `${prefix}forward`,
        hook: { type: "filter", hook: "forward", priority: -300 },
        rules: [
          `udp dport . ip daddr @${prefix}peers4 drop`,
          `udp dport . ip6 daddr @${prefix}peers6 drop`,
          ...guards.flatMap(({ forward }) => forward),
        ],
      },
      {
        name: `${prefix}udp`,
        rules: [
          ...arrival,
          ...inner.map(({ port, chain }) => `udp dport ${port} goto ${chain.name}`),
          `udp dport . ip saddr != @${prefix}peers4 drop`,
          `udp dport . ip6 saddr != @${prefix}peers6 drop`,
        ],
      },
      ...inner.map(({ chain }) => chain),
      ...guards.map(({ chain }) => chain),
    ],
  };
}

/** The rule against packets to another address than our own of the family. */
function notTo(own: readonly Address[]): (family: Family) => string {
  return (family) => {
    const address = own.find((each) => familyOf(each) === family);
    return address === undefined ? `meta nfproto ipv${family} drop` : `${IP[family]} daddr != ${address} drop`;
  };
}

/** The same for a protocol without ports: the sets are its own, for nft may list a protocol by a name of the machine's. */
function protocolGuard(
  { name, peers, inner }: TunnelPeers & { readonly name: TunnelProtocol },
  arrival: readonly string[],
  prefix: string,
): { sets: NftSet[]; chain: NftChain; input: string[]; forward: string[] } {
  const { number, families } = PROTOCOLS[name];
  const perFamily = families.map((family) => {
    const set = `${prefix}${name}${family}`;
    const keys = peers.filter((peer) => familyOf(peer) === family);
    const matches = `meta nfproto ipv${family} meta l4proto ${number}`;
    return {
      set: { name: set, type: family === 4 ? "ipv4_addr" : "ipv6_addr", keys },
      stranger: `${IP[family]} saddr != @${set} drop`,
      input: `${matches} goto ${prefix}${name}`,
      forward: `${matches} ${IP[family]} daddr @${set} drop`,
    };
  });
  const sources = inner === undefined ? undefined : innerSource(`${prefix}${name}`, inner);
  const senders = sources?.chain.rules ?? perFamily.map(({ stranger }) => stranger);
  return {
    sets: [...perFamily.map(({ set }) => set), ...(sources?.sets ?? [])],
    chain: { name: `${prefix}${name}`, rules: [...arrival, ...senders] },
    input: perFamily.map(({ input }) => input),
    forward: perFamily.map(({ forward }) => forward),
  };
}

/** An interval set refuses overlapping prefixes, so one inside another is left out. */
function prefixSet(name: string, family: 4 | 6, prefixes: readonly Prefix[]): NftSet {
  const widest: Prefix[] = [];
  for (const prefix of prefixes.filter((each) => prefixFamily(each) === family).toSorted(comparePrefixes)) {
    const last = widest.at(-1);
    if (last === undefined || !contains(last, prefix)) widest.push(prefix);
  }
  const type = family === 4 ? "ipv4_addr" : "ipv6_addr";
  return { name, type, interval: true, keys: widest.map(nftPrefix) };
}

// nft lists a host without its prefix length.
function nftPrefix(prefix: Prefix): string {
  return prefixLength(prefix) === (prefixFamily(prefix) === 4 ? 32 : 128) ? prefixAddress(prefix) : prefix;
}
