import { EMPTY_LISTING, type Listing, listsTable, parseListing } from "../firewall/listing.ts";
import { overlayMasquerade, tunnelGuard } from "../firewall/node-rules.ts";
import { difference, type Ruleset } from "../firewall/ruleset.ts";
import { type Nft, openNft } from "../kernel/nftables/nft.ts";
import type { Address } from "../net/address.ts";
import type { NetworkSpec, OverlayInput } from "../overlay/network.ts";

const TABLE = "podwire";

/**
 * The rules that a node with these networks needs: masquerading, and tunnels that listen to peers alone.
 * @param owner begins the names of sets and chains; "" is the agent, a static mesh has its own
 */
export function nodeRulesets({ networks, leases, peers, underlay }: OverlayInput, owner = ""): Ruleset[] {
  const subnetsOf = ({ name }: NetworkSpec) => leases.find(({ network }) => network === name)?.subnets ?? [];
  const masquerading = networks.filter(({ masquerade }) => masquerade);
  const tunnels = new Map<number, Set<Address>>();
  for (const { name, backend } of networks.filter((network) => subnetsOf(network).length > 0)) {
    if (backend.type !== "vxlan") continue;
    const addresses = peers.filter(({ network }) => network === name).flatMap((peer) => peer.addresses);
    tunnels.set(backend.port, new Set([...(tunnels.get(backend.port) ?? []), ...addresses]));
  }
  return [
    overlayMasquerade({
      prefix: `${owner}overlay_`,
      ownSubnets: masquerading.flatMap(subnetsOf),
      clusterCidrs: networks.flatMap(({ cidrs }) => cidrs),
    }),
    tunnelGuard({
      prefix: `${owner}tunnel_`,
      device: underlay.device,
      tunnels: [...tunnels].map(([port, addresses]) => ({ port, peers: [...addresses] })),
    }),
  ];
}

/** Writes nothing when the table says all this already. @throws NftError */
export function applyRulesets(rulesets: readonly Ruleset[]): void {
  using nft = openNft();
  const listing = listTable(nft);
  for (const ruleset of rulesets) {
    const text = difference(ruleset, listing);
    if (text !== "") nft.run(text);
  }
}

function listTable(nft: Nft): Listing {
  if (!listsTable(nft.query("list tables inet"), "inet", TABLE)) return EMPTY_LISTING;
  return parseListing(nft.query(`list table inet ${TABLE}`));
}
