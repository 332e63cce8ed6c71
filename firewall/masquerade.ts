import { type Address, compareAddresses, type Family, familyOf, isAddress, parseAddress } from "../net/address.ts";
import { firstAddress, hostPrefix, lastAddress, type Prefix, parsePrefix, prefixFamily } from "../net/prefix.ts";
import type { Listing } from "./listing.ts";
import { nameHash, quoteComment, TABLE, transaction } from "./nft-text.ts";

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

/** A pod's address in the table. */
export interface MasqueradeElement {
  readonly address: Address;
  readonly owner: string;
  /** The chain that its packets go to: {@link masqueradeChain} of its network. */
  readonly chain: string;
}

/** How many rules the chains have while they are as {@link ensureMasqueradeNetwork} made them. */
export const MASQUERADE_RULES = { egress: 2, network: 3 } as const;
export const EGRESS_CHAIN = "egress";

const MULTICAST = { 4: "224.0.0.0/4", 6: "ff00::/8" } as const;
const FAMILIES = [
  { family: 4, type: "ipv4_addr", match: "ip" },
  { family: 6, type: "ipv6_addr", match: "ip6" },
] as const;

/** JSON listings of these hold all elements. Both fail while the table does not exist. */
export const LIST_MASQUERADED_PODS = [`list map inet ${TABLE} egress4`, `list map inet ${TABLE} egress6`] as const;

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
  const near = (family: Family) => `near${family}_${nameHash(network)}`;
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

/**
 * The pod's elements, where the network is there and the addresses are free; nft refuses the transaction otherwise. For
 * the usual ADD: a transaction that only adds never makes the next one wait for an RCU grace period (12 ms).
 */
export function createMasqueradedPod({ network, owner, addresses }: MasqueradedPod): string {
  const value = `comment ${quoteComment(owner)} : goto ${masqueradeChain(network)}`;
  return transaction(
    addresses.map((address) => `create element inet ${TABLE} egress${familyOf(address)} { ${address} ${value} }`),
  );
}

/** The nft text command that shows a subnet among the network's own; nft refuses it when it is not there. */
export function getLocalSubnet(network: string, subnet: Prefix): string {
  return `get element inet ${TABLE} near${prefixFamily(subnet)}_${nameHash(network)} { ${subnet} }`;
}

/**
 * The pod's elements; the network must be there. An address that another attachment of the network had is taken over,
 * comment and all, within the transaction. One that a pod of another network had (its DEL was lost) makes nft refuse
 * the transaction: then run it again with the `present` elements, listed meanwhile.
 */
export function addMasqueradedPod(pod: MasqueradedPod, present: readonly MasqueradeElement[] = []): string {
  const { network, owner, addresses } = pod;
  const verdict = `goto ${masqueradeChain(network)}`;
  return transaction(
    addresses.flatMap((address) => {
      const map = `inet ${TABLE} egress${familyOf(address)}`;
      const before = present.find((element) => element.address === address);
      return [
        before === undefined ? `add element ${map} { ${address} : ${verdict} }` : [],
        `delete element ${map} { ${address} }`,
        `add element ${map} { ${address} comment ${quoteComment(owner)} : ${verdict} }`,
      ].flat();
    }),
  );
}

/**
 * Removes elements that a listing showed; those already gone are no error. Remove a pod's before its addresses are
 * freed: then nobody can have taken them over since the listing. "" when there are none.
 */
export function removeMasqueradedPods(elements: readonly MasqueradeElement[]): string {
  return transaction(
    elements.flatMap(({ address, chain }) => {
      const map = `inet ${TABLE} egress${familyOf(address)}`;
      return [`add element ${map} { ${address} : goto ${chain} }`, `delete element ${map} { ${address} }`];
    }),
  );
}

/**
 * Removes a network's chain and sets. nft refuses, and nothing changes, while the chain has pods: so a parallel ADD
 * loses nothing.
 */
