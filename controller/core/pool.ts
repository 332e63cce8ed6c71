import { ADDRESS_BITS, addressToBigInt } from "../../net/address.ts";
import { type Prefix, prefixAddress, prefixFamily, subnetAt, subnetCount } from "../../net/prefix.ts";

/**
 * Which subnets of one CIDR are free. Finding the first free one costs amortised O(log freed), whatever the number of
 * leases. A subnet is used (in the store), held (offered in a transaction under way), or free.
 */
export class Pool {
  readonly #cidr: Prefix;
  readonly #length: number;
  readonly #base: bigint;
  readonly #hostBits: bigint;
  readonly #used = new Set<number>();
  readonly #held = new Set<number>();
  /** A binary min-heap of indexes below `#next` that became free; may hold taken ones, which are dropped when met. */
  readonly #freed: number[] = [];
  /** Every index from here on was never taken through {@link hold}. */
  #next = 0;
  /** How many subnets the CIDR has, capped at 2^53. */
  readonly size: number;

  constructor(cidr: Prefix, length: number) {
    this.#cidr = cidr;
    this.#length = length;
    this.#base = addressToBigInt(prefixAddress(cidr));
    this.#hostBits = BigInt(ADDRESS_BITS[prefixFamily(cidr)] - length);
    const count = subnetCount(cidr, length);
    this.size = count > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(count);
  }

  get usedCount(): number {
    return this.#used.size;
  }

  markUsed(subnet: Prefix): void {
    this.#used.add(this.#index(subnet));
  }

  markFree(subnet: Prefix): void {
    const index = this.#index(subnet);
    if (this.#used.delete(index)) this.#giveBack(index);
  }

  /**
   * Holds a free subnet: the first, or, past `skip` free ones, a later one, so that two controllers which race for the
   * same subnets part ways. Undefined when none is free.
   */
  hold(skip = 0): Prefix | undefined {
    const index = (skip > 0 ? this.#later(skip) : undefined) ?? this.#first();
    if (index === undefined) return undefined;
    this.#held.add(index);
    return subnetAt(this.#cidr, this.#length, BigInt(index));
  }

  /** Ends a hold; the subnet is free again unless it was marked used. */
  unhold(subnet: Prefix): void {
    const index = this.#index(subnet);
    if (this.#held.delete(index)) this.#giveBack(index);
  }

  #first(): number | undefined {
    while (this.#freed.length > 0) {
      const index = popSmallest(this.#freed);
      if (this.#isFree(index)) return index;
    }
    while (this.#next < this.size && !this.#isFree(this.#next)) this.#next++;
    return this.#next < this.size ? this.#next++ : undefined;
  }

  #later(skip: number): number | undefined {
    for (let index = this.#next; index < this.size; index++) {
      if (this.#isFree(index) && skip-- <= 0) return index;
    }
    return undefined;
  }

  #isFree(index: number): boolean {
    return !this.#used.has(index) && !this.#held.has(index);
  }

  #giveBack(index: number): void {
    if (index < this.#next && this.#isFree(index)) pushSmallest(this.#freed, index);
  }

  #index(subnet: Prefix): number {
    return Number((addressToBigInt(prefixAddress(subnet)) - this.#base) >> this.#hostBits);
  }
}

function pushSmallest(heap: number[], value: number): void {
  let at = heap.push(value) - 1;
  while (at > 0) {
    const parent = (at - 1) >> 1;
    const above = heap[parent] ?? 0;
    if (above <= value) break;
    heap[at] = above;
    at = parent;
  }
  heap[at] = value;
}

function popSmallest(heap: number[]): number {
  const smallest = heap[0] ?? 0;
  const last = heap.pop() ?? 0;
  if (heap.length === 0) return smallest;
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= heap.length) break;
    if ((heap[child + 1] ?? Number.POSITIVE_INFINITY) < (heap[child] ?? 0)) child++;
    const below = heap[child] ?? 0;
    if (below >= last) break;
    heap[at] = below;
    at = child;
  }
  heap[at] = last;
  return smallest;
}
