import { spawn } from "node:child_process";
import { once } from "node:events";
import { statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import t from "tap";
import { openLock, tryOpenLock } from "./flock.ts";
import { openNetns } from "./netns.ts";
import { quoteComment } from "./nftables/nft.ts";
import { readSysctl } from "./sysctl.ts";

t.test("a lock is exclusive until it is given back, also within one process", async (t) => {
  const path = join(t.testdir(), "lock");
  {
    using held = openLock(path);
    t.ok(held);
    t.equal(statSync(path).mode & 0o777, 0o600);
    t.equal(tryOpenLock(path), undefined);
  }
  const again = tryOpenLock(path);
  t.ok(again);
  again?.[Symbol.dispose]();
  again?.[Symbol.dispose]();
});

t.test("a lock makes flock(1) wait", async (t) => {
  const path = join(t.testdir(), "lock");
  const held = openLock(path);
  const other = spawn("flock", ["--exclusive", path, "echo", "held"], { stdio: ["ignore", "pipe", "inherit"] });
  const said = once(other.stdout, "data");
  t.equal(await Promise.race([said, setTimeout(100, "waiting")]), "waiting");
  held[Symbol.dispose]();
  t.equal(String((await said)[0]), "held\n");
});

t.test("S12: a lock is not taken through a symbolic link", async (t) => {
  const folder = t.testdir();
  writeFileSync(join(folder, "target"), "");
  symlinkSync("target", join(folder, "lock"));
  t.throws(() => openLock(join(folder, "lock")), { code: "ELOOP" });
  t.throws(() => openLock(join(folder, "none", "lock")), { code: "ENOENT" });
});

t.test("S4: what is not a network namespace is refused with the reason", async (t) => {
  const folder = t.testdir();
  const file = join(folder, "file");
  writeFileSync(file, "");
  const cases = [
    [join(folder, "nothing"), "missing"],
    [file, "not-nsfs"],
    ["/dev/null", "not-nsfs"],
    ["/proc/self/ns/mnt", "not-a-network-namespace"],
  ] as const;
  for (const [path, reason] of cases) t.throws(() => openNetns(path), { name: "NotANamespaceError", path, reason });
  using own = openNetns("/proc/self/ns/net");
  t.ok(own.inode > 0n);
});

t.test("S1: a sysctl key never leaves /proc/sys", async (t) => {
  t.match(readSysctl("net/ipv4/ip_forward"), /^[01]$/);
  for (const key of ["", "/net", "../x", "net/../../x", "net//x", "net/.", "net/ipv4/\0"])
    t.throws(() => readSysctl(key), RangeError, key);
  t.throws(() => readSysctl("net/ipv4/conf/no-such/forwarding"), { code: "ENOENT" });
});

t.test("S3: a comment cannot end its quotes", async (t) => {
  t.equal(quoteComment("net=pods cid=1"), '"net=pods cid=1"');
  for (const text of ['a"b', "a\\", "a\nb", "a\0", "x".repeat(128)])
    t.throws(() => quoteComment(text), RangeError, text);
});