export function removeMasqueradeNetwork(network: string): string {
  const hash = nameHash(network);
  const chain = masqueradeChain(network);
  return transaction(
    ensureMasqueradeNetwork({ network, localSubnets: [] }).trimEnd(), // so that one that is gone is no error
    `flush chain inet ${TABLE} ${chain}`,
    `delete chain inet ${TABLE} ${chain}`,
    FAMILIES.map(({ family }) => `delete set inet ${TABLE} near${family}_${hash}`),
  );
}

/** The pods' addresses in listings made by {@link LIST_MASQUERADED_PODS}, or of the whole table. */
export function masqueradeElements(listing: Listing): MasqueradeElement[] {
  return FAMILIES.flatMap(({ family }) => listing.sets.get(`egress${family}`)?.elements ?? []).map(
    ({ key, comment, target }) => ({ address: key as Address, owner: comment ?? "", chain: target ?? "" }),
  );
}

/**
 * The nft text command that shows one address, in a hundredth of the time that a listing takes; for whoever knows the
 * addresses already. nft refuses it when the address is not there. (nft 1.0.6 answers `get` in text only.)
 */
export function getMasqueradedPod(address: Address): string {
  return `get element inet ${TABLE} egress${familyOf(address)} { ${address} }`;
}

/** Reads what {@link getMasqueradedPod} printed; undefined when there is no element of ours in it. */
export function parseMasqueradedPod(text: string): MasqueradeElement | undefined {
  const [, address, owner = "", chain] = /\{ (\S+)(?: comment "([^"]*)")? : goto (\S+) \}/.exec(text) ?? [];
  return address === undefined || chain === undefined ? undefined : { address: parseAddress(address), owner, chain };
}

/** Those of one attachment: what its DEL removes. One that took an address over keeps it. */
export function elementsOf(elements: readonly MasqueradeElement[], owner: string): MasqueradeElement[] {
  return elements.filter((element) => element.owner === owner);
}

/** Those of the network whose attachment is not among the valid ones: what its GC removes. */
export function staleElements(
  elements: readonly MasqueradeElement[],
  network: string,
  validOwners: ReadonlySet<string>,
): MasqueradeElement[] {
  const chain = masqueradeChain(network);
  return elements.filter((element) => element.chain === chain && !validOwners.has(element.owner));
}

/** What is missing for the pod to be masqueraded, as sentences for CHECK; the listing is of the whole table. */
export function masqueradeProblems(listing: Listing, network: MasqueradeNetwork, pod: MasqueradedPod): string[] {
  const chain = masqueradeChain(network.network);
  const problems: string[] = [];
  if ((listing.chains.get(EGRESS_CHAIN)?.rules.length ?? 0) !== MASQUERADE_RULES.egress) {
    problems.push(`chain egress of table inet ${TABLE} is missing or was changed`);
  }
  if ((listing.chains.get(chain)?.rules.length ?? 0) !== MASQUERADE_RULES.network) {
    problems.push(`chain ${chain} of network "${network.network}" is missing or was changed`);
  }
  for (const subnet of network.localSubnets) {
    const near = listing.sets.get(`near${prefixFamily(subnet)}_${nameHash(network.network)}`);
    const covered = near?.elements.some(({ key }) => covers(key, subnet)) ?? false;
    if (!covered) problems.push(`subnet ${subnet} is not exempt from masquerading in network "${network.network}"`);
  }
  const elements = masqueradeElements(listing);
  for (const address of pod.addresses) {
    const element = elements.find((each) => each.address === address);
    if (element?.owner !== pod.owner || element.chain !== chain) {
      problems.push(`${address} is not masqueraded for this attachment`);
    }
  }
  return problems;
}

// nft merges neighbouring subnets into wider prefixes, or into ranges that are none.
function covers(key: string, subnet: Prefix): boolean {
  const [low = "", high] = key.split("-");
  const prefix = isAddress(low) ? hostPrefix(parseAddress(low)) : parsePrefix(low);
  const last = high === undefined ? lastAddress(prefix) : parseAddress(high);
  return (
    compareAddresses(firstAddress(prefix), firstAddress(subnet)) <= 0 &&
    compareAddresses(lastAddress(subnet), last) <= 0
  );
}
