import { type Address, addressFromBigInt, addressToBigInt, type Family, familyOf } from "../net/address.ts";

/** 2^15 addresses a page: 4 KiB of bits. A page exists only where an address is taken, so a /64 costs nothing. */
const PAGE_BITS = 15n;
const PAGE_MASK = (1n << PAGE_BITS) - 1n;
const PAGE_SIZE = 1 << 15;
const PAGE_BYTES = PAGE_SIZE >> 3;
const PAGE_NAME = /^([46])-([0-9a-f]{1,29})$/;

/** A page, and how many of its bits are set. */
interface Page {
  readonly bits: Uint8Array;
  ones: number;
}

/**
 * Which addresses are taken, as pages of bits that are loaded when needed. The next free address is found by skipping
 * full pages and bytes, never by trying one address after the other.
 */
export class TakenAddresses {
  readonly #load: (name: string) => Uint8Array | undefined;
  readonly #stored: () => readonly string[];
  readonly #pages = new Map<string, Page>();
  readonly #changed = new Set<string>();
  #complete = false;

  /** `load` reads a stored page ({@link PAGE_BYTES} long) and `stored` names all stored pages. */
  constructor(load: (name: string) => Uint8Array | undefined, stored: () => readonly string[]) {
    this.#load = load;
    this.#stored = stored;
  }

  has(address: Address): boolean {
    const { page, offset } = this.#at(address);
    return isSet(page.bits, offset);
  }

  /** Sets or clears the address's bit; false when it was so already. */
  mark(address: Address, taken: boolean): boolean {
    const { name, page, offset } = this.#at(address);
    if (isSet(page.bits, offset) === taken) return false;
    page.bits[offset >> 3] = (page.bits[offset >> 3] ?? 0) ^ (1 << (offset & 7));
    page.ones += taken ? 1 : -1;
    this.#changed.add(name);
    return true;
  }

  /** The lowest free address from `first` to `last`, both included. */
  nextFree(first: Address, last: Address): Address | undefined {
    const family = familyOf(first);
    const end = addressToBigInt(last);
    let value = addressToBigInt(first);
    while (value <= end) {
      const { bits, ones } = this.#page(pageName(family, value));
      const offset = ones === PAGE_SIZE ? undefined : firstZero(bits, Number(value & PAGE_MASK));
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
    this.#loadAll();
    let count = 0;
    for (const [name, { bits, ones }] of this.#pages) {
      const base = pageBase(name, family);
      if (base === undefined || base > end || base + PAGE_MASK < start) continue;
      const from = base < start ? Number(start - base) : 0;
      const to = base + PAGE_MASK > end ? Number(end - base) : PAGE_SIZE - 1;
      count += 2 * (to - from) < PAGE_SIZE ? countOnes(bits, from, to) : ones - countOutside(bits, from, to);
    }
    return count;
  }

  /** The pages that were changed since the last call; one without a bit is undefined and need not be stored. */
  takeChanges(): readonly { readonly name: string; readonly page: Uint8Array | undefined }[] {
    const changes = [...this.#changed].map((name) => {
      const { bits, ones } = this.#page(name);
      return { name, page: ones === 0 ? undefined : bits };
    });
    this.#changed.clear();
    return changes;
  }

  #loadAll(): void {
    if (this.#complete) return;
    for (const name of this.#stored()) if (isPageName(name)) this.#page(name);
    this.#complete = true;
  }

  #at(address: Address) {
    const value = addressToBigInt(address);
    const name = pageName(familyOf(address), value);
    return { name, page: this.#page(name), offset: Number(value & PAGE_MASK) };
  }

  #page(name: string): Page {
    const known = this.#pages.get(name);
    if (known !== undefined) return known;
    const bits = this.#load(name) ?? new Uint8Array(PAGE_BYTES);
    const page = { bits, ones: countOnes(bits, 0, PAGE_SIZE - 1) };
    this.#pages.set(name, page);
    return page;
  }
}

/** Whether bytes read from a store can be a page. */
export function isPage(bytes: Uint8Array): boolean {
  return bytes.length === PAGE_BYTES;
}

function isPageName(name: string): boolean {
  return PAGE_NAME.test(name);
}

function isSet(bits: Uint8Array, offset: number): boolean {
  return ((bits[offset >> 3] ?? 0) & (1 << (offset & 7))) !== 0;
}

function pageName(family: Family, value: bigint): string {
  return `${family}-${(value >> PAGE_BITS).toString(16)}`;
}

/** The number of the page's first address, or undefined when the page is of the other family. */
function pageBase(name: string, family: Family): bigint | undefined {
  const [, pageFamily, number] = PAGE_NAME.exec(name) ?? [];
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

/** How many bits before `from` and after `to` are set. */
function countOutside(page: Uint8Array, from: number, to: number): number {
  const before = from === 0 ? 0 : countOnes(page, 0, from - 1);
  return to === PAGE_SIZE - 1 ? before : before + countOnes(page, to + 1, PAGE_SIZE - 1);
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
