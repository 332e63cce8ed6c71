import { CniError, Code } from "./error.ts";

/** JSON as {@link parseJson} returns it: objects have no prototype, so no key of theirs has a meaning to JavaScript. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: Json;
}

/** No CNI document is near this size; an answer or configuration beyond it is a mistake or an attack. */
export const LARGEST_DOCUMENT = 1024 * 1024;
/** Objects and arrays inside one another. */
export const DEEPEST_NESTING = 32;
/** Keys of one object: a bound for what a hostile document can cost. Long lists are arrays, which have no such bound. */
export const MOST_KEYS = 4096;

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const LONE_SURROGATE = /\p{Surrogate}/u;
const LITERALS = [
  ["true", true],
  ["false", false],
  ["null", null],
] as const;

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/**
 * Parses one JSON document (RFC 8259), more strictly than JSON.parse: refuses duplicate keys, more than
 * {@link MOST_KEYS} of them, nesting beyond {@link DEEPEST_NESTING}, lone surrogates, and numbers that JavaScript would change (beyond ±2^53−1). In linear time.
 * @throws CniError 6 with the place, counted in characters.
 */
export function parseJson(text: string): Json {
  const parser = new Parser(text);
  const value = parser.value(0);
  parser.end();
  return value;
}

/**
 * Decodes UTF-8 and parses it.
 * @throws CniError 6, also for more than {@link LARGEST_DOCUMENT} bytes or bytes that are not UTF-8.
 */
export function parseJsonBytes(bytes: Uint8Array): Json {
  if (bytes.length > LARGEST_DOCUMENT) {
    throw new CniError(Code.decodingFailure, `the JSON document is larger than ${LARGEST_DOCUMENT} bytes`);
  }
  let text: string;
  try {
    text = UTF8.decode(bytes);
  } catch {
    throw new CniError(Code.decodingFailure, "the JSON document is not UTF-8");
  }
  return parseJson(text);
}

/** Whether the value is a JSON object. */
export function isJsonObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

class Parser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
    this.#refuseLoneSurrogates(text);
  }

  end(): void {
    this.#skipSpace();
    if (this.#at < this.#text.length) throw this.#error("unexpected text after the end");
  }

  value(depth: number): Json {
    if (depth > DEEPEST_NESTING) throw this.#error(`nested deeper than ${DEEPEST_NESTING}`);
    this.#skipSpace();
    const first = this.#text[this.#at];
    if (first === undefined) throw this.#error("unexpected end");
    if (first === "{") return this.#object(depth);
    if (first === "[") return this.#array(depth);
    if (first === '"') return this.#string();
    for (const [literal, value] of LITERALS) {
      if (this.#text.startsWith(literal, this.#at)) {
        this.#at += literal.length;
        return value;
      }
    }
    return this.#number();
  }

  #object(depth: number): JsonObject {
    const object: Record<string, Json> = Object.create(null);
    this.#at++;
    if (this.#take("}")) return object;
    let keys = 0;
    do {
      if (++keys > MOST_KEYS) throw this.#error(`an object has more than ${MOST_KEYS} keys`);
      this.#skipSpace();
      if (this.#text.charCodeAt(this.#at) !== QUOTE) throw this.#error("expected a key in quotes");
      const key = this.#string();
      if (key in object) throw this.#error(`duplicate key ${JSON.stringify(key.slice(0, 80))}`);
      if (!this.#take(":")) throw this.#error('expected ":"');
      object[key] = this.value(depth + 1);
    } while (this.#take(","));
    if (!this.#take("}")) throw this.#error('expected "," or "}"');
    return object;
  }

  #array(depth: number): readonly Json[] {
    const array: Json[] = [];
    this.#at++;
    if (this.#take("]")) return array;
    do array.push(this.value(depth + 1));
    while (this.#take(","));
    if (!this.#take("]")) throw this.#error('expected "," or "]"');
    return array;
  }

  #string(): string {
    const start = this.#at++;
    let escaped = false;
    for (let code = this.#text.charCodeAt(this.#at); code !== QUOTE; code = this.#text.charCodeAt(this.#at)) {
      if (Number.isNaN(code)) throw this.#error("a string has no end");
      if (code < 0x20) throw this.#error("a string holds a control character");
      if (code === BACKSLASH) escaped = true;
      this.#at += code === BACKSLASH ? 2 : 1;
    }
    this.#at++;
    if (!escaped) return this.#text.slice(start + 1, this.#at - 1);
    const string = this.#unescape(start);
    this.#refuseLoneSurrogates(string); // an escape can make what the document itself does not hold
    return string;
  }

  #refuseLoneSurrogates(text: string): void {
    if (LONE_SURROGATE.test(text)) throw this.#error("a string holds half of a surrogate pair");
  }

  #unescape(start: number): string {
    try {
      return JSON.parse(this.#text.slice(start, this.#at)) as string;
    } catch {
      throw this.#error("a string holds an unknown escape");
    }
  }

  #number(): number {
    NUMBER.lastIndex = this.#at;
    const [digits] = NUMBER.exec(this.#text) ?? [];
    if (digits === undefined) throw this.#error(`unexpected ${JSON.stringify(this.#text[this.#at] ?? "end")}`);
    const value = Number(digits);
    if (Math.abs(value) > Number.MAX_SAFE_INTEGER) {
      throw this.#error(`the number ${digits.slice(0, 40)} is beyond ${Number.MAX_SAFE_INTEGER}`);
    }
    this.#at += digits.length;
    return value;
  }

  /** Skips white space, then the character if it is next. */
  #take(character: string): boolean {
    this.#skipSpace();
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #skipSpace(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
      this.#at++;
    }
  }

  #error(problem: string): CniError {
    return new CniError(Code.decodingFailure, `not a JSON document we accept: ${problem}, at character ${this.#at}`);
  }
}
