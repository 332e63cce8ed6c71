import * as fs from "node:fs";
import { join } from "node:path";
import t from "tap";
import { attachment, BOOT, NEXT_BOOT, rangeSetOf, withEachHost } from "./disk-fixture.ts";

const SETS = [rangeSetOf("10.22.0.0/16")];

withEachHost(t, "P6: a reboot frees every address that was reserved before it, and the walk goes on", SETS, (t, f) => {
  for (const id of ["a", "b", "c"]) f.add(attachment(id));
  t.equal(f.add(attachment("d"), { boot: NEXT_BOOT })[0]?.address, "10.22.0.5/16");
  t.strictSame(f.onDisk(), { "10.22.0.5": "d\r\neth0" });
  t.strictSame(f.warnings, ["freed addresses reserved before the last reboot"]);
  t.equal(f.add(attachment("e"), { boot: NEXT_BOOT })[0]?.address, "10.22.0.6/16");
  t.strictSame(Object.keys(f.onDisk()), ["10.22.0.5", "10.22.0.6"], "this boot's stay");
});

withEachHost(
  t,
  "a reboot frees the other plugin's files too when nothing changed since we last looked",
  SETS,
  (t, f) => {
    f.add(attachment("a"));
    fs.writeFileSync(join(f.folder, "10.22.0.9"), "theirs\r\neth0");
    f.del(attachment("nobody"));
    f.flush();
    f.del(attachment("nobody"), { boot: NEXT_BOOT });
    t.strictSame(f.onDisk(), {});
  },
);

withEachHost(t, "after a reboot, a file that the other plugin may have made since stays; ours go", SETS, (t, f) => {
  f.add(attachment("ours"));
  fs.writeFileSync(join(f.folder, "10.22.0.9"), "theirs\r\neth0");
  f.del(attachment("nobody"), { boot: NEXT_BOOT });
  t.strictSame(f.onDisk(), { "10.22.0.9": "theirs\r\neth0" });
});

withEachHost(t, "a trusted clock tells which of the other plugin's files are older than the boot", SETS, (t, f) => {
  fs.mkdirSync(f.folder);
  for (const [name, time] of Object.entries({ "10.22.0.8": 1_000_000, "10.22.0.9": 2_000_000 })) {
    fs.writeFileSync(join(f.folder, name), "theirs\r\neth0");
    fs.utimesSync(join(f.folder, name), time, time);
  }
  f.del(attachment("nobody"), { boot: { ...BOOT, startedAt: 1_500_000_000 } });
  t.strictSame(Object.keys(f.onDisk()), ["10.22.0.9"]);
});

withEachHost(t, "on a folder that we never wrote, nothing is freed without a trusted clock", SETS, (t, f) => {
  fs.mkdirSync(f.folder);
  fs.writeFileSync(join(f.folder, "10.22.0.9"), "theirs\r\neth0", { mode: 0o400 });
  fs.utimesSync(join(f.folder, "10.22.0.9"), 1, 1);
  f.del(attachment("nobody"));
  t.strictSame(Object.keys(f.onDisk()), ["10.22.0.9"]);
});

withEachHost(t, "a power failure that lost the index frees ours all the same", SETS, (t, f) => {
  for (const id of ["a", "b"]) f.add(attachment(id));
  f.flush();
  fs.truncateSync(join(f.folder, ".podwire", "state"));
  for (const kind of ["taken", "attachments"]) fs.rmSync(join(f.folder, ".podwire", kind), { recursive: true });
  const lost = join(f.folder, "10.22.0.3"); // its data never reached the disk
  const { mode } = fs.statSync(lost);
  fs.chmodSync(lost, 0o600);
  fs.truncateSync(lost);
  fs.chmodSync(lost, mode & 0o777);
  f.add(attachment("c"), { boot: NEXT_BOOT });
  t.strictSame(f.onDisk(), { "10.22.0.4": "c\r\neth0" });
});

withEachHost(t, "removing our sub-folder by hand frees nothing", SETS, (t, f) => {
  f.add(attachment("a"));
  fs.rmSync(join(f.folder, ".podwire"), { recursive: true });
  f.add(attachment("b"));
  t.strictSame(Object.keys(f.onDisk()), ["10.22.0.2", "10.22.0.3"]);
});
