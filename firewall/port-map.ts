import type { NftElement, NftSetName } from "../kernel/nftables/element-message.ts";
import {
  ADDRESS_BITS,
  type Address,
  addressFromBytes,
  addressToBytes,
  type Family,
  familyOf,
  isLoopback,
} from "../net/address.ts";
import {
  concatenation,
  endpointBytes,
  nameBytes,
  type PortProtocol,
  PROTOCOL_NUMBERS,
  portBytes,
  protocolBytes,
} from "./element-key.ts";
import { type NftView, TABLE, transaction } from "./nft-text.ts";

/**
 * The portmap plugin's: ports of the node lead to pods. Chains and rules are made once; a mapping is an element or a few,
 * with the owner as comment. A packet to one of the node's own addresses is looked for in three maps, the most particular
 * one first:
 *
 *     map portmap_if4   { saddr . daddr . protocol . port : pod . port }   mappings with conditions
 *     map portmap_at4   { daddr . protocol . port : pod . port }           with an address of the node
 *     map portmap_any4  { protocol . port : pod . port }
 *
 * Pods that are neighbours of the pod (itself included) would have its answers directly, from an address that they never
 * asked: what leaves by the interface through which it came is masqueraded (set portmap_near4).
 *
 * A local process at 127.0.0.1 (::1) is reached without the sysctl route_localnet, which would let the whole network at
 * the node's loopback addresses: before connection tracking sees its packet, the source becomes the node's address
 * towards the pod (maps portmap_loop_…); the answer, to that address, gets 127.0.0.1 back once it has been routed.
 */
export interface PublishedPod {
  readonly owner: string;
  /** The mappings of its family are the ones that count. */
  readonly address: Address;
  readonly mappings: readonly PortMapping[];
  /** Only packets from and to these. */
  readonly condition?: Condition | undefined;
  /** Whose source is replaced: nobody's, that of whom the answers would not find else, everybody's. */
  readonly snat: "none" | "returning" | "all";
  /** The node's way to the pod; absent where it has none. */
  readonly way?: { readonly device: string; readonly source?: Address | undefined } | undefined;
}

export interface PortMapping {
  readonly protocol: PortProtocol;
  readonly hostPort: number;
  readonly containerPort: number;
  /** One address of the node; absent: all of them. */
  readonly hostIP?: Address | undefined;
  /** Whether local processes reach it at the loopback address. */
  readonly loopback: boolean;
}

/** Both ends belong to it. */
export type AddressRange = readonly [first: Address, last: Address];

export interface Condition {
  readonly sources: readonly AddressRange[];
  readonly destinations: readonly AddressRange[];
}

const CHAINS = {
  dnat: "portmap_dnat",
  prerouting: "portmap_prerouting",
  output: "portmap_output",
  loopback: "portmap_loopback",
  answers: "portmap_answers",
  postrouting: "portmap_postrouting",
} as const;

const FAMILIES = [
  { family: 4, ip: "ip", type: "ipv4_addr", protocol: "ipv4", loopback: "127.0.0.1", loopbacks: "127.0.0.0/8" },
  { family: 6, ip: "ip6", type: "ipv6_addr", protocol: "ipv6", loopback: "::1", loopbacks: "::1" },
] as const;

const MAPS = ["if", "at", "any", "loop_at", "loop_any", "near", "all"] as const;
type MapName = (typeof MAPS)[number];

/** Where the mappings are. */
export const PORT_MAP_SETS: readonly NftSetName[] = FAMILIES.flatMap(({ family }) =>
  MAPS.map((map) => portMap(map, family)),
);
export const PORT_MAP_CHAINS: readonly string[] = Object.values(CHAINS);

function portMap(map: MapName, family: Family): NftSetName {
  return { family: "inet", table: TABLE, set: `portmap_${map}${family}` };
}

/** What a port of the protocols is; every lookup begins with it. */
const PORTS = "meta l4proto { tcp, udp, sctp }";
const PORT = "meta l4proto . th dport";

