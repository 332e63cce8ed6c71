import * as fs from "node:fs";
import { join } from "node:path";
import t from "tap";
import { parseAddress } from "../net/address.ts";
import { withReservations } from "./disk.ts";
import { attachment, countedFiles, makeFixture, rangeSetOf } from "./disk-fixture.ts";
import { readIfThere } from "./files.ts";

const V4 = rangeSetOf("10.22.0.0/16");

t.test("a reservation is a file that only root reads, as the reference plugin writes it", async (t) => {
  const f = makeFixture(t, [V4, rangeSetOf("fd00:0:0:1::/64")]);
  f.add(attachment("web"));
  t.strictSame(f.onDisk(), { "10.22.0.2": "web\r\neth0", "fd00:0:0:1::2": "web\r\neth0" });
  t.equal(fs.readFileSync(join(f.folder, "last_reserved_ip.0"), "utf8"), "10.22.0.2");
  t.equal(fs.readFileSync(join(f.folder, "last_reserved_ip.1"), "utf8"), "fd00:0:0:1::2");
  t.equal(fs.statSync(join(f.folder, "10.22.0.2")).mode & 0o777, 0o400);
  t.equal(fs.statSync(f.folder).mode & 0o777, 0o700);
  for (const name of fs.readdirSync(join(f.folder, ".podwire"), { recursive: true, encoding: "utf8" })) {
    const path = join(f.folder, ".podwire", name);
    t.equal(fs.statSync(path).mode & 0o077, 0, `${name} is for its owner alone`);
    if (fs.statSync(path).isFile()) t.not(fs.readFileSync(path, "utf8").trim(), "web\r\neth0", name);
  }
});

t.test("DEL frees the attachment's addresses and no others, and twice is no error", async (t) => {
  const f = makeFixture(t, [V4, rangeSetOf("fd00::/64")]);
  f.add(attachment("a"));
  f.add(attachment("a", "net1"));
  f.add(attachment("b"));
  f.del(attachment("a"));
  f.del(attachment("a"));
  f.del(attachment("nobody"));
  t.strictSame(Object.keys(f.onDisk()), ["10.22.0.3", "10.22.0.4", "fd00::3", "fd00::4"]);
});

t.test("a missing folder stays missing when nothing is to be made", async (t) => {
  const f = makeFixture(t, [V4]);
  t.equal(
    withReservations(f.options(), false, () => t.fail("not run")),
    undefined,
  );
  t.notOk(fs.existsSync(f.folder));
});

t.test("P6: ADD and DEL touch as many files with 10,000 addresses taken as with 10", async (t) => {
  const cost = [10, 10_000].map((taken) => {
    const f = makeFixture(t, [V4]);
    f.add(attachment("filler"));
    for (let i = 1; i < taken; i++) fs.linkSync(join(f.folder, "10.22.0.2"), join(f.folder, nth(i)));
    f.add(attachment("first")); // scans the folder once
    f.del(attachment("first"));
    fs.writeFileSync(join(f.folder, "last_reserved_ip.0"), "10.22.0.1"); // the walk meets every taken address
    const added = countedFiles();
    t.equal(f.add(attachment("pod"), { files: added.files })[0]?.address.split("/")[0], nth(taken));
    const deleted = countedFiles();
    f.del(attachment("pod"), { files: deleted.files });
    const missed = countedFiles();
    f.del(attachment("pod"), { files: missed.files });
    for (const { counts } of [added, deleted, missed]) t.equal(counts.get("readdirSync"), undefined, "no scan");
    return { add: added.total(), del: deleted.total(), nothingToDelete: missed.total() };
  });
  t.strictSame(cost[0], cost[1]);
  t.comment(cost[0]);
  t.ok((cost[0]?.add ?? 99) < 40);

  /** The address of that index, the first one being 10.22.0.2. */
  function nth(index: number): string {
    return `10.22.${(index + 2) >> 8}.${(index + 2) & 255}`;
  }
});

t.test("what somebody else adds or removes is seen at the next call", async (t) => {
  const f = makeFixture(t, [V4]);
  f.add(attachment("a"));
  f.add(attachment("b"));
  fs.writeFileSync(join(f.folder, "10.22.0.4"), "theirs\r\neth0");
  t.strictSame(
    f.use((store) => store.held(attachment("theirs"))),
    ["10.22.0.4"],
  );
  fs.unlinkSync(join(f.folder, "10.22.0.2"));
  t.strictSame(
    f.use((store) => store.held(attachment("a"))),
    [],
  );
  f.del(attachment("theirs"));
  t.strictSame(f.onDisk(), { "10.22.0.3": "b\r\neth0" });
});

t.test("the folder's time is never one that a later change could leave", async (t) => {
  const f = makeFixture(t, [V4]);
  const second = () => Math.floor(fs.statSync(f.folder).mtimeMs / 1000);
  const now = 1_700_000_000_000;
  const seen = ["a", "b", "c"].map((id) => {
    f.add(attachment(id), { now: () => now });
    return second();
  });
  t.ok(seen.every((time) => time <= now / 1000 - 10));
  t.not(seen[0], seen[1], "two successive stamps differ by more than any file system's resolution");
  t.not(seen[1], seen[2]);
});

