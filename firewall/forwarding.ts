import type { NftElement, NftSetName } from "../kernel/nftables/element-message.ts";
import { type Address, addressFromBytes, addressToBytes, type Family, familyOf } from "../net/address.ts";
import { concatenation, nameBytes } from "./element-key.ts";
import { type NftView, nameHash, quoteComment, TABLE, transaction } from "./nft-text.ts";

/**
 * The firewall plugin's: what goes to or from its pods passes an administrator's chain first, and networks can be closed to
 * one another. The chain's policy is to accept, so nothing else has to be said of the pods' own packets. A pod is one element
 * a family, with the owner as comment:
 *
 *     map firewall_pods4  { 10.22.0.2 comment "3f5e… 9a1c…" : jump CNI-ADMIN }
 *     set firewall_bridges { "cni0" }          bridges of networks that are closed to one another
 *     set firewall_same { "cni0" . "cni0" }    those of them whose own pods may talk
 *
 * What goes from one port of a bridge to another is no forwarding of packets, so pods that may not talk to their neighbours are
 * kept apart there, by table `bridge podwire`.
 */
export interface ForwardedPod {
  readonly owner: string;
  readonly addresses: readonly Address[];
  /** The chain that is asked first. */
  readonly adminChain: string;
  /** Its ports on the bridge, where it is to be kept from its neighbours. */
  readonly isolatedPorts: readonly string[];
}

const CHAIN = "firewall_forward";
const ISOLATION_CHAIN = "firewall_isolation";
const ISOLATED = "firewall_isolated";
const BRIDGES = "firewall_bridges";
const SAME = "firewall_same";

const FAMILIES = [
  { family: 4, type: "ipv4_addr", ip: "ip" },
  { family: 6, type: "ipv6_addr", ip: "ip6" },
] as const;

const RULES = [
  ...FAMILIES.map(({ family, ip }) => `${ip} daddr vmap @firewall_pods${family}`),
  ...FAMILIES.map(({ family, ip }) => `${ip} saddr vmap @firewall_pods${family}`),
  `iifname @${BRIDGES} oifname @${BRIDGES} iifname . oifname != @${SAME} drop`,
];

/** Where the pods are. */
export const FORWARDING_SETS: readonly NftSetName[] = [
  ...FAMILIES.map(({ family }) => podMap(family)),
  { family: "bridge", table: TABLE, set: ISOLATED },
];
/** Where the networks' bridges are, with the network in the comment. */
export const NETWORK_SETS: readonly NftSetName[] = [BRIDGES, SAME].map((set) => ({
  family: "inet",
  table: TABLE,
  set,
}));
export const FORWARDING_CHAINS: readonly string[] = [CHAIN, ISOLATION_CHAIN];

function podMap(family: Family): NftSetName {
  return { family: "inet", table: TABLE, set: `firewall_pods${family}` };
}

/**
 * The table, its chains and sets, and the administrator's chain, as one transaction; run again, it changes nothing. That
 * chain is made, and never touched again.
 * @param isolation also in the bridge family, which costs every bridged frame a look
 */
export function ensureForwarding(adminChain: string, { isolation }: { readonly isolation: boolean }): string {
  return transaction(
    `add table inet ${TABLE}`,
    `add chain inet ${TABLE} ${adminChain}`,
    FAMILIES.map(({ family, type }) => `add map inet ${TABLE} firewall_pods${family} { type ${type} : verdict; }`),
    `add set inet ${TABLE} ${BRIDGES} { type ifname; }`,
    `add set inet ${TABLE} ${SAME} { type ifname . ifname; }`,
    `add chain inet ${TABLE} ${CHAIN} { type filter hook forward priority 0; policy accept; }`,
    `flush chain inet ${TABLE} ${CHAIN}`,
    RULES.map((rule) => `add rule inet ${TABLE} ${CHAIN} ${rule}`),
    isolation
      ? [
          `add table bridge ${TABLE}`,
          `add set bridge ${TABLE} ${ISOLATED} { type ifname; }`,
          `add chain bridge ${TABLE} ${ISOLATION_CHAIN} { type filter hook forward priority 0; policy accept; }`,
          `flush chain bridge ${TABLE} ${ISOLATION_CHAIN}`,
          `add rule bridge ${TABLE} ${ISOLATION_CHAIN} iifname @${ISOLATED} oifname @${ISOLATED} drop`,
        ]
      : [],
  );
}