const RULES: Readonly<Record<keyof typeof CHAINS, readonly string[]>> = {
  dnat: FAMILIES.flatMap(({ family, ip, protocol }) => {
    const to = `meta nfproto ${protocol} ${PORTS} dnat ${ip} to`;
    return [
      `${to} ${ip} saddr . ${ip} daddr . ${PORT} map @portmap_if${family}`,
      `${to} ${ip} daddr . ${PORT} map @portmap_at${family}`,
      `${to} ${PORT} map @portmap_any${family}`,
    ];
  }),
  // A neighbour on the wire may write what it likes into a packet; the node's loopback is not its affair.
  prerouting: [
    ...FAMILIES.map(({ ip, loopbacks }) => `${ip} daddr ${loopbacks} return`),
    `fib daddr type local goto ${CHAINS.dnat}`,
  ],
  // From a loopback address no packet can leave the node.
  output: [
    ...FAMILIES.map(({ ip, loopbacks }) => `${ip} saddr ${loopbacks} return`),
    `fib daddr type local goto ${CHAINS.dnat}`,
  ],
  loopback: FAMILIES.flatMap(({ family, ip, loopback, loopbacks }) => {
    const own = `${ip} saddr ${loopback} ${ip} daddr ${loopbacks} ${PORTS}`;
    return [
      `${own} ${ip} saddr set ${ip} daddr . ${PORT} map @portmap_loop_at${family}`,
      `${own} ${ip} saddr set ${PORT} map @portmap_loop_any${family}`,
    ];
  }),
  answers: FAMILIES.map(
    ({ ip, loopback, loopbacks }) =>
      `ct direction reply ct status dnat ct original ${ip} daddr ${loopbacks} ${ip} daddr != ${loopbacks} ${ip} daddr set ${loopback}`,
  ),
  postrouting: FAMILIES.flatMap(({ family, ip }) => [
    `ct status dnat ${ip} daddr . ${PORT} @portmap_all${family} masquerade`,
    `ct status dnat fib saddr type != local iifname . ${ip} daddr . ${PORT} @portmap_near${family} masquerade`,
  ]),
};

/** Where the chains hang; before connection tracking is -200, filters are at 0, and bridges' masquerading is at 100. */
const HOOKS: Readonly<Partial<Record<keyof typeof CHAINS, string>>> = {
  prerouting: "type nat hook prerouting priority -100",
  output: "type nat hook output priority -100",
  loopback: "type filter hook output priority -300",
  answers: "type filter hook input priority 110",
  postrouting: "type nat hook postrouting priority 90",
};

/**
 * The table, its chains and maps as one transaction. Run again, or by two processes at once, it changes nothing: the
 * rules are replaced within the transaction.
 */
export function ensurePortMap(): string {
  const names = Object.keys(CHAINS) as (keyof typeof CHAINS)[];
  return transaction(
    `add table inet ${TABLE}`,
    FAMILIES.flatMap(({ family, type }) => [
      `add map inet ${TABLE} portmap_if${family} { type ${type} . ${type} . inet_proto . inet_service : ${type} . inet_service; flags interval; }`,
      `add map inet ${TABLE} portmap_at${family} { type ${type} . inet_proto . inet_service : ${type} . inet_service; }`,
      `add map inet ${TABLE} portmap_any${family} { type inet_proto . inet_service : ${type} . inet_service; }`,
      `add map inet ${TABLE} portmap_loop_at${family} { type ${type} . inet_proto . inet_service : ${type}; }`,
      `add map inet ${TABLE} portmap_loop_any${family} { type inet_proto . inet_service : ${type}; }`,
      `add set inet ${TABLE} portmap_near${family} { type ifname . ${type} . inet_proto . inet_service; }`,
      `add set inet ${TABLE} portmap_all${family} { type ${type} . inet_proto . inet_service; }`,
    ]),
    names.flatMap((name) => {
      const hook = HOOKS[name];
      return [
        `add chain inet ${TABLE} ${CHAINS[name]}${hook === undefined ? "" : ` { ${hook}; policy accept; }`}`,
        `flush chain inet ${TABLE} ${CHAINS[name]}`,
      ];
    }),
    names.flatMap((name) => RULES[name].map((rule) => `add rule inet ${TABLE} ${CHAINS[name]} ${rule}`)),
  );
}

/** What serves all mappings and is missing, as sentences for CHECK. */
export function portMapProblems(view: NftView): string[] {
  const names = Object.keys(CHAINS) as (keyof typeof CHAINS)[];
  return names
    .filter((name) => view.countRules("inet", TABLE, CHAINS[name]) !== RULES[name].length)
    .map((name) => `chain ${CHAINS[name]} of table inet ${TABLE} is missing or was changed`);
}

/** A pod's mappings as elements. */
export function publishedElements(pod: PublishedPod): NftElement[] {
  const family = familyOf(pod.address);
  return pod.mappings
    .filter(({ hostIP }) => hostIP === undefined || familyOf(hostIP) === family)
    .flatMap((mapping) => [...leadingTo(pod, mapping), ...comingBack(pod, mapping)]);
}

