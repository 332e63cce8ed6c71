import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { parsePrefix } from "../net/prefix.ts";
import type { Plugin } from "./plugin.ts";
import { EMPTY_RESULT } from "./result.ts";
import { type Called, callPlugin, recordingPlugin } from "./testing.ts";

const REFERENCE = "/usr/lib/cni";

/** A main plugin that does nothing but call its IPAM plugin. */
const forwarder: Plugin = {
  name: "forwarder",
  add: ({ conf, delegator }) => delegator.add(ipamOf(conf), conf.raw),
  del: ({ conf, delegator }) => delegator.del(ipamOf(conf), conf.raw),
  check: ({ conf, delegator }) => delegator.check(ipamOf(conf), conf.raw),
  gc: ({ conf, delegator }) => delegator.gc(ipamOf(conf), conf.raw),
  status: ({ conf, delegator }) => delegator.status(ipamOf(conf), conf.raw),
};

function ipamOf({ ipam }: { readonly ipam?: { readonly type: string } }): string {
  return ipam?.type ?? "";
}

function folder(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), "podwire-delegate-"));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** Writes a shell script as an IPAM plugin; `$DIR` is its folder. */
function script(dir: string, name: string, body: string): void {
  writeFileSync(join(dir, name), `#!/bin/sh\nDIR=${dir}\n${body}\n`);
  chmodSync(join(dir, name), 0o755);
}

function forward(
  command: string,
  dir: string,
  type: string,
  { conf = {}, env = {}, limit = 20_000, builtins = {} }: ForwardOptions = {},
): Promise<Called> {
  const stdin = {
    cniVersion: "1.0.0",
    name: "net-1",
    type: "forwarder",
    prevResult: { ips: [] },
    "cni.dev/valid-attachments": [],
    ...conf,
    ipam: { type, ...conf.ipam },
  };
  const call = { command, stdin, env: { PATH: process.env.PATH ?? "", CNI_PATH: dir, ...env } };
  return callPlugin(forwarder, call, { delegateLimit: limit, builtins });
}

interface ForwardOptions {
  readonly conf?: { readonly ipam?: object; readonly cniVersion?: string };
  readonly env?: Readonly<Record<string, string>>;
  readonly limit?: number;
  readonly builtins?: Readonly<Record<string, Plugin>>;
}

const missing = existsSync(join(REFERENCE, "host-local")) ? false : "install containernetworking-plugins";

for (const cniVersion of ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0"]) {
  t.test(`the reference host-local gives and takes back an address, ${cniVersion}`, { skip: missing }, async (t) => {
    const dataDir = folder(t);
    const conf = { cniVersion, ipam: { subnet: "10.22.0.0/24", routes: [{ dst: "0.0.0.0/0" }], dataDir } };
    const added = await forward("ADD", REFERENCE, "host-local", { conf });
    t.equal(added.exitCode, 0, added.stdout);
    const old = { ip4: { ip: "10.22.0.2/24", gateway: "10.22.0.1", routes: [{ dst: "0.0.0.0/0" }] } };
    const version = cniVersion.startsWith("0.") ? { version: "4" } : {};
    const rich = {
      ips: [{ ...version, address: "10.22.0.2/24", gateway: "10.22.0.1" }],
      routes: [{ dst: "0.0.0.0/0" }],
    };
    t.strictSame(added.answer, { cniVersion, ...(cniVersion < "0.3.0" ? old : rich) });
    t.ok(readdirSync(join(dataDir, "net-1")).includes("10.22.0.2"), "the file is there");

    if (cniVersion >= "0.4.0") {
      const checked = await forward("CHECK", REFERENCE, "host-local", { conf });
      t.equal(checked.exitCode, 0, checked.stdout);
      t.equal(checked.stdout, "");
    }
    const deleted = await forward("DEL", REFERENCE, "host-local", { conf });
    t.equal(deleted.exitCode, 0, deleted.stdout);
    t.notOk(readdirSync(join(dataDir, "net-1")).includes("10.22.0.2"), "the file is gone");
  });
}

