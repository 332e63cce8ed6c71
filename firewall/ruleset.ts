import type { ListedChain, ListedSet, Listing } from "./listing.ts";
import { nameHash, TABLE, transaction } from "./nft-text.ts";

/** A set of ours; keys in nft's words and in the form that it lists them (no host prefix length). */
export interface NftSet {
  readonly name: string;
  /** "ipv4_addr", "inet_service . ipv6_addr". */
  readonly type: string;
  /** Keys are prefixes; they must not overlap. */
  readonly interval?: true;
  readonly keys: readonly string[];
}

export interface NftChain {
  readonly name: string;
  /** Absent: called by other chains only. */
  readonly hook?: { readonly type: "filter" | "nat"; readonly hook: string; readonly priority: number };
  /** In nft text, without comments. */
  readonly rules: readonly string[];
}

/** A part of table `inet podwire` that the node's agent alone writes. */
export interface Ruleset {
  /** Chains and sets whose names begin so are this ruleset's; what it does not name is removed. */
  readonly prefix: string;
  readonly sets: readonly NftSet[];
  readonly chains: readonly NftChain[];
}

/**
 * The one transaction that turns what is listed into the ruleset, "" when it is that already. Elements are added and
 * deleted one by one, so a packet never meets an emptied set, and a changed chain is replaced within the transaction.
 * Rules are known by their comment, a hash of their text.
 */
export function difference({ prefix, sets, chains }: Ruleset, listing: Listing): string {
  const named = (name: string) => name.startsWith(prefix);
  const oldSets = [...listing.sets.values()].filter(({ name }) => named(name));
  const oldChains = [...listing.chains.values()].filter(({ name }) => named(name));
  // What has the wrong shape is made anew. A set can go only when no rule names it, so then every chain is filled anew.
  const badSets = oldSets.filter((old) => !sets.some((set) => sameShape(set, old)));
  const badChains = oldChains.filter(
    (old) => !chains.some((chain) => chain.name === old.name && hookText(chain) === old.hook),
  );
  const refill = chains.filter((chain) => {
    const old = oldChains.find(({ name }) => name === chain.name);
    return badSets.length > 0 || old === undefined || badChains.includes(old) || !sameRules(chain, old);
  });
  const surviving = new Map(oldSets.filter((old) => !badSets.includes(old)).map((old) => [old.name, old]));

  const lines = [
    ...[...new Set([...badChains, ...(badSets.length > 0 ? oldChains : [])])].map(
      ({ name }) => `flush chain inet ${TABLE} ${name}`,
    ),
    ...badChains.map(({ name }) => `delete chain inet ${TABLE} ${name}`),
    ...badSets.map(({ name }) => `delete set inet ${TABLE} ${name}`),
    ...sets.flatMap((set) => setLines(set, surviving.get(set.name))),
    ...refill.flatMap(chainLines),
  ];
  return lines.length === 0 ? "" : transaction(`add table inet ${TABLE}`, lines);
}

function setLines({ name, type, interval, keys }: NftSet, old: ListedSet | undefined): string[] {
  const before = new Set(old?.elements.map(({ key }) => key));
  const wanted = new Set(keys);
  const gone = [...before].filter((key) => !wanted.has(key));
  const fresh = [...wanted].filter((key) => !before.has(key));
  const lines: string[] = [];
  if (old === undefined)
    lines.push(`add set inet ${TABLE} ${name} { type ${type};${interval ? " flags interval;" : ""} }`);
  // Deleted first, because a fresh interval may overlap a gone one; both happen at once.
  if (gone.length > 0) lines.push(`delete element inet ${TABLE} ${name} { ${gone.join(", ")} }`);
  if (fresh.length > 0) lines.push(`add element inet ${TABLE} ${name} { ${fresh.join(", ")} }`);
  return lines;
}

function chainLines({ name, hook, rules }: NftChain): string[] {
  const base =
    hook === undefined ? "" : ` { type ${hook.type} hook ${hook.hook} priority ${hook.priority}; policy accept; }`;
  return [
    `add chain inet ${TABLE} ${name}${base}`,
    `flush chain inet ${TABLE} ${name}`,
    ...rules.map((rule) => `add rule inet ${TABLE} ${name} ${rule} comment "${ruleTag(rule)}"`),
  ];
}

function sameShape(set: NftSet, old: ListedSet): boolean {
  return set.name === old.name && set.type === old.type && (set.interval ?? false) === old.interval;
}

function sameRules(chain: NftChain, old: ListedChain): boolean {
  return chain.rules.length === old.rules.length && chain.rules.every((rule, i) => ruleTag(rule) === old.rules[i]);
}

function hookText({ hook }: NftChain): string | undefined {
  return hook && `${hook.type} ${hook.hook} ${hook.priority}`;
}

function ruleTag(rule: string): string {
  return `podwire ${nameHash(rule)}`;
}
