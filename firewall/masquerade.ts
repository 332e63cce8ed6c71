import type { NftElement, NftSetName } from "../kernel/nftables/element-message.ts";
import { type Address, addressFromBytes, addressToBytes, type Family, familyOf } from "../net/address.ts";
import { firstAddress, lastAddress, type Prefix, prefixFamily } from "../net/prefix.ts";
import { type NftView, nameHash, quoteComment, TABLE, transaction } from "./nft-text.ts";

/**
 * Masquerading for pods of a network, as the bridge's `ipMasq`. Two rules send a pod's packets by its address to the
 * network's chain, and that has one rule that masquerades what is not for the network's own subnets or multicast. A pod
 * is one element a family, with the attachment's key as comment, so ADD and DEL cost the same however many there are.
 *
 *     map egress4  { 10.22.0.2 comment "3f5e…" : goto network_9a1c… }
 *     set near4_9a1c…  { 10.22.0.0/16, 224.0.0.0/4 }
 *     chain network_9a1c…  { ip daddr @near4_9a1c… return; ip6 daddr @near6_9a1c… return; masquerade fully-random }
 *     chain egress  { type nat hook postrouting priority 100; ip saddr vmap @egress4; ip6 saddr vmap @egress6 }
 */
export interface MasqueradeNetwork {
  readonly network: string;
  /** Where its pods go with their own addresses. */
  readonly localSubnets: readonly Prefix[];
  /** Source ports at random, which avoids insertion races of conntrack (`--random-fully`). True when absent. */
  readonly randomFully?: boolean;
}

export interface MasqueradedPod {
  readonly network: string;
  /** Of kernel/mark.ts attachmentKey. */
  readonly owner: string;
  readonly addresses: readonly Address[];
}

/** How many rules the chains have while they are as {@link ensureMasqueradeNetwork} made them. */
const RULES = { egress: 2, network: 3 } as const;
export const EGRESS_CHAIN = "egress";

const MULTICAST = { 4: "224.0.0.0/4", 6: "ff00::/8" } as const;
const FAMILIES = [
  { family: 4, type: "ipv4_addr", match: "ip" },
  { family: 6, type: "ipv6_addr", match: "ip6" },
] as const;

/** Where the pods' addresses are, those of all networks together. */
export const MASQUERADE_SETS: readonly NftSetName[] = FAMILIES.map(({ family }) => egressMap(family));

function egressMap(family: Family): NftSetName {
  return { family: "inet", table: TABLE, set: `egress${family}` };
}

/** The chain of a network. */
export function masqueradeChain(network: string): string {
  return `network_${nameHash(network)}`;
}

/**
 * The table, its rules, and the network's chain and subnets, as one transaction. Run again, or by two processes at
 * once, it changes nothing: the rules are replaced within the transaction and the subnets only added to.
 */
export function ensureMasqueradeNetwork({ network, localSubnets, randomFully = true }: MasqueradeNetwork): string {
  const chain = masqueradeChain(network);
  const comment = quoteComment(`network ${network}`);
  const near = (family: Family) => nearSet(network, family).set;
  const exempt = (family: Family) =>
    [MULTICAST[family], ...localSubnets.filter((subnet) => prefixFamily(subnet) === family)].join(", ");
  return transaction(
    `add table inet ${TABLE}`,
    FAMILIES.flatMap(({ family, type }) => [
      `add map inet ${TABLE} egress${family} { type ${type} : verdict; }`,
      `add set inet ${TABLE} ${near(family)} { type ${type}; flags interval; auto-merge; comment ${comment}; }`,
      `add element inet ${TABLE} ${near(family)} { ${exempt(family)} }`,
    ]),
    `add chain inet ${TABLE} ${chain} { comment ${comment}; }`,
    `flush chain inet ${TABLE} ${chain}`,
    FAMILIES.map(({ family, match }) => `add rule inet ${TABLE} ${chain} ${match} daddr @${near(family)} return`),
    `add rule inet ${TABLE} ${chain} masquerade${randomFully ? " fully-random" : ""} comment ${comment}`,
    `add chain inet ${TABLE} egress { type nat hook postrouting priority 100; policy accept; }`,
    `flush chain inet ${TABLE} egress`,
    FAMILIES.map(({ family, match }) => `add rule inet ${TABLE} egress ${match} saddr vmap @egress${family}`),
  );
}