t.test("the reference's own errors come through", { skip: missing }, async (t) => {
  const dataDir = folder(t);
  const conf = { ipam: { subnet: "10.22.0.1/24", dataDir } };
  const { exitCode, answer } = await forward("ADD", REFERENCE, "host-local", { conf });
  t.equal(exitCode, 1);
  t.match(answer, { cniVersion: "1.0.0", code: 999, msg: /invalid CIDR|host bits/i });
  const newer = await forward("STATUS", REFERENCE, "host-local", { conf: { ...conf, cniVersion: "1.1.0" } });
  t.match(newer.answer, { code: newer.answer?.code, msg: /./ }, "1.1.1 does not know STATUS");
  t.equal(newer.exitCode, 1);
});

t.test("a delegate gets the environment, the trace context and the whole configuration", async (t) => {
  const dir = folder(t);
  script(dir, "spy", 'env >$DIR/env; cat >$DIR/stdin; echo \'{"ips":[{"address":"10.0.0.2/24"}]}\'');
  const env = { TRACEPARENT: "00-aa-bb-01", CNI_ARGS: "K8S_POD_NAME=web" };
  const { exitCode, stdout } = await forward("ADD", dir, "spy", { env, conf: { ipam: { subnet: "10.0.0.0/24" } } });
  t.equal(exitCode, 0, stdout);
  const lines = readFileSync(join(dir, "env"), "utf8").split("\n");
  const expected = ["CNI_COMMAND=ADD", "CNI_CONTAINERID=container-1", "CNI_NETNS=/run/netns/red", "CNI_IFNAME=eth0"];
  for (const line of [...expected, "TRACEPARENT=00-aa-bb-01", "CNI_ARGS=K8S_POD_NAME=web", `CNI_PATH=${dir}`]) {
    t.ok(lines.includes(line), line);
  }
  t.match(JSON.parse(readFileSync(join(dir, "stdin"), "utf8")), {
    name: "net-1",
    type: "forwarder",
    ipam: { type: "spy", subnet: "10.0.0.0/24" },
  });
});

t.test("every verb is forwarded, and its stdout ignored but for ADD", async (t) => {
  const dir = folder(t);
  script(dir, "spy", 'echo "$CNI_COMMAND" >>$DIR/verbs; echo OK');
  for (const command of ["CHECK", "DEL", "GC", "STATUS"]) {
    const { exitCode, stdout } = await forward(command, dir, "spy", { conf: { cniVersion: "1.1.0" } });
    t.equal(exitCode, 0, stdout);
    t.equal(stdout, "");
  }
  t.equal(readFileSync(join(dir, "verbs"), "utf8"), "CHECK\nDEL\nGC\nSTATUS\n");
});

t.test("a failing delegate's code, message and details are passed on", async (t) => {
  const dir = folder(t);
  script(
    dir,
    "full",
    'echo \'{"cniVersion":"1.0.0","code":11,"msg":"no address left","details":"10.0.0.0/30"}\'; exit 1',
  );
  for (const command of ["ADD", "CHECK", "DEL"]) {
    const { exitCode, answer } = await forward(command, dir, "full");
    t.equal(exitCode, 1);
    t.strictSame(answer, { cniVersion: "1.0.0", code: 11, msg: "no address left", details: "10.0.0.0/30" });
  }
});

interface Misbehaviour {
  readonly what: string;
  readonly body: string;
  readonly code: number;
  readonly msg: RegExp;
  readonly limit?: number;
}

/** Milliseconds. Within them a shell must begin, also on a slow machine. */
const LIMIT = 3000;

