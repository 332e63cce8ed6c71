import t from "tap";
import { type Prefix, parseNetwork } from "../../net/prefix.ts";
import { Pool } from "./pool.ts";

const CIDR = parseNetwork("10.0.0.0/24");

t.test("subnets are given from the low end, and freed ones come first again", async (t) => {
  const pool = new Pool(CIDR, 26);
  const given = [pool.hold(), pool.hold(), pool.hold(), pool.hold()];
  t.same(given, ["10.0.0.0/26", "10.0.0.64/26", "10.0.0.128/26", "10.0.0.192/26"]);
  t.equal(pool.hold(), undefined, "no fifth");
  pool.unhold("10.0.0.128/26" as Prefix);
  pool.unhold("10.0.0.64/26" as Prefix);
  t.equal(pool.hold(), "10.0.0.64/26");
});

t.test("what is marked used is not offered until it is free", async (t) => {
  const pool = new Pool(CIDR, 26);
  pool.markUsed("10.0.0.0/26" as Prefix);
  t.equal(pool.hold(), "10.0.0.64/26");
  pool.markUsed("10.0.0.64/26" as Prefix);
  pool.unhold("10.0.0.64/26" as Prefix);
  t.equal(pool.hold(), "10.0.0.128/26", "an ended hold does not free what is used");
  pool.markFree("10.0.0.0/26" as Prefix);
  t.equal(pool.hold(), "10.0.0.0/26");
});

t.test("a CIDR of 2^96 subnets is handled without counting them", async (t) => {
  const pool = new Pool(parseNetwork("fd00::/8"), 104);
  pool.markUsed("fdff:ffff:ffff:ffff:ffff:ffff:ff00:0/104" as Prefix);
  t.equal(pool.hold(), "fd00::/104");
  t.equal(pool.hold(), "fd00::100:0/104");
});

t.test("any order of hold, use and free agrees with a plain model", async (t) => {
  const pool = new Pool(parseNetwork("10.0.0.0/20"), 26);
  const taken = new Map<Prefix, "held" | "used">();
  for (let i = 0; i < 8_000; i++) {
    const [some] = [...taken].slice(Math.floor(Math.random() * taken.size));
    if (some === undefined || Math.random() < 0.5) {
      const subnet = pool.hold(Math.random() < 0.3 ? Math.floor(Math.random() * 20) : 0);
      if (subnet === undefined) {
        if (taken.size !== 64) t.fail(`full with ${taken.size}`);
        continue;
      }
      if (taken.has(subnet)) t.fail(`${subnet} was given twice`);
      taken.set(subnet, "held");
    } else if (some[1] === "used") {
      pool.markFree(some[0]);
      taken.delete(some[0]);
    } else {
      if (Math.random() < 0.5) {
        pool.markUsed(some[0]);
        taken.set(some[0], "used");
      } else taken.delete(some[0]);
      pool.unhold(some[0]);
    }
  }
  t.pass("8,000 steps");
});

t.test("finding a free subnet does not grow with the leases", async (t) => {
  const pool = new Pool(parseNetwork("10.0.0.0/8"), 24);
  const take = (count: number) => {
    const started = process.hrtime.bigint();
    for (let i = 0; i < count; i++) {
      const subnet = pool.hold();
      if (subnet === undefined) throw new Error("full");
      pool.markUsed(subnet);
      pool.unhold(subnet);
    }
    return Number(process.hrtime.bigint() - started) / 1000;
  };
  // The quickest of many short runs, which no other process interrupted.
  const quickest = () => Math.min(...Array.from({ length: 20 }, () => take(100)));
  take(500);
  const early = quickest();
  take(10_000);
  // A machine that has just become slower is given time to be as it was.
  let late = quickest();
  for (let more = 0; more < 20 && late >= early * 10; more++) late = quickest();
  t.ok(late < early * 10, `100 took ${early} µs at first and ${late} µs after 12,500 leases`);
});