function nearSet(network: string, family: Family): NftSetName {
  return { family: "inet", table: TABLE, set: `near${family}_${nameHash(network)}` };
}

/** The pod's elements, for the usual ADD: the network is there and the addresses are nobody else's. */
export function masqueradedPodElements({ network, owner, addresses }: MasqueradedPod): NftElement[] {
  return addresses.map((address) => ({
    of: egressMap(familyOf(address)),
    key: addressToBytes(address),
    comment: owner,
    goto: masqueradeChain(network),
  }));
}

/**
 * The pod's elements; the network must be there. An address that another attachment of the network had is taken over,
 * comment and all, within the transaction. One that a pod of another network had (its DEL was lost) makes nft refuse
 * the transaction: then run it again with the elements that are `present` at the addresses.
 */
export function addMasqueradedPod(pod: MasqueradedPod, present: readonly NftElement[] = []): string {
  const { network, owner, addresses } = pod;
  const verdict = `goto ${masqueradeChain(network)}`;
  return transaction(
    addresses.flatMap((address) => {
      const map = `inet ${TABLE} egress${familyOf(address)}`;
      const taken = present.some(({ key }) => addressFromBytes(key) === address);
      return [
        taken ? [] : `add element ${map} { ${address} : ${verdict} }`,
        `delete element ${map} { ${address} }`,
        `add element ${map} { ${address} comment ${quoteComment(owner)} : ${verdict} }`,
      ].flat();
    }),
  );
}

/**
 * Removes a network's chain and sets. nft refuses, and nothing changes, while the chain has pods: so a parallel ADD
 * loses nothing.
 */
export function removeMasqueradeNetwork(network: string): string {
  const chain = masqueradeChain(network);
  return transaction(
    ensureMasqueradeNetwork({ network, localSubnets: [] }).trimEnd(), // so that one that is gone is no error
    `flush chain inet ${TABLE} ${chain}`,
    `delete chain inet ${TABLE} ${chain}`,
    FAMILIES.map(({ family }) => `delete set inet ${TABLE} ${nearSet(network, family).set}`),
  );
}

/** Those of the network whose attachment is not among the valid ones: what its GC removes. */
export function staleElements(
  elements: readonly NftElement[],
  network: string,
  validOwners: ReadonlySet<string>,
): NftElement[] {
  const chain = masqueradeChain(network);
  return elements.filter(({ goto, comment = "" }) => goto === chain && !validOwners.has(comment));
}

/** What the network's pods need and is missing, as sentences for CHECK. */
export function masqueradeNetworkProblems(view: NftView, { network, localSubnets }: MasqueradeNetwork): string[] {
  const chain = masqueradeChain(network);
  const problems: string[] = [];
  if (view.countRules("inet", TABLE, EGRESS_CHAIN) !== RULES.egress) {
    problems.push(`chain ${EGRESS_CHAIN} of table inet ${TABLE} is missing or was changed`);
  }
  if (view.countRules("inet", TABLE, chain) !== RULES.network) {
    problems.push(`chain ${chain} of network "${network}" is missing or was changed`);
  }
  for (const subnet of localSubnets) {
    if (covers(view, nearSet(network, prefixFamily(subnet)), subnet)) continue;
    problems.push(`subnet ${subnet} is not exempt from masquerading in network "${network}"`);
  }
  return problems;
}

/** As {@link masqueradeNetworkProblems}, and what is missing of the pod's own. */
export function masqueradeProblems(view: NftView, network: MasqueradeNetwork, pod: MasqueradedPod): string[] {
  const problems = masqueradeNetworkProblems(view, network);
  for (const { of, key, comment, goto } of masqueradedPodElements(pod)) {
    const found = view.get(of, key);
    if (found?.comment !== comment || found?.goto !== goto) {
      problems.push(`${addressFromBytes(key)} is not masqueraded for this attachment`);
    }
  }
  return problems;
}

/** nft merges neighbouring subnets into wider intervals: one of them holds the subnet's both ends. */
function covers(view: NftView, near: NftSetName, subnet: Prefix): boolean {
  const [first, last] = [firstAddress(subnet), lastAddress(subnet)].map((end) => view.get(near, addressToBytes(end)));
  return first !== undefined && last !== undefined && Buffer.compare(first.key, last.key) === 0;
}