const MISBEHAVIOURS: readonly Misbehaviour[] = [
  {
    what: "exits 1 with garbage",
    body: "echo oh dear; exit 1",
    code: 999,
    msg: /"bad" failed with exit code 1.*oh dear/,
  },
  { what: "exits 1 with words on stderr", body: "echo dear >&2; exit 3", code: 999, msg: /exit code 3, saying: dear/ },
  { what: "exits 1 silently", body: "exit 1", code: 999, msg: /exit code 1, saying: nothing/ },
  { what: "exits 1 with a JSON that is no error", body: "echo '{\"a\":1}'; exit 1", code: 999, msg: /\{"a":1\}/ },
  { what: "exits 1 with a strange code", body: 'echo \'{"code":"x","msg":"hm"}\'; exit 1', code: 999, msg: /^hm$/ },
  { what: "kills itself", body: "kill -9 $$", code: 999, msg: /signal SIGKILL/ },
  { what: "answers no JSON", body: "echo OK", code: 6, msg: /"bad" answered ADD with something else than a result/ },
  { what: "answers nothing", body: "true", code: 6, msg: /something else than a result/ },
  {
    what: "answers a wrong address",
    body: 'echo \'{"ips":[{"address":"x"}]}\'',
    code: 6,
    msg: /result\.ips\[0\]\.address: "x"/,
  },
  { what: "answers an unknown version", body: 'echo \'{"cniVersion":"7.0.0"}\'', code: 6, msg: /"7\.0\.0"/ },
  { what: "answers 2 MiB", body: "head -c 2097152 /dev/zero | tr '\\0' ' '", code: 6, msg: /more than 1048576 bytes/ },
  { what: "hangs", body: "sleep 1000", code: 11, msg: /did not end within 3000 ms and was killed/, limit: LIMIT },
  {
    what: "leaves a child behind that holds stdout",
    body: "sleep 1000 & exit 0",
    code: 11,
    msg: /3000 ms/,
    limit: LIMIT,
  },
];

for (const { what, body, code, msg, limit = 300_000 } of MISBEHAVIOURS) {
  t.test(`a delegate that ${what}: code ${code}, and it is asked to DEL`, async (t) => {
    const dir = folder(t);
    script(dir, "bad", `[ "$CNI_COMMAND" = DEL ] && { touch $DIR/deleted; exit 0; }\n${body}`);
    const { exitCode, answer } = await forward("ADD", dir, "bad", { limit });
    t.equal(exitCode, 1);
    t.match(answer, { cniVersion: "1.0.0", code, msg });
    t.ok(existsSync(join(dir, "deleted")), "DEL was run on it");
  });
}

t.test("a delegate that hangs is killed with its children", async (t) => {
  const dir = folder(t);
  script(dir, "hangs", '[ "$CNI_COMMAND" = DEL ] && exit 0; sleep 1000 & echo $! >$DIR/child; wait');
  const { answer } = await forward("ADD", dir, "hangs", { limit: LIMIT });
  t.match(answer, { code: 11 });
  const pid = readFileSync(join(dir, "child"), "utf8").trim();
  while (isRunning(pid)) await new Promise(setImmediate);
  t.pass("the child is gone");
});

function isRunning(pid: string): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

t.test("an executable that an installer still writes is tried again", async (t) => {
  const dir = folder(t);
  copyFileSync("/bin/true", join(dir, "fresh"));
  const writer = openSync(join(dir, "fresh"), "r+");
  setTimeout(() => closeSync(writer), 200);
  const { exitCode, stdout } = await forward("DEL", dir, "fresh");
  t.equal(exitCode, 0, stdout);
});

t.test("a DEL after a failed ADD that fails too is told in the log; the ADD's error is the answer", async (t) => {
  const dir = folder(t);
  script(dir, "bad", 'echo "{\\"code\\":7,\\"msg\\":\\"$CNI_COMMAND failed\\"}"; exit 1');
  const { answer, stderr } = await forward("ADD", dir, "bad");
  t.match(answer, { code: 7, msg: "ADD failed" });
  t.match(JSON.parse(stderr), { level: "warn", plugin: "bad", error: "DEL failed" });
});

