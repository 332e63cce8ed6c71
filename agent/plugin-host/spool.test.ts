import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { Spool } from "./spool.ts";
import { encodeRequest, type ShimAnswer, type ShimRequest } from "./wire.ts";

const OK: ShimAnswer = { exitCode: 0, stdout: "", stderr: "" };

function setUp(t: Test) {
  const root = mkdtempSync(join(tmpdir(), "spool-"));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  const folder = join(root, "spool");
  const put = (name: string, containerId: string, age = 0, verb = "DEL") => {
    mkdirSync(folder, { recursive: true });
    const env = { CNI_COMMAND: verb, CNI_CONTAINERID: containerId, CNI_IFNAME: "eth0" };
    const path = join(folder, name);
    writeFileSync(`${path}.tmp`, encodeRequest({ plugin: "bridge", env, stdin: Buffer.from("{}") }));
    const time = Date.now() / 1000 - age;
    utimesSync(`${path}.tmp`, time, time);
    renameSync(`${path}.tmp`, path);
    return path;
  };
  const done: string[] = [];
  const said: string[] = [];
  const open = (answer: (request: ShimRequest) => Promise<ShimAnswer> = async () => OK) => {
    const spool = new Spool({
      folder,
      answer: (request) => {
        done.push(request.env.CNI_CONTAINERID ?? "");
        return answer(request);
      },
      log: (level, message) => said.push(`${level}: ${message}`),
    });
    t.teardown(() => spool[Symbol.dispose]());
    return spool;
  };
  const until = async (what: () => boolean) => {
    while (!what()) await new Promise(setImmediate);
  };
  return { folder, put, open, done, said, until };
}

t.test("DELs that wait are handed over at once, oldest first; done, their files go", async (t) => {
  const { folder, put, open, done, until } = setUp(t);
  put("a.del", "newest", 1);
  put("b.del", "oldest", 30);
  put("c.del", "middle", 10);
  open();
  t.same(done, ["oldest", "middle", "newest"], "before anything else can come");
  await until(() => readdirSync(folder).length === 0);
});

t.test("a DEL that comes while the agent runs is heard of", async (t) => {
  const { folder, put, open, done, until } = setUp(t);
  open();
  t.ok(existsSync(folder), "shims find the folder");
  put("late.del", "late");
  await until(() => readdirSync(folder).length === 0);
  t.same(done, ["late"], "once");
});

t.test("a DEL that fails is kept, and done by the next agent", async (t) => {
  const { put, open, done, until } = setUp(t);
  const path = put("x.del", "x");
  const first = open(async () => ({ exitCode: 1, stdout: '{"code":11}', stderr: "" }));
  await new Promise(setImmediate);
  first[Symbol.dispose]();
  t.ok(existsSync(path));
  open();
  await until(() => !existsSync(path));
  t.same(done, ["x", "x"]);
});

t.test("what is no DEL of root's is set aside and said", async (t) => {
  const { folder, put, open, done, said } = setUp(t);
  put("add.del", "x", 0, "ADD");
  writeFileSync(join(folder, "short.del"), Buffer.of(9, 0, 0, 0, 1));
  symlinkSync("/etc/hostname", join(folder, "link.del"));
  writeFileSync(join(folder, ".half.tmp"), "");
  open();
  t.same(done, []);
  t.same(readdirSync(folder).sort(), ["add.del.bad", "link.del.bad", "short.del.bad"]);
  t.equal(said.length, 3);
});
