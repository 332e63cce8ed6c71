/** An element of a set, or of a verdict map, as `nft -j list` shows it. */
export interface ListedElement {
  /** In nft's words, parts of a concatenation joined by " . ": "10.244.0.0/16", "4790 . 192.0.2.1". */
  readonly key: string;
  readonly comment?: string;
  /** A verdict map's: the chain that is jumped or gone to. */
  readonly target?: string;
}

export interface ListedSet {
  readonly name: string;
  /** As in nft text: "inet_service . ipv4_addr"; or {@link TYPEOF}. */
  readonly type: string;
  readonly interval: boolean;
  readonly elements: readonly ListedElement[];
}

export interface ListedChain {
  readonly name: string;
  /** "nat postrouting 100"; absent when no hook calls the chain. */
  readonly hook?: string;
  /** The rules' comments, in order; "" where one has none. */
  readonly rules: readonly string[];
}

/** A table, or as much of it as was listed. */
export interface Listing {
  readonly sets: ReadonlyMap<string, ListedSet>;
  readonly chains: ReadonlyMap<string, ListedChain>;
}

/** The type of a set that was made by `typeof`, from an nft that lists it so; others list what that came to. */
export const TYPEOF = "typeof";

/** What a table that does not exist holds. */
export const EMPTY_LISTING: Listing = { sets: new Map(), chains: new Map() };

/**
 * Reads what `list table`, `list set` or `list map` gave: the objects in "nftables" of libnftables-json(5), of several
 * commands if you like. What is not a chain, rule, set or map is left out.
 */
export function parseListing(objects: readonly unknown[]): Listing {
  const sets = new Map<string, ListedSet>();
  const chains = new Map<string, { name: string; hook?: string; rules: string[] }>();
  for (const object of objects) {
    const set = field(object, "set") ?? field(object, "map");
    if (set !== undefined) sets.set(text(field(set, "name")), parseSet(set));
    const chain = field(object, "chain");
    if (chain !== undefined) chains.set(text(field(chain, "name")), parseChain(chain));
    const rule = field(object, "rule");
    if (rule !== undefined) chains.get(text(field(rule, "chain")))?.rules.push(text(field(rule, "comment")));
  }
  return { sets, chains };
}

/** Whether `list tables` named it. To list a table that does not exist is an error, so ask first. */
export function listsTable(objects: readonly unknown[], family: "inet" | "bridge", name: string): boolean {
  return objects.some((object) => {
    const table = field(object, "table");
    return field(table, "family") === family && field(table, "name") === name;
  });
}

function parseSet(set: unknown): ListedSet {
  const type = field(set, "type");
  const flags = field(set, "flags");
  const elements = field(set, "elem");
  return {
    name: text(field(set, "name")),
    type: field(type, "typeof") !== undefined ? TYPEOF : Array.isArray(type) ? type.join(" . ") : text(type),
    interval: Array.isArray(flags) && flags.includes("interval"),
    elements: Array.isArray(elements) ? elements.map(parseElement) : [],
  };
}

// A set's element is a value, or {elem: {val, comment}} when it has a comment; a map's is [that, verdict].
function parseElement(element: unknown): ListedElement {
  const [keyed, verdict] = Array.isArray(element) ? element : [element, undefined];
  const elem = field(keyed, "elem");
  const comment = field(elem, "comment");
  const target = field(field(verdict, "goto") ?? field(verdict, "jump"), "target");
  return {
    key: keyText(elem === undefined ? keyed : field(elem, "val")),
    ...(typeof comment === "string" && { comment }),
    ...(typeof target === "string" && { target }),
  };
}

function keyText(value: unknown): string {
  const concat = field(value, "concat");
  if (Array.isArray(concat)) return concat.map(keyText).join(" . ");
  const prefix = field(value, "prefix");
  if (prefix !== undefined) return `${text(field(prefix, "addr"))}/${text(field(prefix, "len"))}`;
  const range = field(value, "range");
  if (Array.isArray(range)) return range.map(keyText).join("-");
  return text(value);
}

function parseChain(chain: unknown): { name: string; hook?: string; rules: string[] } {
  const name = text(field(chain, "name"));
  const hook = field(chain, "hook");
  if (hook === undefined) return { name, rules: [] };
  return { name, hook: [field(chain, "type"), hook, field(chain, "prio")].map(text).join(" "), rules: [] };
}

function field(object: unknown, key: string): unknown {
  if (typeof object !== "object" || object === null || !Object.hasOwn(object, key)) return undefined;
  return (object as Record<string, unknown>)[key];
}

function text(value: unknown): string {
  return typeof value === "string" || typeof value === "number" ? String(value) : "";
}
