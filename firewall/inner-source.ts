import type { InnerFormat } from "../backends/facts.ts";
import { type Address, addressToBytes, type Family, familyOf } from "../net/address.ts";
import { type Prefix, prefixAddress, prefixFamily, prefixLength } from "../net/prefix.ts";
import type { NftChain, NftSet } from "./ruleset.ts";

/** What a tunnel carries, and from which nodes. */
export interface InnerSource {
  /** Of packets that are taken; all others are dropped. */
  readonly formats: readonly InnerFormat[];
  /** Which inner sources may come from which outer one; the prefixes of one length do not overlap. */
  readonly sources: readonly (readonly [from: Address, subnet: Prefix])[];
}

/**
 * Where the inner IP packet is, by its family: what tells that it is one, and where its source address begins, in bits
 * from the start of the transport header. VXLAN-GPE (draft-ietf-nvo3-vxlan-gpe: next protocol, no Ethernet), VXLAN
 * (RFC 7348), GRE without options and with a key (RFC 2784, RFC 2890), Ethernet in GRE with a key (Open vSwitch), and IP
 * in IP (RFC 2003).
 */
const FORMATS = {
  gpe: { 4: { when: "@th,88,8 1", at: 224 }, 6: { when: "@th,88,8 2", at: 192 } },
  ethernet: { 4: { when: "@th,224,16 0x800", at: 336 }, 6: { when: "@th,224,16 0x86dd", at: 304 } },
  gre: { 4: { when: "@th,0,32 0x800", at: 128 }, 6: { when: "@th,0,32 0x86dd", at: 96 } },
  "gre-keyed": { 4: { when: "@th,0,32 0x20000800", at: 160 }, 6: { when: "@th,0,32 0x200086dd", at: 128 } },
  "gre-ethernet": {
    4: { when: "@th,0,32 0x20006558 @th,160,16 0x800", at: 272 },
    6: { when: "@th,0,32 0x20006558 @th,160,16 0x86dd", at: 240 },
  },
  ip: { 4: { when: "", at: 96 }, 6: undefined },
} as const satisfies Record<InnerFormat, Record<Family, { readonly when: string; readonly at: number } | undefined>>;

/**
 * Bits that one part of a key takes at most: a number that JSON carries without loss, and an IPv6 address is not more
 * than three, for a fourth does not fit into what nft notes of a set (NFT_USERDATA_MAXLEN) and it lists zeros.
 */
const WORD = 48;
/** An offset for declarations: nft asks for one, though it does not count, and takes the first for names of ports. */
const ANYWHERE = 256;
const ADDRESS_TYPE = { 4: "ipv4_addr", 6: "ipv6_addr" } as const;
const OUTER_SOURCE = { 4: "ip saddr", 6: "ip6 saddr" } as const;

/**
 * Takes a packet whose outer and inner source belong together, and drops every other. One lookup by hash: prefixes of a
 * length have a set of their own, keyed by so many leading bits (a length that is no multiple of 8 needs an interval set).
 * The chain must be gone to from a rule that knows the protocol: nft 1.0.6 stops with an assertion when it lists a rule
 * that has both a raw key and a transport protocol that it knows no fields of.
 */
export function innerSource(name: string, { formats, sources }: InnerSource): { sets: NftSet[]; chain: NftChain } {
  const sets = new Map<string, SourceSet>();
  const shapes = new Map<Prefix, Shape>();
  for (const [from, subnet] of sources) {
    const shape = shapes.get(subnet) ?? shapeOf(subnet);
    shapes.set(subnet, shape);
    const outer = familyOf(from);
    const setName = `${name}_${outer}_${shape.family}_${shape.length}`;
    const set = sets.get(setName) ?? { name: setName, outer, shape, keys: [] };
    sets.set(setName, set);
    set.keys.push(`${from} . ${shape.key}`);
  }
  const ordered = [...sets.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const rules = formats.flatMap((format) => ordered.flatMap((set) => sourceRule(format, set)));
  return {
    sets: ordered.map(({ name, outer, shape, keys }) => ({
      name,
      type: [ADDRESS_TYPE[outer], ...shape.widths.map(() => "integer")].join(" . "),
      typeOf: concatenation(outer, shape, ANYWHERE),
      ...(shape.interval && { interval: true }),
      keys,
    })),
    chain: { name, rules: [...rules, "drop"] },
  };
}

interface SourceSet {
  readonly name: string;
  readonly outer: Family;
  /** That of every prefix in the set, but for its key. */
  readonly shape: Shape;
  readonly keys: string[];
}

/** A prefix as parts of a key. */
interface Shape {
  readonly family: Family;
  readonly length: number;
  /** Bits of each part. */
  readonly widths: readonly number[];
  readonly interval: boolean;
  readonly key: string;
}

function shapeOf(subnet: Prefix): Shape {
  const [family, length] = [prefixFamily(subnet), prefixLength(subnet)];
  const bytes = addressToBytes(prefixAddress(subnet));
  const interval = length % 8 !== 0 || length === 0;
  const bits = Math.max(1, Math.ceil(length / 8)) * 8;
  const widths: number[] = [];
  const parts: string[] = [];
  for (let at = 0; at < bits; at += WORD) {
    const width = Math.min(WORD, bits - at);
    const low = bytes.subarray(at / 8, (at + width) / 8).reduce((value, byte) => value * 256 + byte, 0);
    const free = Math.max(0, at + width - length); // of the prefix's own bits, in the last part
    widths.push(width);
    parts.push(free === 0 ? String(low) : `${low}-${low + 2 ** free - 1}`);
  }
  return { family, length, widths, interval, key: parts.join(" . ") };
}

function sourceRule(format: InnerFormat, { name, outer, shape }: SourceSet): string[] {
  const inner = FORMATS[format][shape.family];
  if (inner === undefined) return [];
  return [[inner.when, concatenation(outer, shape, inner.at), `@${name} accept`].filter(Boolean).join(" ")];
}

/** The outer source and the leading bits of the inner one. */
function concatenation(outer: Family, { widths }: Shape, at: number): string {
  const raw = widths.map((width, i) => `@th,${at + i * WORD},${width}`);
  return [OUTER_SOURCE[outer], ...raw].join(" . ");
}
