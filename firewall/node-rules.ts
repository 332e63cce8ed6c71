import { type Address, familyOf } from "../net/address.ts";
import { comparePrefixes, contains, type Prefix, prefixAddress, prefixFamily, prefixLength } from "../net/prefix.ts";
import type { NftSet, Ruleset } from "./ruleset.ts";

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
  /** UDP ports with the peers' underlay addresses. */
  readonly tunnels: readonly { readonly port: number; readonly peers: readonly Address[] }[];
  /** Tunnel protocols without ports, with the peers' underlay addresses; none when absent. */
  readonly protocols?: readonly { readonly name: TunnelProtocol; readonly peers: readonly Address[] }[];
  /** Begins the names of the sets and chains; "tunnel_" when absent, which is the agent's. */
  readonly prefix?: string;
}

/** Numbers of IP protocols (IANA), and the families that they go over. */
const PROTOCOLS = {
  gre: { number: 47, families: [4, 6] },
  ipip: { number: 4, families: [4] },
} as const;
export type TunnelProtocol = keyof typeof PROTOCOLS;

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
 * Drops tunnel packets that come from nobody's node, that come in anywhere but on the underlay, and those that a pod
 * sends to a peer's tunnel port through this node.
 */
export function tunnelGuard({ device, tunnels, protocols = [], prefix = "tunnel_" }: TunnelGuard): Ruleset {
  const guards = protocols.map((protocol) => protocolGuard(protocol, device, prefix));
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
      ...guards.flatMap(({ sets }) => sets),
    ],
    chains: [
      {
        name: `${prefix}input`,
        hook: { type: "filter", hook: "input", priority: -300 },
        rules: [
          `udp dport @${prefix}ports iifname != "${device}" drop`,
          `udp dport @${prefix}ports udp dport . ip saddr != @${prefix}peers4 drop`,
          `udp dport @${prefix}ports udp dport . ip6 saddr != @${prefix}peers6 drop`,
          ...guards.flatMap(({ input }) => input),
        ],
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
    ],
  };
}

/** The same for a protocol without ports: the sets are its own, for nft may list a protocol by a name of the machine's. */
function protocolGuard(
  { name, peers }: NonNullable<TunnelGuard["protocols"]>[number],
  device: string,
  prefix: string,
): { sets: NftSet[]; input: string[]; forward: string[] } {
  const { number, families } = PROTOCOLS[name];
  const perFamily = families.map((family) => {
    const set = `${prefix}${name}${family}`;
    const ip = family === 4 ? "ip" : "ip6";
    const keys = peers.filter((peer) => familyOf(peer) === family);
    const matches = `meta nfproto ipv${family} meta l4proto ${number}`;
    return {
      set: { name: set, type: family === 4 ? "ipv4_addr" : "ipv6_addr", keys },
      input: [`${matches} iifname != "${device}" drop`, `${matches} ${ip} saddr != @${set} drop`],
      forward: `${matches} ${ip} daddr @${set} drop`,
    };
  });
  return {
    sets: perFamily.map(({ set }) => set),
    input: perFamily.flatMap(({ input }) => input),
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
