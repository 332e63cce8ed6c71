import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { parsePrefix } from "../net/prefix.ts";
import type { Plugin } from "./plugin.ts";
import { EMPTY_RESULT } from "./result.ts";
import { callPlugin, fastest, HOSTILE_MS } from "./testing.ts";

const VERBS = ["ADD", "CHECK", "DEL", "GC", "STATUS", "VERSION", "DANCE"] as const;

/** Strings that mean something to a path, a shell, a kernel, a terminal, a template, JavaScript or a log. */
const SEEDS = [
  ...(JSON.parse(readFileSync(new URL("testdata/hostile.json", import.meta.url), "utf8")) as string[]),
  "x".repeat(256),
  "x".repeat(4096),
  "../".repeat(400),
];

/** About 200: the seeds as they are, and in the middle of a name that would be fine. */
const HOSTILE = [...new Set(SEEDS.flatMap((seed) => [seed, `good${seed}`]))];

/** Where a hostile string can be put. */
const PLACES = {
  containerId: (text: string) => ({ env: { CNI_CONTAINERID: text } }),
  ifName: (text: string) => ({ env: { CNI_IFNAME: text } }),
  netns: (text: string) => ({ env: { CNI_NETNS: text } }),
  args: (text: string) => ({ env: { CNI_ARGS: text } }),
  path: (text: string) => ({ env: { CNI_PATH: text } }),
  name: (text: string) => ({ conf: { name: text } }),
  type: (text: string) => ({ conf: { type: text } }),
  ipamType: (text: string) => ({ conf: { ipam: { type: text } } }),
  version: (text: string) => ({ conf: { cniVersion: text } }),
  validContainer: (text: string) => ({
    conf: { "cni.dev/valid-attachments": [{ containerID: text, ifname: "eth0" }] },
  }),
  validIfName: (text: string) => ({ conf: { "cni.dev/attachments": [{ containerID: "c", ifname: text }] } }),
} as const satisfies Readonly<Record<string, (text: string) => { env?: object; conf?: object }>>;

const GC = { "cni.dev/valid-attachments": [] };

t.test("S1, S3: no hostile string leaves the folders that it may name, whatever the verb", async (t) => {
  const world = makeWorld(t);
  const before = listTree(world.root);
  let calls = 0;
  for (const [place, put] of Object.entries(PLACES)) {
    for (const text of HOSTILE) {
      for (const command of VERBS) {
        calls++;
        const { env = {}, conf = {} } = put(text) as { env?: Record<string, string>; conf?: object };
        const stdin = { cniVersion: "1.1.0", name: "net", type: "filer", prevResult: {}, ...GC, ...conf };
        const called = await callPlugin(filer(world.data), {
          command,
          stdin,
          env: { CNI_PATH: world.bin, PATH: process.env.PATH ?? "", ...env },
        });
        if (called.exitCode === 0) continue;
        const { code, msg } = called.answer ?? {};
        const row = `${place} ${command} ${JSON.stringify(text.slice(0, 40))}`;
        if (![1, 3, 4, 6, 7].includes(code as number) || msg === "") t.fail(`${row}: ${called.stdout}`);
      }
    }
  }
  t.ok(HOSTILE.length > 190 && HOSTILE.length < 230, `${HOSTILE.length} strings, ${calls} calls`);
  t.strictSame(
    listTree(world.root, world.data),
    before.filter((line) => !line.startsWith(world.data)),
  );
  t.strictSame(
    listTree(world.data).filter((line) => line.replace(world.data, "").split("/").length > 3),
    [],
  );
});

t.test("what the specification allows is not refused for looking strange", async (t) => {
  const world = makeWorld(t);
  const rows = [
    { env: { CNI_CONTAINERID: "__proto__".slice(2) } },
    { env: { CNI_CONTAINERID: "constructor" } },
    { env: { CNI_IFNAME: "$(a)`b`;c" } },
    { env: { CNI_ARGS: "__proto__=1;constructor=2" } },
    { conf: { name: "toString" } },
  ];
  for (const { env = {}, conf = {} } of rows as { env?: Record<string, string>; conf?: object }[]) {
    const stdin = { cniVersion: "1.1.0", name: "net", type: "filer", ...conf };
    const called = await callPlugin(filer(world.data), { command: "ADD", stdin, env });
    t.equal(called.exitCode, 0, `${JSON.stringify({ env, conf })} ${called.stdout}`);
  }
});

t.test("S2: hostile stdin is refused without much work, and Object.prototype stays as it is", async (t) => {
  const before = Object.getOwnPropertyNames(Object.prototype);
  const size = 2 ** 20;
  const deep = `{"cniVersion":"1.0.0","name":"n","type":"t","x":${"[".repeat(40)}${"]".repeat(40)}}`;
  const rows: readonly [what: string, stdin: string][] = [
    ["1 MiB and one byte", `{"x":"${"a".repeat(size)}"}`],
    ["1 MiB of open brackets", "[".repeat(size)],
    ["40 levels", deep],
    ["duplicate keys", '{"cniVersion":"1.0.0","name":"n","name":"m","type":"t"}'],
    ["half a surrogate pair", '{"cniVersion":"1.0.0","name":"n","type":"t","x":"\\ud800"}'],
    ["a number that would change", '{"cniVersion":"1.0.0","name":"n","type":"t","mtu":9007199254740993}'],
    ["name only in __proto__", '{"__proto__":{"name":"n","type":"t"},"cniVersion":"1.0.0"}'],
    [
      "name only in the prototype of ipam",
      '{"cniVersion":"1.0.0","name":"n","type":"t","ipam":{"type":{"__proto__":"x"}}}',
    ],
  ];
  for (const [what, stdin] of rows) {
    const elapsed = await fastest(async () => {
      const { exitCode, answer } = await callPlugin(filer("/nonexistent"), { command: "ADD", stdin });
      t.equal(exitCode, 1, what);
      t.match(String(answer?.code), /^[67]$/, `${what}: ${answer?.msg}`);
    });
    t.ok(elapsed < HOSTILE_MS, `${what}: ${elapsed.toFixed(1)} ms`);
  }
  t.strictSame(Object.getOwnPropertyNames(Object.prototype), before);
});

