import * as fs from "node:fs";
import t from "tap";
import { attachment, countedFiles, makeFixture, rangeSetOf } from "./disk-fixture.ts";
import { ResidentReservations } from "./resident.ts";
import { pickStamp } from "./stamp.ts";

const SETS = [rangeSetOf("10.22.0.0/16")];

t.test("networks not used for an hour are forgotten at a flush, and there are never more than 64", async (t) => {
  const f = makeFixture(t, SETS);
  const resident = new ResidentReservations(() => t.fail("everything can be written"));
  let later = 0;
  const look = (network: string, now: number) =>
    resident.use(f.options({ network, now: () => now + later }), true, (store) => store.count);
  for (let index = 0; index < 70; index++) look(`net${index}`, 1_700_000_000_000);
  t.equal(resident.size, 64);
  for (const network of ["net68", "net69"]) look(network, 1_700_000_000_000 + 1000);
  resident.flush();
  t.equal(resident.size, 64, "all were used just now");
  resident.use(f.options({ network: "net69", now: () => 1_700_003_700_000 }), true, () => {});
  later = 3_700_000;
  resident.flush();
  t.equal(resident.size, 1);
});

t.test("what was written at the end is there for the next process, without a scan", async (t) => {
  const f = makeFixture(t, SETS);
  const stays = f.caller("resident");
  for (const id of ["a", "b", "c"]) stays.add(attachment(id));
  stays.flush();
  const { files, counts } = countedFiles();
  t.strictSame(
    f.use((store) => store.held(attachment("b")), { files }),
    ["10.22.0.3"],
  );
  t.equal(counts.get("readdirSync"), undefined);
});

t.test("an index that cannot be written is told, and never thrown", async (t) => {
  const f = makeFixture(t, SETS, "resident");
  f.add(attachment("a"));
  fs.rmSync(`${f.folder}/.podwire`, { recursive: true });
  f.add(attachment("b"));
  fs.writeFileSync(`${f.folder}/.podwire/taken`, "in the way");
  f.flush();
  t.strictSame(f.warnings, ["the index of a network's addresses cannot be written"]);
  t.equal(f.add(attachment("c"))[0]?.address, "10.22.0.4/16");
});

t.test("a stamp is a past even second, and any at all while the clock is not credible", async (t) => {
  const now = 1_700_000_000_000;
  for (const random of [0, 0.3, 0.999_999_999]) {
    t.ok(pickStamp(now, random) <= now / 1000 - 10);
    t.equal(pickStamp(now, random) % 2, 0);
  }
  t.ok(pickStamp(5_000, 0.9) > 1_000_000_000);
});
