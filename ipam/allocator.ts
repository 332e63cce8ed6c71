import type { AttachmentId } from "../cni/attachment.ts";
import { CniError, Code } from "../cni/error.ts";
import { type Address, addToAddress } from "../net/address.ts";
import { makePrefix, type Prefix, prefixLength } from "../net/prefix.ts";
import { formatRangeSet, inRange, type Range, type RangeSet, rangeOf, rangeSize } from "./range.ts";

/** An address handed out, with the length of its subnet, and the subnet's gateway. */
export interface Lease {
  readonly address: Prefix;
  readonly gateway: Address;
}

/** An address that the runtime asks for, and the key it stood in, for errors. */
export interface RequestedAddress {
  readonly address: Address;
  readonly path: string;
}

/** Where reservations are kept. All calls of one allocation happen under one lock. */
export interface ReservationStore {
  /** The addresses that the attachment holds. */
  held(attachment: AttachmentId): readonly Address[];
  /** The address that was last reserved for the range set with that index. */
  lastReserved(set: number): Address | undefined;
  /** The lowest address from `first` to `last` (both included) that seems free; {@link reserve} has the last word. */
  nextFree(first: Address, last: Address): Address | undefined;
  /** Reserves the address and remembers it as the set's last; false when somebody holds it. */
  reserve(attachment: AttachmentId, address: Address, set: number): boolean;
  /** Frees the address, which the attachment holds. */
  release(attachment: AttachmentId, address: Address): void;
  /** How many addresses from `first` to `last` (both included) are reserved. */
  taken(first: Address, last: Address): number;
  /** Looks again at what is really reserved, when a range set seems exhausted. */
  refresh(): void;
}

export interface AllocationRequest {
  readonly sets: readonly RangeSet[];
  readonly store: ReservationStore;
  readonly attachment: AttachmentId;
  /** Addresses asked for; each must lie in a set of its own. */
  readonly requested: readonly RequestedAddress[];
}

/**
 * Reserves one address of every range set for the attachment, or none at all. A set is walked round robin from the
 * address reserved last, so a freed address rests until the whole set was used.
 * @throws CniError 4 when the attachment holds an address already, 7 when a requested address cannot be had from these
 *   ranges, 11 when it is taken or a set is exhausted: both end without a change of configuration when another
 *   attachment is deleted, which is what "try again later" says; runtimes retry a failed ADD in any case.
 */
export function allocate(request: AllocationRequest): readonly Lease[] {
  const { sets, store, attachment } = request;
  refuseDuplicate(request);
  const wishes = assignRequested(sets, request.requested);

  const reserved: Address[] = [];
  try {
    return sets.map((set, index) => {
      const wish = wishes.get(index);
      const address =
        wish === undefined ? reserveAny(request, set, index) : reserveRequested(request, set, index, wish);
      reserved.push(address);
      return leaseOf(set, address);
    });
  } catch (error) {
    for (const address of reserved) store.release(attachment, address);
    throw error;
  }
}

/** How full a range set is. */
export interface Usage {
  readonly set: RangeSet;
  readonly taken: number;
  /** How many addresses the set can hand out in all. */
  readonly size: bigint;
}

/** How full each range set is. */
export function usage(sets: readonly RangeSet[], store: Pick<ReservationStore, "taken">): readonly Usage[] {
  return sets.map((set) => ({ set, taken: takenOf(set, store), size: sizeOf(set) }));
}

/** How many addresses a range set can hand out. */
export function sizeOf(set: RangeSet): bigint {
  return set.reduce((sum, range) => sum + rangeSize(range), 0n);
}

/** As `10.22.0.1-10.22.0.254 (253 of 253 addresses taken)`. */
export function formatUsage({ set, taken, size }: Usage): string {
  return `${formatRangeSet(set)} (${taken} of ${size} addresses taken)`;
}

function takenOf(set: RangeSet, store: Pick<ReservationStore, "taken">): number {
  let taken = 0;
  for (const range of set) {
    taken += store.taken(range.start, range.end);
    if (inRange(range, range.gateway)) taken -= store.taken(range.gateway, range.gateway);
  }
  return taken;
}

