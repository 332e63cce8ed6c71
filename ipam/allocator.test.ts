import t from "tap";
import type { AttachmentId } from "../cni/attachment.ts";
import { type Address, addressToBigInt, addToAddress, familyOf, parseAddress } from "../net/address.ts";
import { allocate, formatUsage, type ReservationStore, usage } from "./allocator.ts";
import { attachment, rangeSetOf } from "./disk-fixture.ts";
import type { RangeSet } from "./range.ts";

/** Reservations in memory. */
class MemoryStore implements ReservationStore {
  readonly holders = new Map<Address, string>();
  readonly last = new Map<number, Address>();
  refreshes = 0;

  held(id: AttachmentId): readonly Address[] {
    return [...this.holders].filter(([, holder]) => holder === nameOf(id)).map(([address]) => address);
  }
  lastReserved(set: number): Address | undefined {
    return this.last.get(set);
  }
  nextFree(first: Address, last: Address): Address | undefined {
    for (let each = first; addressToBigInt(each) <= addressToBigInt(last); each = addToAddress(each, 1)) {
      if (!this.holders.has(each)) return each;
    }
    return undefined;
  }
  reserve(id: AttachmentId, address: Address, set: number): boolean {
    if (this.holders.has(address)) return false;
    this.holders.set(address, nameOf(id));
    this.last.set(set, address);
    return true;
  }
  release(_: AttachmentId, address: Address): void {
    this.holders.delete(address);
  }
  taken(first: Address, last: Address): number {
    const inside = (each: Address) =>
      familyOf(each) === familyOf(first) &&
      addressToBigInt(each) >= addressToBigInt(first) &&
      addressToBigInt(each) <= addressToBigInt(last);
    return [...this.holders.keys()].filter(inside).length;
  }
  refresh(): void {
    this.refreshes++;
  }
}

function nameOf({ containerId, ifName }: AttachmentId): string {
  return `${containerId}/${ifName}`;
}

function ask(store: ReservationStore, sets: readonly RangeSet[], id: string, ...wanted: readonly string[]) {
  const requested = wanted.map((text, index) => ({ address: parseAddress(text), path: `args.cni.ips[${index}]` }));
  return allocate({ sets, store, attachment: attachment(id), requested }).map(({ address }) => address);
}

t.test("addresses are handed out in order and a freed one rests until the set was walked", async (t) => {
  const store = new MemoryStore();
  const sets = [rangeSetOf("10.0.0.0/29")]; // .2 to .6, the gateway is .1
  t.strictSame(ask(store, sets, "a"), ["10.0.0.2/29"]);
  store.release(attachment("a"), parseAddress("10.0.0.2"));
  const next = ["b", "c", "d", "e", "f"].map((id) => ask(store, sets, id)[0]);
  t.strictSame(next, ["10.0.0.3/29", "10.0.0.4/29", "10.0.0.5/29", "10.0.0.6/29", "10.0.0.2/29"]);
});

t.test("the walk goes through all ranges of a set, each with its own gateway", async (t) => {
  const store = new MemoryStore();
  const sets = [[...rangeSetOf("10.0.0.0/30"), ...rangeSetOf("10.9.0.0/29 10.9.0.1-10.9.0.3")]];
  const all = ["a", "b", "c"].map((id) => allocate({ sets, store, attachment: attachment(id), requested: [] })[0]);
  t.strictSame(all, [
    { address: "10.0.0.2/30", gateway: "10.0.0.1" },
    { address: "10.9.0.2/29", gateway: "10.9.0.1" },
    { address: "10.9.0.3/29", gateway: "10.9.0.1" },
  ]);
});

t.test("every set gives one address, of both families alike", async (t) => {
  const sets = [rangeSetOf("10.0.0.0/24"), rangeSetOf("fd00::/64"), rangeSetOf("10.1.0.0/24")];
  t.strictSame(ask(new MemoryStore(), sets, "a"), ["10.0.0.2/24", "fd00::2/64", "10.1.0.2/24"]);
});

t.test("an exhausted set answers 11 with the range and the counts, and gives back what other sets gave", async (t) => {
  const store = new MemoryStore();
  const sets = [rangeSetOf("fd00::/64"), rangeSetOf("10.0.0.0/30")];
  ask(store, sets, "a");
  t.throws(() => ask(store, sets, "b"), {
    code: 11,
    message: /range set 1 is exhausted: 10\.0\.0\.1-10\.0\.0\.2 \(1 of 1 addresses taken\); delete attachments/,
  });
  t.equal(store.refreshes, 1, "it looked again before it gave up");
  t.strictSame([...store.holders.keys()], ["fd00::2", "10.0.0.2"]);
});

