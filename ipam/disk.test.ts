import * as fs from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";
import { parseAddress } from "../net/address.ts";
import { attachment, countedFiles, HOSTS, makeFixture, rangeSetOf, withEachHost } from "./disk-fixture.ts";
import { type FileOps, readIfThere } from "./files.ts";

const V4 = rangeSetOf("10.22.0.0/16");
const V6 = rangeSetOf("fd00::/64");

withEachHost(
  t,
  "a reservation is a file that only root reads, as the reference plugin writes it",
  [V4, rangeSetOf("fd00:0:0:1::/64")],
  (t, f) => {
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
  },
);

withEachHost(
  t,
  "DEL frees the attachment's addresses and no others, and twice is no error",
  [V4, rangeSetOf("fd00::/64")],
  (t, f) => {
    f.add(attachment("a"));
    f.add(attachment("a", "net1"));
    f.add(attachment("b"));
    f.del(attachment("a"));
    f.del(attachment("a"));
    f.del(attachment("nobody"));
    t.strictSame(Object.keys(f.onDisk()), ["10.22.0.3", "10.22.0.4", "fd00::3", "fd00::4"]);
  },
);

withEachHost(t, "a missing folder stays missing when nothing is to be made", [V4], (t, f) => {
  f.del(attachment("nobody"));
  t.notOk(fs.existsSync(f.folder));
});

/** Calls on the file system, without the lock's and those that close. */
const CALLS = {
  "one-shot": { add: 23, del: 21, nothingToDelete: 5, dualStackAdd: 35 },
  resident: { add: 7, del: 5, nothingToDelete: 1, dualStackAdd: 12 },
} as const;

for (const host of HOSTS) {
  t.test(`P6: ADD and DEL touch as many files with 10,000 addresses taken as with 10 (${host})`, async (t) => {
    const expected = CALLS[host];
    for (const taken of [10, 10_000]) {
      const f = makeFixture(t, [V4], host);
      f.add(attachment("filler"));
      for (let i = 1; i < taken - 1; i++) fs.linkSync(join(f.folder, "10.22.0.2"), join(f.folder, nth(i)));
      fs.writeFileSync(join(f.folder, "last_reserved_ip.0"), "10.22.0.1");
      f.add(attachment("first")); // scans the folder once, and the walk meets every taken address
      const calls = (act: (files: FileOps) => unknown) => callsOf(t, act);
      const add = calls((files) => f.add(attachment("pod"), { files }));
      t.strictSame(Object.keys(f.onDisk()).length, taken + 1);
      const del = calls((files) => f.del(attachment("pod"), { files }));
      const nothingToDelete = calls((files) => f.del(attachment("pod"), { files }));
      const dual = makeFixture(t, [V4, V6], host);
      for (const id of ["a", "b"]) dual.add(attachment(id));
      const dualStackAdd = calls((files) => dual.add(attachment("pod"), { files }));
      t.strictSame({ add, del, nothingToDelete, dualStackAdd }, expected);
    }
  });
}

function callsOf(t: Test, act: (files: FileOps) => unknown): number {
  const { files, counts, total } = countedFiles();
  act(files);
  t.equal(counts.get("readdirSync"), undefined, "no scan");
  return total();
}

/** The address of that index, the first one being 10.22.0.2. */
function nth(index: number): string {
  return `10.22.${(index + 2) >> 8}.${(index + 2) & 255}`;
}