t.test("S2: whatever stands under a known key, the answer is a result or a refusal, never a surprise", async (t) => {
  const values = [
    null,
    true,
    -1,
    1.5,
    2 ** 53 - 1,
    "",
    "x",
    "10.0.0.1/24",
    [],
    [[]],
    [null],
    {},
    { type: 1 },
    { ips: [{}] },
  ];
  const keys = ["cniVersion", "name", "type", "ipam", "dns", "prevResult", "capabilities", "runtimeConfig", "args"];
  const inner = [
    "type",
    "cniVersion",
    "interfaces",
    "ips",
    "routes",
    "ip4",
    "dns",
    "nameservers",
    "cni.dev/attachments",
  ];
  const rows = keys.flatMap((key) => [
    ...values.map((value) => ({ [key]: value })),
    ...inner.flatMap((name) => values.map((value) => ({ [key]: { [name]: value } }))),
  ]);
  const codes = new Map<unknown, number>();
  for (const row of rows) {
    for (const command of VERBS) {
      const stdin = { cniVersion: "1.1.0", name: "net", type: "filer", prevResult: {}, ...GC, ...row };
      const { exitCode, answer, stdout } = await callPlugin(filer("/dev/null/none"), { command, stdin });
      const code = exitCode === 0 ? 0 : answer?.code;
      codes.set(code, (codes.get(code) ?? 0) + 1);
      const wrote = code === 999 && String(answer?.msg).startsWith("ENOTDIR"); // the careless plugin itself was reached
      if (!wrote && ![0, 1, 4, 7].includes(code as number)) t.fail(`${command} ${JSON.stringify(row)}: ${stdout}`);
    }
  }
  for (const code of [0, 1, 4, 7]) t.ok((codes.get(code) ?? 0) > 0, `code ${code}: ${codes.get(code)} times`);
});

/** A plugin that trusts what the host gives it as much as a careless one could: every name becomes part of a path. */
function filer(data: string): Plugin {
  const write = (...names: readonly string[]) => {
    const [last = "", ...folders] = names.toReversed();
    const dir = join(data, ...folders);
    mkdirSync(dir, { recursive: true });
    writeFileSync(`${dir}/${last}`, "");
  };
  return {
    name: "filer",
    async add({ conf, attachment, delegator }) {
      if (attachment.containerId.length < 100 && conf.name.length < 100) {
        write(conf.name, `${attachment.containerId}-${attachment.ifName}`);
      }
      if (conf.ipam !== undefined) return await delegator.add(conf.ipam.type, conf.raw);
      return { ...EMPTY_RESULT, ips: [{ address: parsePrefix("10.0.0.2/24") }] };
    },
    async del({ conf, delegator }) {
      if (conf.ipam !== undefined) await delegator.del(conf.ipam.type, conf.raw);
    },
    async check({ conf, delegator }) {
      if (conf.ipam !== undefined) await delegator.check(conf.ipam.type, conf.raw);
    },
    async gc({ conf, delegator, validAttachments }) {
      for (const each of validAttachments) {
        if (each.containerId.length < 100) write(conf.name, `${each.containerId}-${each.ifName}`);
      }
      if (conf.ipam !== undefined) await delegator.gc(conf.ipam.type, conf.raw);
    },
    async status({ conf, delegator }) {
      if (conf.ipam !== undefined) await delegator.status(conf.ipam.type, conf.raw);
    },
  };
}

/** A folder with data, an empty CNI_PATH, and executables around it that leave a trace when somebody runs them. */
function makeWorld(t: Test): { root: string; data: string; bin: string } {
  const root = mkdtempSync(join(tmpdir(), "podwire-hostile-"));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  const [data, bin] = [join(root, "data"), join(root, "a/b/bin")];
  mkdirSync(data);
  mkdirSync(bin, { recursive: true });
  for (const dir of [root, join(root, "a"), join(root, "a/b")]) {
    writeFileSync(join(dir, "evil"), `#!/bin/sh\ntouch ${root}/was-run\n`);
    chmodSync(join(dir, "evil"), 0o755);
  }
  symlinkSync("../evil", join(root, "a/b/link"));
  return { root, data, bin };
}

/** Every path below with its type, size and content. */
function listTree(root: string, except?: string): string[] {
  if (root === except) return [];
  return readdirSync(root, { withFileTypes: true }).flatMap((entry) => {
    const path = join(root, entry.name);
    if (entry.isDirectory()) return path === except ? [] : [path, ...listTree(path, except)];
    return [`${path} ${lstatSync(path).mode} ${entry.isFile() ? readFileSync(path, "utf8") : ""}`];
  });
}