t.test("an old file that names the container alone is its reservation", async (t) => {
  const f = makeFixture(t, [V4]);
  fs.mkdirSync(f.folder);
  fs.writeFileSync(join(f.folder, "10.22.0.7"), "old\n");
  t.strictSame(
    f.use((store) => store.held(attachment("old", "any0"))),
    ["10.22.0.7"],
  );
  f.del(attachment("old", "any0"));
  t.strictSame(f.onDisk(), {});
});

t.test("files of nobody we know keep their address from being handed out and are never removed", async (t) => {
  const f = makeFixture(t, [V4]);
  fs.mkdirSync(f.folder);
  fs.writeFileSync(join(f.folder, "10.22.0.2"), "something else, with spaces");
  fs.mkdirSync(join(f.folder, "10.22.0.3"));
  fs.symlinkSync("/etc/hostname", join(f.folder, "10.22.0.4"));
  t.equal(f.add(attachment("a"))[0]?.address, "10.22.0.5/16");
  f.use((store) => store.prune(() => false));
  t.ok(fs.existsSync(join(f.folder, "10.22.0.2")));
  t.ok(fs.lstatSync(join(f.folder, "10.22.0.4")).isSymbolicLink());
  t.notOk(fs.existsSync(join(f.folder, "10.22.0.5")));
});

t.test("S12: planted symbolic links are not followed", async (t) => {
  const f = makeFixture(t, [V4]);
  f.add(attachment("a"));
  const victim = join(f.dataDir, "victim");
  fs.writeFileSync(victim, "untouched");
  for (const name of ["last_reserved_ip.0", ".podwire/state"]) {
    fs.rmSync(join(f.folder, name));
    fs.symlinkSync(victim, join(f.folder, name));
    t.throws(() => f.add(attachment("b")), { code: 5, message: /ipam\.dataDir: cannot keep reservations in .*ELOOP/ });
    fs.rmSync(join(f.folder, name));
  }
  t.equal(fs.readFileSync(victim, "utf8"), "untouched");
  fs.symlinkSync(victim, join(f.folder, "link"));
  t.throws(() => readIfThere(fs, join(f.folder, "link")), { code: "ELOOP" });
});

t.test("a damaged index is built anew", async (t) => {
  const f = makeFixture(t, [V4]);
  for (const id of ["a", "b", "c"]) f.add(attachment(id));
  for (const kind of ["taken", "attachments"]) {
    const folder = join(f.folder, ".podwire", kind);
    for (const name of fs.readdirSync(folder)) fs.writeFileSync(join(folder, name), "rubbish");
    t.strictSame(
      f.use((store) => store.held(attachment("b"))),
      ["10.22.0.3"],
    );
    f.del(attachment("b"));
    f.add(attachment("b"), {}, [{ address: parseAddress("10.22.0.3"), path: "test" }]);
  }
  fs.rmSync(join(f.folder, ".podwire"), { recursive: true });
  f.del(attachment("a"));
  t.strictSame(Object.keys(f.onDisk()), ["10.22.0.3", "10.22.0.4"]);
});

t.test("prune frees what is not to be kept", async (t) => {
  const f = makeFixture(t, [V4]);
  for (const id of ["a", "b", "c"]) f.add(attachment(id));
  const freed = f.use((store) => store.prune(({ containerId }) => containerId === "b"));
  t.strictSame(
    freed.map(({ address }) => address),
    ["10.22.0.2", "10.22.0.4"],
  );
  t.strictSame(f.onDisk(), { "10.22.0.3": "b\r\neth0" });
});

/** Makes the index believe that it still holds, whatever was done to the folder. */
function vouch(folder: string): void {
  const state = join(folder, ".podwire", "state");
  const text = fs.readFileSync(state, "utf8");
  const now = fs.statSync(folder, { bigint: true }).mtimeNs;
  fs.writeFileSync(state, text.replace(/\n\d+\n/, `\n${now}\n`));
}

t.test("an address file that the index does not know is never overwritten", async (t) => {
  const f = makeFixture(t, [V4]);
  f.add(attachment("a"));
  fs.writeFileSync(join(f.folder, "10.22.0.3"), "theirs\r\neth0");
  vouch(f.folder);
  t.equal(f.add(attachment("b"))[0]?.address, "10.22.0.4/16");
  t.equal(f.onDisk()["10.22.0.3"], "theirs\r\neth0");
  f.del(attachment("theirs"));
  t.strictSame(Object.keys(f.onDisk()), ["10.22.0.2", "10.22.0.4"], "and it is known from then on");
});

t.test("an exhausted range looks at the files before it gives up", async (t) => {
  const f = makeFixture(t, [rangeSetOf("10.22.0.0/29")]);
  for (const id of ["a", "b", "c", "d", "e"]) f.add(attachment(id));
  t.throws(() => f.add(attachment("f")), { code: 11 });
  fs.unlinkSync(join(f.folder, "10.22.0.4"));
  vouch(f.folder);
  t.equal(f.add(attachment("f"))[0]?.address, "10.22.0.4/29");
});

t.test("a folder that cannot be written is code 5 with the folder and what to do", async (t) => {
  const f = makeFixture(t, [V4]);
  fs.writeFileSync(f.folder, "a file");
  t.throws(() => f.add(attachment("a")), {
    code: 5,
    message: /cannot keep reservations in ".*net": ENOTDIR.*make it a writable/,
  });
});
