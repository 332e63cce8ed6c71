import { ADDRESS_BITS, type Family } from "../net/address.ts";
import type { Span } from "./span.ts";

/**
 * Prefixes, asked which of them overlaps another one. Two prefixes that overlap are nested, so a question is one look-up
 * for each shorter length that is there, and one in a table of what lies inside prefixes of the asked length. Real
 * clusters have one length a family; hostile ones at most 129.
 */
export class SpanIndex<Value> {
  readonly #byLength = { 4: new Map<number, Map<bigint, Value>>(), 6: new Map<number, Map<bigint, Value>>() };
  /** For each length that was asked for: what lies inside the prefixes of that length. */
  readonly #insideByLength = { 4: new Map<number, Map<bigint, Value>>(), 6: new Map<number, Map<bigint, Value>>() };

  add(span: Span, value: Value): void {
    const { family, length } = span;
    const same = this.#byLength[family].get(length) ?? new Map<bigint, Value>();
    this.#byLength[family].set(length, same.set(keyOf(span, length), value));
    for (const [asked, inside] of this.#insideByLength[family]) if (length > asked) note(inside, span, asked, value);
  }

  /** The value of one that contains the prefix or lies inside it. */
  findOverlap(span: Span): Value | undefined {
    for (const [length, values] of this.#byLength[span.family]) {
      const value = length <= span.length ? values.get(keyOf(span, length)) : undefined;
      if (value !== undefined) return value;
    }
    return this.#inside(span.family, span.length).get(keyOf(span, span.length));
  }

  #inside(family: Family, length: number): ReadonlyMap<bigint, Value> {
    const known = this.#insideByLength[family].get(length);
    if (known !== undefined) return known;
    const inside = new Map<bigint, Value>();
    for (const [longer, values] of this.#byLength[family]) {
      if (longer <= length) continue;
      for (const [key, value] of values)
        if (!inside.has(key >> BigInt(longer - length))) inside.set(key >> BigInt(longer - length), value);
    }
    this.#insideByLength[family].set(length, inside);
    return inside;
  }
}

function note<Value>(inside: Map<bigint, Value>, span: Span, length: number, value: Value): void {
  const key = keyOf(span, length);
  if (!inside.has(key)) inside.set(key, value);
}

/** The first `length` bits. */
function keyOf({ family, low }: Span, length: number): bigint {
  return low >> BigInt(ADDRESS_BITS[family] - length);
}
