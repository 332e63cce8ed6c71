import { type ListedChain, type ListedSet, type Listing, TYPEOF } from "./listing.ts";
import { nameHash, TABLE, transaction } from "./nft-text.ts";

/** A set of ours; keys in nft's words and in the form that it lists them (no host prefix length). */
export interface NftSet {
  readonly name: string;
  /** "ipv4_addr", "inet_service . ipv6_addr". */
  readonly type: string;
  /** Instead of the type where a part of it has no size of its own: "ip saddr . @th,224,24". */
  readonly typeOf?: string;
  /** Keys are prefixes or ranges; they must not overlap. */
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
  // What has the wrong shape is made anew. A set, or a chain without a hook, can go only when no rule names it, so then
  // every chain is filled anew.
  const badSets = oldSets.filter((old) => !sets.some((set) => sameShape(set, old)));
  const badChains = oldChains.filter(
    (old) => !chains.some((chain) => chain.name === old.name && hookText(chain) === old.hook),
  );
  const flushAll = badSets.length > 0 || badChains.some(({ hook }) => hook === undefined);
  const refill = chains.filter((chain) => {
    const old = oldChains.find(({ name }) => name === chain.name);
    return flushAll || old === undefined || badChains.includes(old) || !sameRules(chain, old);
  });
  const surviving = new Map(oldSets.filter((old) => !badSets.includes(old)).map((old) => [old.name, old]));

  const lines = [
    ...[...new Set([...badChains, ...(flushAll ? oldChains : [])])].map(
      ({ name }) => `flush chain inet ${TABLE} ${name}`,
    ),
    ...badChains.map(({ name }) => `delete chain inet ${TABLE} ${name}`),
    ...badSets.map(({ name }) => `delete set inet ${TABLE} ${name}`),
    ...sets.flatMap((set) => setLines(set, surviving.get(set.name))),
    ...refill.flatMap(emptyChainLines), // all, before any rule goes to one
    ...refill.flatMap(ruleLines),
  ];
  return lines.length === 0 ? "" : transaction(`add table inet ${TABLE}`, lines);
}

/** Whether they have the same sets and chains, and differ in keys at most. */
export function sameButForKeys(one: readonly Ruleset[], other: readonly Ruleset[]): boolean {
  return frame(one) === frame(other);
}

function frame(rulesets: readonly Ruleset[]): string {
  return JSON.stringify(rulesets, (name, value: unknown) => (name === "keys" ? undefined : value));
}

/** What is listed where these rulesets, and no more, were written. */
export function listingOf(rulesets: readonly Ruleset[]): Listing {
  const sets = rulesets.flatMap((ruleset) => ruleset.sets).map(listedSet);
  const chains = rulesets.flatMap((ruleset) => ruleset.chains).map(listedChain);
  return {
    sets: new Map(sets.map((set) => [set.name, set])),
    chains: new Map(chains.map((chain) => [chain.name, chain])),
  };
}

function listedSet({ name, type, interval, keys }: NftSet): ListedSet {
  return { name, type, interval: interval ?? false, elements: keys.map((key) => ({ key })) };
}

function listedChain(chain: NftChain): ListedChain {
  const hook = hookText(chain);
  return { name: chain.name, ...(hook !== undefined && { hook }), rules: chain.rules.map(ruleTag) };
}

function setLines({ name, type, typeOf, interval, keys }: NftSet, old: ListedSet | undefined): string[] {
  const before = new Set(old?.elements.map(({ key }) => key));
  const wanted = new Set(keys);
  const gone = [...before].filter((key) => !wanted.has(key));
  const fresh = [...wanted].filter((key) => !before.has(key));
  const lines: string[] = [];
  if (old === undefined)
    lines.push(
      `add set inet ${TABLE} ${name} { ${typeOf === undefined ? `type ${type}` : `typeof ${typeOf}`};${interval ? " flags interval;" : ""} }`,
    );
  // Deleted first, because a fresh interval may overlap a gone one; both happen at once.
  if (gone.length > 0) lines.push(`delete element inet ${TABLE} ${name} { ${gone.join(", ")} }`);
  if (fresh.length > 0) lines.push(`add element inet ${TABLE} ${name} { ${fresh.join(", ")} }`);
  return lines;
}

function emptyChainLines({ name, hook }: NftChain): string[] {
  const base =
    hook === undefined ? "" : ` { type ${hook.type} hook ${hook.hook} priority ${hook.priority}; policy accept; }`;
  return [`add chain inet ${TABLE} ${name}${base}`, `flush chain inet ${TABLE} ${name}`];
}

function ruleLines({ name, rules }: NftChain): string[] {
  return rules.map((rule) => `add rule inet ${TABLE} ${name} ${rule} comment "${ruleTag(rule)}"`);
}

function sameShape(set: NftSet, old: ListedSet): boolean {
  const sameType = set.type === old.type || (set.typeOf !== undefined && old.type === TYPEOF);
  return set.name === old.name && sameType && (set.interval ?? false) === old.interval;
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
