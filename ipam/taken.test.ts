import t from "tap";
import { type Address, addToAddress, parseAddress } from "../net/address.ts";
import { TakenAddresses } from "./taken.ts";

function empty(): TakenAddresses {
  return new TakenAddresses(
    () => undefined,
    () => [],
  );
}

t.test("the next free address is found as by trying every one", async (t) => {
  for (const start of ["10.22.127.0", "fd00::7f00"].map(parseAddress)) {
    const taken = empty();
    const model = new Set<Address>();
    const block = Array.from({ length: 600 }, (_, index) => addToAddress(start, index)); // crosses from one page to the next
    const at = (index: number) => block[index] ?? start;
    let seed = 7;
    const random = (below: number) => {
      seed = (seed * 1103515245 + 12345) % 2147483648;
      return seed % below;
    };
    for (let step = 0; step < 3000; step++) {
      const address = at(random(600));
      const take = random(3) > 0;
      taken.mark(address, take);
      if (take) model.add(address);
      else model.delete(address);
      const [from, to] = [random(600), random(600)].sort((a, b) => a - b) as [number, number];
      const [first, last] = [at(from), at(to)];
      const span = block.slice(from, to + 1);
      if (taken.nextFree(first, last) !== span.find((each) => !model.has(each)))
        t.fail(`step ${step} ${first}-${last}`);
      if (taken.count(first, last) !== span.filter((each) => model.has(each)).length) t.fail(`count at step ${step}`);
      if (taken.has(address) !== take) t.fail(`has at step ${step}`);
    }
    t.pass(`3000 steps from ${start}`);
  }
});

t.test("a full /16 is passed in two pages, and an empty /64 needs one", async (t) => {
  let loads = 0;
  const full = new TakenAddresses(
    () => {
      loads++;
      return new Uint8Array(4096).fill(0xff);
    },
    () => ["4-1406", "4-1407"],
  );
  const [first, last] = [parseAddress("10.3.0.0"), parseAddress("10.3.255.255")];
  t.equal(full.nextFree(first, last), undefined);
  t.equal(full.count(first, last), 65_536);
  t.equal(loads, 2);
  t.equal(empty().nextFree(parseAddress("fd00::1"), parseAddress("fd00::ffff:ffff:ffff:ffff")), "fd00::1");
});

t.test("a page without a bit need not be stored", async (t) => {
  const taken = empty();
  taken.mark(parseAddress("10.0.0.9"), true);
  t.equal(taken.takeChanges()[0]?.page?.length, 4096);
  taken.mark(parseAddress("10.0.0.9"), false);
  t.strictSame(taken.takeChanges(), [{ name: "4-1400", page: undefined }]);
});