withEachHost(t, "what somebody else adds or removes is seen at the next call", [V4], (t, f) => {
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

withEachHost(t, "the folder's time is never one that a later change could leave", [V4], (t, f) => {
  const now = 1_700_000_000_000;
  const seen = ["a", "b", "c"].map((id) => {
    f.add(attachment(id), { now: () => now });
    return fs.statSync(f.folder).mtimeMs;
  });
  t.ok(seen.every((time) => time <= now - 10_000));
  t.ok(
    seen.every((time) => time % 2000 === 0),
    "a time that every file system keeps",
  );
  t.equal(new Set(seen).size, 3, "never one that was there before");
});

withEachHost(t, "an old file that names the container alone is its reservation", [V4], (t, f) => {
  fs.mkdirSync(f.folder);
  fs.writeFileSync(join(f.folder, "10.22.0.7"), "old\n");
  t.strictSame(
    f.use((store) => store.held(attachment("old", "any0"))),
    ["10.22.0.7"],
  );
  f.del(attachment("old", "any0"));
  t.strictSame(f.onDisk(), {});
});

withEachHost(
  t,
  "files of nobody we know keep their address from being handed out and are never removed",
  [V4],
  (t, f) => {
    fs.mkdirSync(f.folder);
    fs.writeFileSync(join(f.folder, "10.22.0.2"), "something else, with spaces");
    fs.mkdirSync(join(f.folder, "10.22.0.3"));
    fs.symlinkSync("/etc/hostname", join(f.folder, "10.22.0.4"));
    t.equal(f.add(attachment("a"))[0]?.address, "10.22.0.5/16");
    f.use((store) => store.prune(() => false));
    t.ok(fs.existsSync(join(f.folder, "10.22.0.2")));
    t.ok(fs.lstatSync(join(f.folder, "10.22.0.4")).isSymbolicLink());
    t.notOk(fs.existsSync(join(f.folder, "10.22.0.5")));
  },
);

withEachHost(t, "S12: planted symbolic links are not followed", [V4], (t, f, host) => {
  f.add(attachment("a"));
  const victim = join(f.dataDir, "victim");
  fs.writeFileSync(victim, "untouched");
  for (const name of ["last_reserved_ip.0", ".podwire/state"]) {
    f.flush();
    fs.rmSync(join(f.folder, name));
    fs.symlinkSync(victim, join(f.folder, name));
    t.throws(() => f.caller(host).add(attachment("b")), {
      code: 5,
      message: /ipam\.dataDir: cannot keep reservations in .*ELOOP/,
    });
    fs.rmSync(join(f.folder, name));
  }
  t.equal(fs.readFileSync(victim, "utf8"), "untouched");
  fs.symlinkSync(victim, join(f.folder, "link"));
  t.throws(() => readIfThere(fs, join(f.folder, "link")), { code: "ELOOP" });
});

withEachHost(t, "a damaged index is built anew", [V4], (t, f, host) => {
  for (const id of ["a", "b", "c"]) f.add(attachment(id));
  for (const kind of ["taken", "attachments"]) {
    f.flush();
    const folder = join(f.folder, ".podwire", kind);
    for (const name of fs.readdirSync(folder)) fs.writeFileSync(join(folder, name), "rubbish");
    const next = f.caller(host);
    t.strictSame(
      next.use((store) => store.held(attachment("b"))),
      ["10.22.0.3"],
    );
    next.del(attachment("b"));
    f.add(attachment("b"), {}, [{ address: parseAddress("10.22.0.3"), path: "test" }]);
  }
  fs.rmSync(join(f.folder, ".podwire"), { recursive: true });
  f.del(attachment("a"));
  t.strictSame(Object.keys(f.onDisk()), ["10.22.0.3", "10.22.0.4"]);
});

withEachHost(t, "prune frees what is not to be kept", [V4], (t, f) => {
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

withEachHost(t, "an address file that the index does not know is never overwritten", [V4], (t, f) => {
  f.add(attachment("a"));
  f.flush();
  fs.writeFileSync(join(f.folder, "10.22.0.3"), "theirs\r\neth0");
  vouch(f.folder);
  t.equal(f.add(attachment("b"))[0]?.address, "10.22.0.4/16");
  t.equal(f.onDisk()["10.22.0.3"], "theirs\r\neth0");
  f.del(attachment("theirs"));
  t.strictSame(Object.keys(f.onDisk()), ["10.22.0.2", "10.22.0.4"], "and it is known from then on");
});

withEachHost(t, "an exhausted range looks at the files before it gives up", [rangeSetOf("10.22.0.0/29")], (t, f) => {
  for (const id of ["a", "b", "c", "d", "e"]) f.add(attachment(id));
  t.throws(() => f.add(attachment("f")), { code: 11 });
  f.flush();
  fs.unlinkSync(join(f.folder, "10.22.0.4"));
  vouch(f.folder);
  t.equal(f.add(attachment("f"))[0]?.address, "10.22.0.4/29");
});

withEachHost(t, "a folder that cannot be written is code 5 with the folder and what to do", [V4], (t, f) => {
  fs.writeFileSync(f.folder, "a file");
  t.throws(() => f.add(attachment("a")), {
    code: 5,
    message: /cannot keep reservations in ".*net": ENOTDIR.*make it a writable/,
  });
});