/** A second ADD would take a second address that no DEL could tell apart; the first reservation stays as it is. */
function refuseDuplicate({ sets, store, attachment }: AllocationRequest): void {
  const { containerId, ifName } = attachment;
  const held = store.held(attachment).filter((address) => sets.some((set) => rangeOf(set, address)));
  if (held.length === 0) return;
  throw new CniError(
    Code.invalidEnvironment,
    `CNI_CONTAINERID ${containerId} with CNI_IFNAME ${ifName} holds ${held.join(", ")} already: ` +
      "run DEL for it before another ADD",
  );
}

/** Which set each requested address comes from: the first one that holds it and has no wish yet. */
function assignRequested(sets: readonly RangeSet[], requested: readonly RequestedAddress[]) {
  const wishes = new Map<number, RequestedAddress>();
  const seen = new Set<Address>();
  for (const wish of requested) {
    if (seen.has(wish.address)) continue;
    seen.add(wish.address);
    const index = sets.findIndex((set) => rangeOf(set, wish.address) !== undefined);
    const set = sets[index];
    if (set === undefined) {
      throw refused(wish, `is in none of the ranges ${sets.map(formatRangeSet).join("; ")}: ask for one of these`);
    }
    const other = wishes.get(index);
    if (other !== undefined) {
      throw refused(wish, `comes from the same range set as ${other.path} ${other.address}: ask for one of a set`);
    }
    const gateway = set.find((range) => range.gateway === wish.address);
    if (gateway !== undefined) {
      throw refused(wish, `is the gateway of subnet ${gateway.subnet}: ask for another address`);
    }
    wishes.set(index, wish);
  }
  return wishes;
}

function reserveRequested(request: AllocationRequest, set: RangeSet, index: number, wish: RequestedAddress): Address {
  if (request.store.reserve(request.attachment, wish.address, index)) return wish.address;
  throw new CniError(
    Code.tryAgainLater,
    `${wish.path}: "${wish.address}" of ${formatRangeSet(set)} is taken: free it, or ask for another address`,
  );
}

function reserveAny(request: AllocationRequest, set: RangeSet, index: number): Address {
  const { store } = request;
  const address = firstFree(request, set, index);
  if (address !== undefined) return address;
  store.refresh();
  const afterRefresh = firstFree(request, set, index);
  if (afterRefresh !== undefined) return afterRefresh;
  const full = { set, taken: takenOf(set, store), size: sizeOf(set) };
  throw new CniError(
    Code.tryAgainLater,
    `range set ${index} is exhausted: ${formatUsage(full)}; delete attachments, run GC, or widen ipam.ranges`,
  );
}

function firstFree({ store, attachment }: AllocationRequest, set: RangeSet, index: number): Address | undefined {
  for (const { range, first, last } of walk(set, store.lastReserved(index))) {
    let from: Address | undefined = first;
    while (from !== undefined) {
      const candidate = store.nextFree(from, last);
      if (candidate === undefined) break;
      if (candidate !== range.gateway && store.reserve(attachment, candidate, index)) return candidate;
      from = candidate === last ? undefined : addToAddress(candidate, 1);
    }
  }
  return undefined;
}

/** The set's addresses in the order they are tried: from after `previous` to the end, then round to `previous` itself. */
function* walk(set: RangeSet, previous: Address | undefined) {
  const position = previous === undefined ? -1 : set.findIndex((range) => inRange(range, previous));
  const current = set[position];
  if (current === undefined || previous === undefined) {
    for (const range of set) yield segment(range, range.start, range.end);
    return;
  }
  if (previous !== current.end) {
    yield segment(current, addToAddress(previous, 1), current.end);
  }
  for (const range of [...set.slice(position + 1), ...set.slice(0, position)]) {
    yield segment(range, range.start, range.end);
  }
  yield segment(current, current.start, previous);
}

function segment(range: Range, first: Address, last: Address) {
  return { range, first, last };
}

function leaseOf(set: RangeSet, address: Address): Lease {
  const range = rangeOf(set, address);
  if (range === undefined) throw new Error(`${address} was reserved outside ${formatRangeSet(set)}`);
  return { address: makePrefix(address, prefixLength(range.subnet)), gateway: range.gateway };
}

function refused(wish: RequestedAddress, problem: string): CniError {
  return new CniError(Code.invalidConfig, `${wish.path}: "${wish.address}" ${problem}`);
}