t.test("the last address and a set that begins anew after its last one are found", async (t) => {
  const store = new MemoryStore();
  const sets = [rangeSetOf("10.0.0.0/29")];
  for (const id of ["a", "b", "c", "d", "e"]) ask(store, sets, id);
  store.release(attachment("c"), parseAddress("10.0.0.4"));
  t.strictSame(ask(store, sets, "f"), ["10.0.0.4/29"]);
  store.release(attachment("f"), parseAddress("10.0.0.4"));
  t.strictSame(ask(store, sets, "g"), ["10.0.0.4/29"], "the one reserved last is the last that is tried");
  store.last.set(0, parseAddress("192.0.2.1"));
  store.release(attachment("a"), parseAddress("10.0.0.2"));
  t.strictSame(ask(store, sets, "h"), ["10.0.0.2/29"], "a last address of another configuration is ignored");
});

t.test("a second ADD is refused and the first reservation stays", async (t) => {
  const store = new MemoryStore();
  const sets = [rangeSetOf("10.0.0.0/24"), rangeSetOf("fd00::/64")];
  ask(store, sets, "a");
  const before = [...store.holders];
  const message = /CNI_CONTAINERID a with CNI_IFNAME eth0 holds 10\.0\.0\.2, fd00::2 already: run DEL/;
  t.throws(() => ask(store, sets, "a"), { code: 4, message });
  t.throws(() => ask(store, sets, "a", "10.0.0.77"), { code: 4, message });
  t.strictSame([...store.holders], before);
});

t.test("requested addresses come from the set that holds them, the others as usual", async (t) => {
  const store = new MemoryStore();
  const sets = [rangeSetOf("10.0.0.0/24"), rangeSetOf("fd00::/64")];
  t.strictSame(ask(store, sets, "a", "fd00::77"), ["10.0.0.2/24", "fd00::77/64"]);
  t.strictSame(ask(store, sets, "b", "10.0.0.9", "fd00::9", "10.0.0.9"), ["10.0.0.9/24", "fd00::9/64"]);
  t.strictSame(ask(store, sets, "c"), ["10.0.0.10/24", "fd00::a/64"], "the walk goes on from them");
});

t.test("a requested address that cannot be had is refused before anything is reserved", async (t) => {
  const store = new MemoryStore();
  const sets = [rangeSetOf("10.0.0.0/24"), rangeSetOf("10.1.0.0/24")];
  const rows: readonly [wanted: readonly string[], code: number, message: RegExp][] = [
    [["192.0.2.1"], 7, /args\.cni\.ips\[0\]: "192\.0\.2\.1" is in none of the ranges 10\.0\.0\.1-10\.0\.0\.254; 10\.1/],
    [["10.0.0.1"], 7, /args\.cni\.ips\[0\]: "10\.0\.0\.1" is the gateway of subnet 10\.0\.0\.0\/24/],
    [
      ["10.0.0.5", "10.0.0.6"],
      7,
      /args\.cni\.ips\[1\]: "10\.0\.0\.6" comes from the same range set as args\.cni\.ips\[0\]/,
    ],
  ];
  for (const [wanted, code, message] of rows) t.throws(() => ask(store, sets, "a", ...wanted), { code, message });
  t.equal(store.holders.size, 0);
  ask(store, sets, "a", "10.1.0.5");
  t.throws(() => ask(store, sets, "b", "10.1.0.5"), { code: 11, message: /"10\.1\.0\.5" of .* is taken/ });
  t.equal(
    store.taken(parseAddress("10.0.0.0"), parseAddress("10.0.0.255")),
    1,
    "the first set's address was given back",
  );
});

t.test("usage does not count the gateway", async (t) => {
  const store = new MemoryStore();
  const sets = [rangeSetOf("10.0.0.0/29")];
  store.reserve(attachment("x"), parseAddress("10.0.0.1"), 0);
  store.reserve(attachment("y"), parseAddress("10.0.0.3"), 0);
  t.strictSame(usage(sets, store).map(formatUsage), ["10.0.0.1-10.0.0.6 (1 of 5 addresses taken)"]);
});