t.test("a delegate that is not there is code 7 with its type and the path", async (t) => {
  const dir = folder(t);
  mkdirSync(join(dir, "directory"));
  for (const type of ["absent", "directory"]) {
    const { answer } = await forward("ADD", dir, type);
    t.match(answer, { code: 7, msg: `delegate "${type}" was not found in CNI_PATH "${dir}"` });
  }
});

t.test("a delegate that cannot be executed is code 5, and is not asked to DEL", async (t) => {
  const dir = folder(t);
  writeFileSync(join(dir, "text"), "not executable");
  const { answer, stderr } = await forward("ADD", dir, "text");
  t.match(answer, { code: 5, msg: /text could not be started: spawn .* EACCES/ });
  t.equal(stderr, "");
});

t.test("the first folder of CNI_PATH that has it wins", async (t) => {
  const [first, second] = [folder(t), folder(t)];
  for (const dir of [first, second]) script(dir, "spy", "touch $DIR/called");
  await forward("DEL", `/nonexistent:${first}:${second}`, "spy");
  t.ok(existsSync(join(first, "called")));
  t.notOk(existsSync(join(second, "called")));
});

t.test("our own executable is called in process, and anybody else's of the same name is executed", async (t) => {
  const dir = folder(t);
  const ipam = recordingPlugin("host-local", { ...EMPTY_RESULT, ips: [{ address: parsePrefix("10.0.0.7/24") }] });
  const builtins = { "host-local": ipam };
  writeFileSync(join(dir, "host-local"), "#!/usr/bin/env node\n// podwire plugin\nprocess.exit(9);\n", { mode: 0o755 });
  const added = await forward("ADD", dir, "host-local", { builtins });
  t.strictSame(added.answer, { cniVersion: "1.0.0", ips: [{ address: "10.0.0.7/24" }] });
  t.match(ipam.calls, [
    { verb: "ADD", request: { conf: { ipam: { type: "host-local" } }, attachment: { containerId: "container-1" } } },
  ]);

  writeFileSync(join(dir, "host-local"), "\x7fELF\x02\x01\n// podwire plugin\nmore\n// podwire plugin\n", {
    mode: 0o755,
  });
  await forward("ADD", dir, "host-local", { builtins });
  t.equal(ipam.calls.length, 2, "the shim");

  script(dir, "host-local", 'echo \'{"ips":[{"address":"10.0.0.8/24"}]}\'');
  const foreign = await forward("ADD", dir, "host-local", { builtins });
  t.strictSame(foreign.answer, { cniVersion: "1.0.0", ips: [{ address: "10.0.0.8/24" }] });
  script(dir, "host-local", "exit 0\n// podwire plugin");
  await forward("ADD", dir, "host-local", { builtins });
  writeFileSync(join(dir, "host-local"), "\x7fELF\n// podwire plugin\nof somebody else", { mode: 0o755 });
  await forward("ADD", dir, "host-local", { builtins });
  t.equal(ipam.calls.length, 2, "the mark in another place");
});

t.test("a built-in delegate that fails in ADD is asked to DEL", async (t) => {
  const dir = folder(t);
  const ipam = recordingPlugin("host-local", () => {
    throw new Error("half-way");
  });
  writeFileSync(join(dir, "host-local"), "#!/usr/bin/env node\n// podwire plugin\n", { mode: 0o755 });
  const { answer } = await forward("ADD", dir, "host-local", { builtins: { "host-local": ipam } });
  t.match(answer, { code: 999, msg: "half-way" });
  t.strictSame(
    ipam.calls.map((call) => call.verb),
    ["ADD", "DEL"],
  );
});

t.test("what a delegate writes to stderr lands in our log, as JSON", async (t) => {
  const dir = folder(t);
  script(dir, "noisy", "echo careful >&2");
  const { stderr, stdout } = await forward("DEL", dir, "noisy");
  t.equal(stdout, "");
  t.match(JSON.parse(stderr), { plugin: "noisy", stderr: "careful\n" });
});
