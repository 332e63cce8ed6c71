/** Netlink speaks the machine's byte order, except where a field says otherwise. */
export const LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

/** NLA_TYPE_MASK, <linux/netlink.h>: the two upper bits are flags. */
const TYPE_MASK = 0x3fff;
export const NLA_F_NESTED = 0x8000;
const ALIGNMENT = 4;
const ATTRIBUTE_HEADER = 4;

interface IntegerOptions {
  readonly signed?: boolean;
  readonly bigEndian?: boolean;
}
const UNSIGNED: IntegerOptions = {};

/** A growing buffer of integers, strings and attributes. */
export class Writer {
  #bytes = new Uint8Array(256);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** What was written so far; a view, valid until the next write. */
  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Starts again, in the same memory. */
  clear(): void {
    this.#bytes.fill(0, 0, this.#length);
    this.#length = 0;
  }

  /** An unsigned (or, with `signed`, a two's complement) integer. @throws RangeError when the value does not fit */
  integer(size: 1 | 2 | 4, value: number, options: IntegerOptions = UNSIGNED): void {
    const limit = size === 4 ? 0x1_0000_0000 : size === 2 ? 0x1_0000 : 0x100;
    const low = options.signed ? -limit / 2 : 0;
    const high = options.signed ? limit / 2 : limit;
    if (!Number.isInteger(value) || value < low || value >= high) {
      throw new RangeError(`${value} is not an integer of ${low}..${high - 1}`);
    }
    const at = this.#grow(size);
    const littleEndian = options.bigEndian ? false : LITTLE_ENDIAN;
    if (size === 1) this.#view.setUint8(at, value);
    else if (size === 2) this.#view.setUint16(at, value, littleEndian);
    else this.#view.setUint32(at, value, littleEndian);
  }

  /** Eight bytes. @throws RangeError when the value does not fit */
  integer64(value: bigint, options: { bigEndian?: boolean } = {}): void {
    if (value < 0n || value >> 64n !== 0n) throw new RangeError(`${value} is not an integer of 64 bits`);
    const at = this.#grow(8); // may change the view
    this.#view.setBigUint64(at, value, options.bigEndian ? false : LITTLE_ENDIAN);
  }

  bytes(value: Uint8Array): void {
    const at = this.#grow(value.length); // may change the buffer
    this.#bytes.set(value, at);
  }

  /** UTF-8 and a NUL. @throws RangeError when the text holds a NUL */
  string(value: string): void {
    if (value.includes("\0")) throw new RangeError(`${JSON.stringify(value)} holds a NUL character`);
    this.bytes(Buffer.from(`${value}\0`));
  }

  /** A type-length-value: header, body, padding to four bytes. @throws RangeError when the body has 64 KiB or more */
  attribute(type: number, body: () => void): void {
    const start = this.openAttribute(type);
    body();
    this.closeAttribute(start);
  }

  /** The header of a type-length-value; what is written now is its body. @returns what {@link closeAttribute} takes */
  openAttribute(type: number): number {
    const start = this.#length;
    this.integer(2, 0);
    this.integer(2, type);
    return start;
  }

  /** The end of the attribute. @throws RangeError when its body has 64 KiB or more */
  closeAttribute(start: number): void {
    const length = this.#length - start;
    if (length > 0xffff) {
      const type = this.#view.getUint16(start + 2, LITTLE_ENDIAN) & TYPE_MASK;
      throw new RangeError(`attribute ${type} is too long: ${length} bytes`);
    }
    this.#view.setUint16(start, length, LITTLE_ENDIAN);
    this.align();
  }

  /** Pads with zeros to a multiple of four bytes. */
  align(): void {
    this.#grow(aligned(this.#length) - this.#length);
  }

  /** Overwrites four bytes written before: the length of a message, known at its end. */
  patch(at: number, size: 2 | 4, value: number): void {
    if (size === 2) this.#view.setUint16(at, value, LITTLE_ENDIAN);
    else this.#view.setUint32(at, value, LITTLE_ENDIAN);
  }

