import { type Address, addressFromBigInt, addressToBigInt, type Family, familyOf } from "../net/address.ts";

/** 2^15 addresses a page: 4 KiB of bits. A page exists only where an address is taken, so a /64 costs nothing. */
const PAGE_BITS = 15n;
const PAGE_MASK = (1n << PAGE_BITS) - 1n;
const PAGE_BYTES = 1 << (15 - 3);

/**
 * Which addresses are taken, as pages of bits that are loaded when needed. The next free address is found by skipping
 * full bytes, never by trying one address after the other.
 */
export class TakenAddresses {
  readonly #load: (name: string) => Uint8Array | undefined;
  readonly #stored: () => readonly string[];
  readonly #pages = new Map<string, Uint8Array>();
  readonly #changed = new Set<string>();

  /** `load` reads a stored page ({@link PAGE_BYTES} long) and `stored` names all stored pages. */
  constructor(load: (name: string) => Uint8Array | undefined, stored: () => readonly string[]) {
    this.#load = load;
    this.#stored = stored;
  }

  has(address: Address): boolean {
    const { page, offset } = this.#at(address);
    return ((page[offset >> 3] ?? 0) & (1 << (offset & 7))) !== 0;
  }

  /** Sets or clears the address's bit. */
  mark(address: Address, taken: boolean): void {
    const { name, page, offset } = this.#at(address);
    const byte = page[offset >> 3] ?? 0;
    const bit = 1 << (offset & 7);
    page[offset >> 3] = taken ? byte | bit : byte & ~bit;
    this.#changed.add(name);
  }

  /** The lowest free address from `first` to `last`, both included. */
  nextFree(first: Address, last: Address): Address | undefined {
    const family = familyOf(first);
    const end = addressToBigInt(last);
    let value = addressToBigInt(first);
    while (value <= end) {
      const offset = firstZero(this.#page(pageName(family, value)), Number(value & PAGE_MASK));
      if (offset !== undefined) {
        const candidate = (value & ~PAGE_MASK) + BigInt(offset);
        return candidate <= end ? addressFromBigInt(family, candidate) : undefined;
      }
      value = (value | PAGE_MASK) + 1n;
    }
    return undefined;
  }

  /** How many addresses from `first` to `last`, both included, are taken. */
  count(first: Address, last: Address): number {
    const family = familyOf(first);
    const [start, end] = [addressToBigInt(first), addressToBigInt(last)];
    let count = 0;
    for (const name of new Set([...this.#pages.keys(), ...this.#stored()])) {
      const base = pageBase(name, family);
      if (base === undefined || base > end || base + PAGE_MASK < start) continue;
      const from = base < start ? Number(start - base) : 0;
      const to = base + PAGE_MASK > end ? Number(end - base) : Number(PAGE_MASK);
      count += countOnes(this.#page(name), from, to);
    }
    return count;
  }

  /** The pages that were changed; one without a bit is undefined and need not be stored. */
  changes(): readonly { readonly name: string; readonly page: Uint8Array | undefined }[] {
    return [...this.#changed].map((name) => {
      const page = this.#page(name);
      return { name, page: page.every((byte) => byte === 0) ? undefined : page };
    });
  }

  #at(address: Address) {
    const value = addressToBigInt(address);
    const name = pageName(familyOf(address), value);
    return { name, page: this.#page(name), offset: Number(value & PAGE_MASK) };
  }

  #page(name: string): Uint8Array {
    const known = this.#pages.get(name);
    if (known !== undefined) return known;
    const page = this.#load(name) ?? new Uint8Array(PAGE_BYTES);
    this.#pages.set(name, page);
    return page;
  }
}

/** Whether bytes read from a store can be a page. */
export function isPage(bytes: Uint8Array): boolean {
  return bytes.length === PAGE_BYTES;
}

function pageName(family: Family, value: bigint): string {
  return `${family}-${(value >> PAGE_BITS).toString(16)}`;
}

/** The number of the page's first address, or undefined when the page is of the other family. */
function pageBase(name: string, family: Family): bigint | undefined {
  const [, pageFamily, number] = /^([46])-([0-9a-f]{1,29})$/.exec(name) ?? [];
  if (number === undefined || Number(pageFamily) !== family) return undefined;
  return BigInt(`0x${number}`) << PAGE_BITS;
}

function firstZero(page: Uint8Array, from: number): number | undefined {
  let index = from >> 3;
  let byte = (page[index] ?? 0) | ((1 << (from & 7)) - 1);
  while (byte === 0xff) {
    index++;
    if (index === page.length) return undefined;
    byte = page[index] ?? 0;
  }
  return (index << 3) + Math.log2(~byte & -~byte);
}

function countOnes(page: Uint8Array, from: number, to: number): number {
  let count = 0;
  for (let index = from >> 3; index <= to >> 3; index++) {
    let byte = page[index] ?? 0;
    if (index === from >> 3) byte &= 0xff << (from & 7);
    if (index === to >> 3) byte &= 0xff >> (7 - (to & 7));
    for (; byte !== 0; byte &= byte - 1) count++;
  }
  return count;
}