/** What serves all pods and is missing, as sentences for CHECK. */
export function forwardingProblems(view: NftView, { isolation }: { readonly isolation: boolean }): string[] {
  const problems: string[] = [];
  if (view.countRules("inet", TABLE, CHAIN) !== RULES.length) {
    problems.push(`chain ${CHAIN} of table inet ${TABLE} is missing or was changed`);
  }
  if (isolation && view.countRules("bridge", TABLE, ISOLATION_CHAIN) !== 1) {
    problems.push(`chain ${ISOLATION_CHAIN} of table bridge ${TABLE} is missing or was changed`);
  }
  return problems;
}

/** A pod's elements. */
export function forwardedElements({
  owner: comment,
  addresses,
  adminChain,
  isolatedPorts,
}: ForwardedPod): NftElement[] {
  return [
    ...addresses.map((address) => {
      return { of: podMap(familyOf(address)), key: addressToBytes(address), comment, jump: adminChain };
    }),
    ...isolatedPorts.map((port) => {
      return { of: { family: "bridge", table: TABLE, set: ISOLATED } as const, key: nameBytes(port), comment };
    }),
  ];
}

/** What an element is about: an address or a port. */
export function describeForwarded({ of, key }: NftElement): string {
  if (of.set !== ISOLATED) return addressFromBytes(key);
  return Buffer.from(key).toString().replace(/\0.*$/, "");
}

/** Which networks a bridge's pods are open to: all, their own, none (not even that). */
export const INGRESS_POLICIES = ["open", "same-bridge", "isolated"] as const;
export type IngressPolicy = (typeof INGRESS_POLICIES)[number];

/** A network's bridge, and what it is open to. */
export interface BridgePolicy {
  readonly network: string;
  readonly bridge: string;
  readonly policy: IngressPolicy;
}

/** The elements of a network's bridge; those of all its pods together. */
export function bridgeElements({ network, bridge, policy }: BridgePolicy): NftElement[] {
  const comment = networkComment(network);
  const [bridges, same] = NETWORK_SETS;
  if (bridges === undefined || same === undefined) return [];
  const elements: NftElement[] = [];
  if (policy !== "open") elements.push({ of: bridges, key: nameBytes(bridge), comment });
  if (policy === "same-bridge") {
    elements.push({ of: same, key: concatenation(nameBytes(bridge), nameBytes(bridge)), comment });
  }
  return elements;
}

function networkComment(network: string): string {
  return `network ${nameHash(network)}`;
}

/** What of the network's elements is missing, and what of it is there that its policy does not have. */
export function bridgeDifference(
  view: Pick<NftView, "get">,
  wanted: BridgePolicy,
): { readonly missing: readonly NftElement[]; readonly excess: readonly NftElement[] } {
  const elements = bridgeElements(wanted);
  const all = bridgeElements({ ...wanted, policy: "same-bridge" });
  const own = networkComment(wanted.network);
  return {
    missing: elements.filter(({ of, key }) => view.get(of, key) === undefined),
    excess: all.filter(({ of, key }) => !elements.some((each) => each.of === of) && view.get(of, key)?.comment === own),
  };
}

/** nft text that adds elements of networks, those that are there included. */
export function addBridges(elements: readonly NftElement[]): string {
  return transaction(
    elements.map(({ of, key, comment = "" }) => {
      const names = [key.subarray(0, 16), key.subarray(16)]
        .map((part) => Buffer.from(part).toString().replace(/\0.*$/, ""))
        .filter((name) => name !== "");
      const text = names.map((name) => `"${name}"`).join(" . ");
      return `add element inet ${TABLE} ${of.set} { ${text} comment ${quoteComment(comment)} }`;
    }),
  );
}

/** The elements of a network that has no pods any more. */
export function networkElements(
  list: (sets: readonly NftSetName[]) => readonly NftElement[],
  network: string,
): NftElement[] {
  return list(NETWORK_SETS).filter(({ comment }) => comment === networkComment(network));
}