  #grow(size: number): number {
    const at = this.#length;
    const needed = at + size;
    if (needed > this.#bytes.length) {
      const bytes = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
      bytes.set(this.#bytes);
      this.#bytes = bytes;
      this.#view = new DataView(bytes.buffer);
    }
    this.#length = needed;
    return at;
  }
}

/** Thrown when a message ends before its contents do. */
export class TruncatedError extends RangeError {
  override readonly name = "TruncatedError";
}

/** Reads integers, strings and attributes; every read is checked against the end. */
export class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #offset = 0;
  /** Of the attribute that is being read, else of all. */
  #end: number;
  #nested = false;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#end = bytes.length;
  }

  get remaining(): number {
    return this.#end - this.#offset;
  }

  /** Whether the attribute that is being read says NLA_F_NESTED. */
  get nested(): boolean {
    return this.#nested;
  }

  integer(size: 1 | 2 | 4, options: IntegerOptions = UNSIGNED): number {
    const at = this.#take(size);
    const littleEndian = options.bigEndian ? false : LITTLE_ENDIAN;
    if (size === 1) return options.signed ? this.#view.getInt8(at) : this.#view.getUint8(at);
    if (size === 2)
      return options.signed ? this.#view.getInt16(at, littleEndian) : this.#view.getUint16(at, littleEndian);
    return options.signed ? this.#view.getInt32(at, littleEndian) : this.#view.getUint32(at, littleEndian);
  }

  integer64(options: { bigEndian?: boolean } = {}): bigint {
    return this.#view.getBigUint64(this.#take(8), options.bigEndian ? false : LITTLE_ENDIAN);
  }

  /** The native unsigned integer of four bytes that begins so many bytes from here; undefined beyond the end. */
  peek(distance: number): number | undefined {
    const at = this.#offset + distance;
    return at + 4 > this.#end ? undefined : this.#view.getUint32(at, LITTLE_ENDIAN);
  }

  /** A view of the next bytes, of all that are left without a length. */
  bytes(length = this.remaining): Uint8Array {
    const at = this.#take(length);
    return this.#bytes.subarray(at, at + length);
  }

  /** UTF-8 up to a NUL or the end. */
  string(): string {
    const bytes = this.bytes();
    const end = bytes.indexOf(0);
    return Buffer.from(bytes.buffer, bytes.byteOffset, end < 0 ? bytes.length : end).toString();
  }

  /**
   * Reads the attributes that are left. For each whose type is in the table, `read` is called, and gets its contents from
   * this reader; the others are stepped over.
   * @throws TruncatedError when one is longer than the rest
   */
  attributes<T>(table: readonly (T | undefined)[], read: (known: T, type: number) => void): void {
    const view = this.#view;
    const end = this.#end;
    let at = this.#offset;
    while (end - at >= ATTRIBUTE_HEADER) {
      const length = view.getUint16(at, LITTLE_ENDIAN);
      const flaggedType = view.getUint16(at + 2, LITTLE_ENDIAN);
      const type = flaggedType & TYPE_MASK;
      if (length < ATTRIBUTE_HEADER) throw new TruncatedError(`attribute ${type} has length ${length}`);
      if (at + length > end) throw new TruncatedError(`attribute ${type} has ${length} bytes at ${at} of ${end}`);
      const known = table[type];
      if (known !== undefined) {
        this.#offset = at + ATTRIBUTE_HEADER;
        this.#end = at + length;
        this.#nested = (flaggedType & NLA_F_NESTED) !== 0;
        read(known, type);
      }
      at += aligned(length);
    }
    this.#offset = Math.min(at, end);
    this.#end = end;
  }

  /** Skips to the next multiple of four after an item of that length; the last one of a message may lack its padding. */
  skipPadding(length: number): void {
    this.#offset += Math.min(aligned(length) - length, this.remaining);
  }

  #take(size: number): number {
    const at = this.#offset;
    if (size < 0 || at + size > this.#end) {
      throw new TruncatedError(`${size} bytes wanted at ${at} of ${this.#end}`);
    }
    this.#offset = at + size;
    return at;
  }
}

function aligned(length: number): number {
  return (length + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
}
