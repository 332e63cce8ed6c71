import { wireOf } from "../backends/backend.ts";
import type { InnerFormat, TunnelProtocol } from "../backends/facts.ts";
import { EMPTY_LISTING, type Listing, listsTable, parseListing } from "../firewall/listing.ts";
import { overlayMasquerade, tunnelGuard } from "../firewall/node-rules.ts";
import { difference, listingOf, type Ruleset, sameButForKeys } from "../firewall/ruleset.ts";
import { nftGeneration } from "../kernel/nftables/generation.ts";
import { type Nft, openNft } from "../kernel/nftables/nft.ts";
import { type Address, familyOf } from "../net/address.ts";
import type { Prefix } from "../net/prefix.ts";
import { backendsOf, type NetworkSpec, type OverlayInput } from "../overlay/network.ts";
import { ownAddress } from "../overlay/underlay.ts";

const TABLE = "podwire";

/**
 * The rules that a node with these networks needs: masquerading, and tunnels that listen to peers alone.
 * @param owner begins the names of sets and chains; "" is the agent, a static mesh has its own
 */
export function nodeRulesets({ networks, leases, peers, underlay }: OverlayInput, owner = ""): Ruleset[] {
  const subnetsOf = ({ name }: NetworkSpec) => leases.find(({ network }) => network === name)?.subnets ?? [];
  const masquerading = networks.filter(({ masquerade }) => masquerade);
  const tunnels = new Map<number | TunnelProtocol, Tunnel>();
  const tunnelsOf = new Map<string, Set<Tunnel>>();
  for (const network of networks.filter((each) => subnetsOf(each).length > 0)) {
    const its = new Set<Tunnel>();
    tunnelsOf.set(network.name, its);
    for (const backend of backendsOf(network)) {
      const wire = wireOf(backend);
      if (wire === undefined) continue;
      const key = wire.protocol ?? backend.port;
      const tunnel = tunnels.get(key) ?? { formats: new Set(), peers: new Set() };
      if (wire.inner !== undefined) tunnel.formats.add(wire.inner);
      tunnels.set(key, tunnel);
      its.add(tunnel);
    }
  }
  const subnetsAt = new Map<Address, Prefix[]>();
  for (const { network, addresses, subnet } of peers) {
    for (const address of addresses) {
      const subnets = subnetsAt.get(address);
      if (subnets === undefined) subnetsAt.set(address, [subnet]);
      else subnets.push(subnet);
      for (const tunnel of tunnelsOf.get(network) ?? []) tunnel.peers.add(address);
    }
  }
  // Of all networks: what a pod sends to a pod of another network goes through the tunnel of that one.
  const sourcesOf = (addresses: ReadonlySet<Address>) =>
    [...addresses].flatMap((address) => (subnetsAt.get(address) ?? []).map((subnet) => [address, subnet] as const));
  const known = [...tunnels].map(([tunnel, { formats, peers }]) => ({
    tunnel,
    peers: [...peers],
    ...(formats.size > 0 && { inner: { formats: [...formats], sources: sourcesOf(peers) } }),
  }));
  const prefix = `${owner}overlay_`;
  const ownSubnets = masquerading.flatMap(subnetsOf);
  // A chain of type nat turns connection tracking on, for every packet of the node: a tenth of a small one's way. Without
  // anybody to masquerade only tunnels over IPv6 need it, whose fragments it puts together before the guard sees them.
  const tracking = ownSubnets.length > 0 || known.some(({ peers }) => peers.some((peer) => familyOf(peer) === 6));
  return [
    tracking
      ? overlayMasquerade({ prefix, ownSubnets, clusterCidrs: networks.flatMap(({ cidrs }) => cidrs) })
      : { prefix, sets: [], chains: [] },
    known.length === 0
      ? { prefix: `${owner}tunnel_`, sets: [], chains: [] }
      : tunnelGuard({
          prefix: `${owner}tunnel_`,
          device: underlay.device,
          own: ([4, 6] as const).flatMap((family) => ownAddress(underlay, family) ?? []),
          tunnels: known.flatMap(({ tunnel, ...rest }) =>
            typeof tunnel === "number" ? [{ port: tunnel, ...rest }] : [],
          ),
          protocols: known.flatMap(({ tunnel, ...rest }) =>
            typeof tunnel === "number" ? [] : [{ name: tunnel, ...rest }],
          ),
        }),
  ];
}

/** What is taken from peers by one port or protocol. */
interface Tunnel {
  /** None where the tunnel itself knows who may send what: WireGuard's keys, Open vSwitch's flows. */
  readonly formats: Set<InnerFormat>;
  readonly peers: Set<Address>;
}

/** Brings the table to rulesets. Writes nothing when it says all this already. @throws NftError */
export function applyRulesets(rulesets: readonly Ruleset[]): void {
  putRulesets(rulesets, undefined);
}

/**
 * {@link applyRulesets} again and again. Knows what the table holds for as long as nobody else changes a rule, so that one
 * peer more costs one element and no listing of thousands.
 */
export class RulesetKeeper {
  #known: { readonly rulesets: readonly Ruleset[]; readonly generation: number } | undefined;

  /** Whether to apply them is known to write elements of sets, and nothing else. @throws NetlinkError */
  writesKeysOnly(rulesets: readonly Ruleset[]): boolean {
    const known = this.#known;
    if (known === undefined || known.generation !== nftGeneration()) return false;
    return sameButForKeys(known.rulesets, rulesets);
  }

  /** @throws NftError, NetlinkError */
  apply(rulesets: readonly Ruleset[]): void {
    // Asked before the listing: a change that comes in between makes the next pass look again.
    const generation = nftGeneration();
    const known = this.#known?.generation === generation ? this.#known.rulesets : undefined;
    if (known === rulesets) return;
    this.#known = undefined;
    const transactions = putRulesets(rulesets, known && listingOf(known));
    // Each transaction makes one generation. One more, and somebody else's came in between.
    if (nftGeneration() === generation + transactions)
      this.#known = { rulesets, generation: generation + transactions };
  }
}

/** @param known what the table holds; undefined: it is listed. @returns how many transactions were written */
function putRulesets(rulesets: readonly Ruleset[], known: Listing | undefined): number {
  using nft = openNft();
  const listing = known ?? listTable(nft);
  const texts = rulesets.map((ruleset) => difference(ruleset, listing)).filter((text) => text !== "");
  for (const text of texts) nft.run(text);
  return texts.length;
}

function listTable(nft: Nft): Listing {
  if (!listsTable(nft.query("list tables inet"), "inet", TABLE)) return EMPTY_LISTING;
  return parseListing(nft.query(`list table inet ${TABLE}`));
}
