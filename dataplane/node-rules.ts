import { EMPTY_LISTING, type Listing, listsTable, parseListing } from "../firewall/listing.ts";
import { overlayMasquerade, type TunnelProtocol, tunnelGuard } from "../firewall/node-rules.ts";
import { difference, type Ruleset } from "../firewall/ruleset.ts";
import { nftGeneration } from "../kernel/nftables/generation.ts";
import { type Nft, openNft } from "../kernel/nftables/nft.ts";
import type { Address } from "../net/address.ts";
import { backendsOf, type NetworkSpec, type OverlayInput } from "../overlay/network.ts";

const TABLE = "podwire";

/**
 * The rules that a node with these networks needs: masquerading, and tunnels that listen to peers alone.
 * @param owner begins the names of sets and chains; "" is the agent, a static mesh has its own
 */
export function nodeRulesets({ networks, leases, peers, underlay }: OverlayInput, owner = ""): Ruleset[] {
  const subnetsOf = ({ name }: NetworkSpec) => leases.find(({ network }) => network === name)?.subnets ?? [];
  const masquerading = networks.filter(({ masquerade }) => masquerade);
  const tunnels = new Map<number | TunnelProtocol, Set<Address>>();
  const tunnelsOf = new Map<string, Set<Address>[]>();
  for (const network of networks.filter((each) => subnetsOf(each).length > 0)) {
    for (const backend of backendsOf(network)) {
      if (backend.type === "host-gw") continue;
      const tunnel = backend.type === "vxlan" ? backend.port : backend.type;
      const known = tunnels.get(tunnel) ?? new Set();
      tunnels.set(tunnel, known);
      tunnelsOf.set(network.name, [...(tunnelsOf.get(network.name) ?? []), known]);
    }
  }
  for (const { network, addresses } of peers) {
    for (const known of tunnelsOf.get(network) ?? []) for (const address of addresses) known.add(address);
  }
  const known = [...tunnels].map(([tunnel, addresses]) => ({ tunnel, peers: [...addresses] }));
  return [
    overlayMasquerade({
      prefix: `${owner}overlay_`,
      ownSubnets: masquerading.flatMap(subnetsOf),
      clusterCidrs: networks.flatMap(({ cidrs }) => cidrs),
    }),
    tunnelGuard({
      prefix: `${owner}tunnel_`,
      device: underlay.device,
      tunnels: known.flatMap(({ tunnel, peers }) => (typeof tunnel === "number" ? [{ port: tunnel, peers }] : [])),
      protocols: known.flatMap(({ tunnel, peers }) => (typeof tunnel === "number" ? [] : [{ name: tunnel, peers }])),
    }),
  ];
}

/** Brings the table to rulesets. Writes nothing when it says all this already. @throws NftError */
export function applyRulesets(rulesets: readonly Ruleset[]): void {
  putRulesets(rulesets);
}

/** {@link applyRulesets} again and again: looks at the table only when the rulesets or the kernel's rules changed. */
export class RulesetKeeper {
  #verified: { readonly rulesets: readonly Ruleset[]; readonly generation: number } | undefined;

  /** @throws NftError, NetlinkError */
  apply(rulesets: readonly Ruleset[]): void {
    // Asked before the listing: a change that comes in between makes the next pass look again.
    const generation = nftGeneration();
    if (this.#verified?.rulesets === rulesets && this.#verified.generation === generation) return;
    this.#verified = undefined;
    if (!putRulesets(rulesets)) this.#verified = { rulesets, generation };
  }
}

/** Whether anything had to be written. */
function putRulesets(rulesets: readonly Ruleset[]): boolean {
  using nft = openNft();
  const listing = listTable(nft);
  const texts = rulesets.map((ruleset) => difference(ruleset, listing)).filter((text) => text !== "");
  for (const text of texts) nft.run(text);
  return texts.length > 0;
}

function listTable(nft: Nft): Listing {
  if (!listsTable(nft.query("list tables inet"), "inet", TABLE)) return EMPTY_LISTING;
  return parseListing(nft.query(`list table inet ${TABLE}`));
}