function leadingTo(pod: PublishedPod, mapping: PortMapping): NftElement[] {
  const { owner: comment, address, condition } = pod;
  const { protocol, hostPort, containerPort, hostIP } = mapping;
  const family = familyOf(address);
  const port = concatenation(protocolBytes(protocol), portBytes(hostPort));
  const value = endpointBytes(address, containerPort);
  if (condition !== undefined) {
    const of = portMap("if", family);
    return withCondition(condition, hostIP).map(([source, destination]) => {
      const end = (which: 0 | 1) =>
        concatenation(addressToBytes(source[which]), addressToBytes(destination[which]), port);
      return { of, key: end(0), keyEnd: end(1), comment, value };
    });
  }
  if (hostIP === undefined) return [{ of: portMap("any", family), key: port, comment, value }];
  return [{ of: portMap("at", family), key: concatenation(addressToBytes(hostIP), port), comment, value }];
}

/** The pairs of ranges whose packets the mapping is for. */
function withCondition({ sources, destinations }: Condition, hostIP: Address | undefined) {
  const within = (address: Address, [first, last]: AddressRange) =>
    Buffer.compare(addressToBytes(first), addressToBytes(address)) <= 0 &&
    Buffer.compare(addressToBytes(address), addressToBytes(last)) <= 0;
  const reached: readonly AddressRange[] =
    hostIP === undefined ? destinations : destinations.some((range) => within(hostIP, range)) ? [[hostIP, hostIP]] : [];
  return sources.flatMap((source) => reached.map((destination) => [source, destination] as const));
}

function comingBack(pod: PublishedPod, mapping: PortMapping): NftElement[] {
  const { owner: comment, address, condition, snat, way } = pod;
  const { protocol, hostPort, containerPort, hostIP, loopback } = mapping;
  if (snat === "none") return [];
  const family = familyOf(address);
  const port = concatenation(protocolBytes(protocol), portBytes(hostPort));
  const podPort = concatenation(addressToBytes(address), protocolBytes(protocol), portBytes(containerPort));
  const elements: NftElement[] = [];
  if (snat === "all") elements.push({ of: portMap("all", family), key: podPort, comment });
  if (way === undefined) return elements;
  if (snat === "returning") {
    // br_netfilter hands a translated packet from one port of a bridge to another, and then it came from nowhere.
    for (const device of [way.device, ""]) {
      elements.push({ of: portMap("near", family), key: concatenation(nameBytes(device), podPort), comment });
    }
  }
  if (!loopback || condition !== undefined || way.source === undefined) return elements;
  const value = addressToBytes(way.source);
  if (hostIP === undefined) elements.push({ of: portMap("loop_any", family), key: port, comment, value });
  else if (isLoopback(hostIP)) {
    const key = concatenation(addressToBytes(hostIP), port);
    elements.push({ of: portMap("loop_at", family), key, comment, value });
  }
  return elements;
}

/** What a mapping's element says. */
export interface ReadMapping {
  readonly family: Family;
  /** The number of <linux/in.h>. */
  readonly protocol: number;
  /** The node's, or where the element is about the pod's address, the pod's. */
  readonly port: number;
  /** Where packets are led, of the maps that do. */
  readonly to: { readonly address: Address; readonly port: number } | undefined;
}

/** Every key ends with protocol and port. */
export function readMapping({ of, key, value }: NftElement): ReadMapping {
  const [protocol = 0, , , , high = 0, low = 0] = key.subarray(-8);
  const family = of.set.endsWith("6") ? 6 : 4;
  const leads = value !== undefined && LEADING.has(of.set);
  const length = ADDRESS_BITS[family] / 8;
  return {
    family,
    protocol,
    port: (high << 8) | low,
    to: leads
      ? {
          address: addressFromBytes(value.subarray(0, length)),
          port: ((value[length] ?? 0) << 8) | (value[length + 1] ?? 0),
        }
      : undefined,
  };
}

const LEADING: ReadonlySet<string> = new Set(
  FAMILIES.flatMap(({ family }) => (["if", "at", "any"] as const).map((map) => portMap(map, family).set)),
);

/** Whether it says something of the pod's own address, which is only ever one pod's. */
export function isOfPodAddress({ of }: NftElement): boolean {
  return OF_PODS.has(of.set);
}

const OF_PODS: ReadonlySet<string> = new Set(
  FAMILIES.flatMap(({ family }) => (["near", "all"] as const).map((map) => portMap(map, family).set)),
);

/** In words: `port 8080/tcp`, with the node's address where it is for one alone. */
export function describeMapping(element: NftElement): string {
  const { family, protocol, port: number } = readMapping(element);
  const name = Object.entries(PROTOCOL_NUMBERS).find(([, each]) => each === protocol)?.[0] ?? String(protocol);
  const port = `port ${number}/${name}`;
  if (element.of.set !== portMap("at", family).set) return `${port} (IPv${family})`;
  return `${port} at ${addressFromBytes(element.key.subarray(0, ADDRESS_BITS[family] / 8))}`;
}
