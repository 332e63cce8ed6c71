/** Above what a database of any size says at once; a longer text is no OVSDB's. */
const LONGEST_TEXT = 256 << 20;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPENING = new Set([0x5b, 0x7b]); // [ {
const CLOSING = new Set([0x5d, 0x7d]); // ] }

/**
 * Cuts a stream of JSON texts that follow each other without a separator (RFC 7047, section 4) into values. Works on
 * bytes: all that it looks for is ASCII, which no other character of UTF-8 contains.
 */
export class JsonStream {
  #parts: Uint8Array[] = [];
  #length = 0;
  #depth = 0;
  #inString = false;
  #escaped = false;

  /** @returns the values that these bytes complete @throws SyntaxError for what is not JSON, RangeError for a text without end */
  push(bytes: Uint8Array): unknown[] {
    const values: unknown[] = [];
    let start = 0;
    for (let at = 0; at < bytes.length; at++) {
      if (!this.#ends(bytes[at] ?? 0)) continue;
      values.push(this.#parse(bytes.subarray(start, at + 1)));
      start = at + 1;
    }
    this.#keep(bytes.subarray(start));
    return values;
  }

  /** Whether a text is complete with this byte. */
  #ends(byte: number): boolean {
    if (this.#inString) {
      if (this.#escaped) this.#escaped = false;
      else if (byte === BACKSLASH) this.#escaped = true;
      else if (byte === QUOTE) this.#inString = false;
      return false;
    }
    if (byte === QUOTE) this.#inString = true;
    else if (OPENING.has(byte)) this.#depth++;
    else if (CLOSING.has(byte)) return --this.#depth === 0;
    return false;
  }

  #keep(bytes: Uint8Array): void {
    this.#length += bytes.length;
    if (this.#length > LONGEST_TEXT) throw new RangeError(`a JSON text has more than ${LONGEST_TEXT} bytes`);
    if (bytes.length > 0) this.#parts.push(bytes.slice());
  }

  #parse(last: Uint8Array): unknown {
    const text = Buffer.concat([...this.#parts, last]).toString("utf8");
    this.#parts = [];
    this.#length = 0;
    return JSON.parse(text);
  }
}
