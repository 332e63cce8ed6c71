import { ADDRESS_BITS } from "../net/address.ts";
import type { Span } from "./span.ts";

/**
 * Prefixes, asked which of them overlaps another one. Two prefixes that overlap are nested, so each one is noted under
 * itself and under all that contain it: a question costs a few look-ups however many prefixes there are.
 */
export class SpanIndex<Value> {
  readonly #exact = new Map<string, Value>();
  readonly #containing = new Map<string, Value>();

  add(span: Span, value: Value): void {
    const [first, ...shorter] = ancestors(span);
    if (first !== undefined) this.#exact.set(first, value);
    for (const key of shorter) if (!this.#containing.has(key)) this.#containing.set(key, value);
  }

  /** The value of one that contains the prefix or lies inside it. */
  findOverlap(span: Span): Value | undefined {
    if (this.#exact.size === 0) return undefined;
    const keys = ancestors(span);
    const [own] = keys;
    for (const key of keys) {
      const value = this.#exact.get(key);
      if (value !== undefined) return value;
    }
    return own === undefined ? undefined : this.#containing.get(own);
  }
}

/** Keys of the prefix itself and of all that contain it, longest first. */
function ancestors({ family, length, low }: Span): string[] {
  const keys: string[] = [];
  let value = low >> BigInt(ADDRESS_BITS[family] - length);
  for (let bits = length; bits >= 0; bits--, value >>= 1n) keys.push(`${family}/${bits}/${value.toString(36)}`);
  return keys;
}
