import t from "tap";
import { parsePrefix } from "../net/prefix.ts";
import { CniError, Code } from "./error.ts";
import { EMPTY_RESULT, type Result } from "./result.ts";
import { type CallInput, callPlugin, recordingPlugin } from "./testing.ts";
import { atLeast, VERSIONS, type Version } from "./version.ts";

const result: Result = { ...EMPTY_RESULT, ips: [{ address: parsePrefix("10.22.0.5/16") }] };
const VERBS = ["ADD", "CHECK", "DEL", "GC", "STATUS"] as const;
type Verb = (typeof VERBS)[number];

const INTRODUCED: Readonly<Record<Verb, Version>> = {
  ADD: "0.1.0",
  DEL: "0.1.0",
  CHECK: "0.4.0",
  GC: "1.1.0",
  STATUS: "1.1.0",
};

/** A configuration that every verb of the version accepts. */
function conf(cniVersion: string, extra: object = {}): object {
  return {
    cniVersion,
    name: "net-1",
    type: "tester",
    prevResult: { cniVersion, ips: [] },
    "cni.dev/valid-attachments": [],
    ...extra,
  };
}

for (const version of VERSIONS) {
  for (const verb of VERBS) {
    const there = atLeast(version, INTRODUCED[verb]);
    t.test(`${verb} with ${version} ${there ? "is served" : "is refused with code 1"}`, async (t) => {
      const plugin = recordingPlugin("tester", result);
      const { exitCode, stdout, stderr, answer } = await callPlugin(plugin, { command: verb, stdin: conf(version) });
      t.equal(stderr, "");
      if (!there) {
        t.equal(exitCode, 1);
        t.match(answer, { cniVersion: version, code: 1, msg: `cniVersion "${version}" does not allow ${verb}` });
        t.strictSame(plugin.calls, []);
        return;
      }
      t.equal(exitCode, 0, stdout);
      t.strictSame(
        plugin.calls.map((call) => call.verb),
        [verb],
      );
      if (verb === "ADD") t.equal(answer?.cniVersion, version);
      else t.equal(stdout, "", "success says nothing");
    });
  }
}

t.test("ADD answers with the result in the configuration's version; none is 0.1.0", async (t) => {
  const plugin = recordingPlugin("tester", result);
  const answers: readonly [version: string | undefined, answer: object][] = [
    [undefined, { cniVersion: "0.1.0", ip4: { ip: "10.22.0.5/16" } }],
    ["", { cniVersion: "0.1.0", ip4: { ip: "10.22.0.5/16" } }],
    ["0.4.0", { cniVersion: "0.4.0", ips: [{ version: "4", address: "10.22.0.5/16" }] }],
    ["1.1.0", { cniVersion: "1.1.0", ips: [{ address: "10.22.0.5/16" }] }],
  ];
  for (const [cniVersion, expected] of answers) {
    const { answer } = await callPlugin(plugin, { command: "ADD", stdin: { cniVersion, name: "n", type: "t" } });
    t.strictSame(answer, expected);
  }
});

t.test("the request holds what was validated", async (t) => {
  const plugin = recordingPlugin("tester", result);
  const stdin = conf("1.0.0", {
    capabilities: { portMappings: true },
    runtimeConfig: { mac: "02:00:00:00:00:01" },
    args: { cni: { ips: ["10.22.0.9"] } },
    ipam: { type: "host-local", subnet: "10.22.0.0/16" },
    dns: { nameservers: ["10.0.0.1"] },
    prevResult: { cniVersion: "1.0.0", ips: [{ address: "10.22.0.7/16" }] },
    bridge: "cni0",
  });
  await callPlugin(plugin, { command: "ADD", stdin, env: { CNI_ARGS: "IP=10.22.0.9;IgnoreUnknown=1" } });
  t.match(plugin.calls[0]?.request, {
    conf: {
      cniVersion: "1.0.0",
      name: "net-1",
      type: "tester",
      capabilities: { portMappings: true },
      runtimeConfig: { mac: "02:00:00:00:00:01" },
      args: { cni: { ips: ["10.22.0.9"] } },
      ipam: { type: "host-local", raw: { subnet: "10.22.0.0/16" } },
      dns: { nameservers: ["10.0.0.1"] },
      prevResult: { ips: [{ address: "10.22.0.7/16" }], interfaces: [], routes: [] },
      raw: { bridge: "cni0" },
    },
    attachment: {
      containerId: "container-1",
      ifName: "eth0",
      netns: "/run/netns/red",
      args: { IP: "10.22.0.9" },
      path: ["/nonexistent"],
    },
  });
});

t.test("an ipam without type is a network of layer 2", async (t) => {
  const plugin = recordingPlugin("tester", result);
  for (const ipam of [{}, { type: "" }, { type: null }, null]) {
    await callPlugin(plugin, { command: "ADD", stdin: conf("1.0.0", { ipam }) });
    const request = plugin.calls.at(-1)?.request as { conf: object };
    t.notOk("ipam" in request.conf, JSON.stringify(ipam));
  }
});

interface Refusal extends CallInput {
  readonly what: string;
  readonly code: number;
  readonly msg: RegExp;
}

const env = (values: Record<string, string>) => ({ env: values });

const REFUSALS: readonly Refusal[] = [
  {
    what: "no variables",
    code: 4,
    msg: /\[CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME\]/,
    ...env({ CNI_CONTAINERID: "", CNI_NETNS: "", CNI_IFNAME: "" }),
  },
  { what: "a wrong container", code: 4, msg: /CNI_CONTAINERID "a\/b"/, ...env({ CNI_CONTAINERID: "a/b" }) },
  { what: "a wrong interface", code: 4, msg: /CNI_IFNAME "a:b"/, ...env({ CNI_IFNAME: "a:b" }) },
  { what: "wrong arguments", code: 4, msg: /CNI_ARGS: "x"/, ...env({ CNI_ARGS: "x" }) },
  { what: "unknown arguments", code: 4, msg: /CNI_ARGS: unknown "x=1"/, ...env({ CNI_ARGS: "x=1" }) },
  { what: "a relative CNI_PATH", code: 4, msg: /CNI_PATH: "bin"/, ...env({ CNI_PATH: "bin" }) },
  { what: "an unknown command", code: 4, msg: /unknown CNI_COMMAND: "add"/, command: "add" },
  { what: "an inherited name as command", code: 4, msg: /unknown CNI_COMMAND: "toString"/, command: "toString" },
  { what: "no stdin", code: 6, msg: /unexpected end/, stdin: "" },
  { what: "an unknown command without stdin", code: 6, msg: /unexpected end/, command: "DANCE", stdin: "" },
  { what: "no JSON", code: 6, msg: /not a JSON document/, stdin: "hello" },
  { what: "no object", code: 6, msg: /not a JSON object/, stdin: "[]" },
  { what: "stdin of more than 1 MiB", code: 6, msg: /larger than/, stdin: " ".repeat(2 ** 20 + 1) },
  { what: "stdin that is not UTF-8", code: 6, msg: /UTF-8/, stdin: Uint8Array.of(0xff) },
  { what: "duplicate keys", code: 6, msg: /duplicate key "name"/, stdin: '{"name":"a","name":"b"}' },
  { what: "an unknown version", code: 1, msg: /"9\.9\.9".* 0\.1\.0.* 1\.1\.0/, stdin: conf("9.9.9") },
  {
    what: "a version that is no text",
    code: 7,
    msg: /cniVersion: 1 is not a string/,
    stdin: { ...conf("1.0.0"), cniVersion: 1 },
  },
  { what: "no name", code: 7, msg: /name is missing/, stdin: { cniVersion: "1.0.0", type: "t" } },
  { what: "an empty name", code: 7, msg: /name ""/, stdin: { cniVersion: "1.0.0", name: "", type: "t" } },
  { what: "a wrong name", code: 7, msg: /name "\.\.\/x"/, stdin: conf("1.0.0", { name: "../x" }) },
  { what: "no type", code: 7, msg: /type is missing/, stdin: { cniVersion: "1.0.0", name: "n" } },
  { what: "a path as type", code: 7, msg: /type: "a\/b" is not a plugin/, stdin: conf("1.0.0", { type: "a/b" }) },
  { what: "a path as ipam type", code: 7, msg: /ipam\.type: "\.\."/, stdin: conf("1.0.0", { ipam: { type: ".." } }) },
  {
    what: "an ipam that is no object",
    code: 7,
    msg: /ipam: "x" is not an object/,
    stdin: conf("1.0.0", { ipam: "x" }),
  },
  { what: "a wrong dns", code: 7, msg: /dns\.nameservers: "x"/, stdin: conf("1.0.0", { dns: { nameservers: "x" } }) },
  {
    what: "a wrong capability",
    code: 7,
    msg: /capabilities\.mac: 1/,
    stdin: conf("1.0.0", { capabilities: { mac: 1 } }),
  },
  { what: "a wrong runtimeConfig", code: 7, msg: /runtimeConfig: \[\]/, stdin: conf("1.0.0", { runtimeConfig: [] }) },
  { what: "a wrong prevResult", code: 7, msg: /prevResult\.ips/, stdin: conf("1.0.0", { prevResult: { ips: 5 } }) },
  {
    what: "CHECK without prevResult",
    code: 7,
    msg: /prevResult is missing/,
    command: "CHECK",
    stdin: conf("1.0.0", { prevResult: null }),
  },
  {
    what: "GC without CNI_PATH",
    code: 4,
    msg: /\[CNI_PATH\]/,
    command: "GC",
    stdin: conf("1.1.0"),
    ...env({ CNI_PATH: "" }),
  },
  {
    what: "GC with a wrong attachment",
    code: 7,
    msg: /attachments\[0\]\.containerID: "\.\.\/c"/,
    command: "GC",
    stdin: conf("1.1.0", { "cni.dev/attachments": [{ containerID: "../c", ifname: "eth0" }] }),
  },
  {
    what: "GC with half an attachment",
    code: 7,
    msg: /valid-attachments\[0\]\.ifname is missing/,
    command: "GC",
    stdin: conf("1.1.0", { "cni.dev/valid-attachments": [{ containerID: "c" }] }),
  },
];

for (const { what, code, msg, ...input } of REFUSALS) {
  t.test(`${what}: code ${code} as JSON on stdout, exit code 1, and the plugin is not called`, async (t) => {
    const plugin = recordingPlugin("tester", result, { knownArgs: ["IP"] });
    const called = await callPlugin(plugin, { command: "ADD", stdin: conf("1.0.0"), ...input });
    t.equal(called.exitCode, 1);
    t.match(called.answer, { cniVersion: /^\d+\.\d+\.\d+$/, code, msg });
    t.strictSame(plugin.calls, []);
  });
}

t.test("P2: GC takes the attachments of either key, and never none for an absent one", async (t) => {
  const [a, b] = [
    { containerID: "a", ifname: "eth0" },
    { containerID: "b", ifname: "eth0" },
  ];
  const rows: readonly [keys: object, expected: readonly string[] | undefined][] = [
    [{ "cni.dev/valid-attachments": [a] }, ["a"]],
    [{ "cni.dev/attachments": [a] }, ["a"]],
    [{ "cni.dev/valid-attachments": [a], "cni.dev/attachments": [a, b] }, ["a", "b"]],
    [{ "cni.dev/valid-attachments": [] }, []],
    [{}, undefined],
    [{ "cni.dev/valid-attachments": null, "cni.dev/attachments": null }, undefined],
  ];
  for (const [keys, expected] of rows) {
    const plugin = recordingPlugin("tester", result);
    const stdin = { cniVersion: "1.1.0", name: "n", type: "t", ...keys };
    const { answer } = await callPlugin(plugin, { command: "GC", stdin, env: { CNI_CONTAINERID: "" } });
    if (expected === undefined) {
      t.match(answer, { code: 7, msg: /cni\.dev\/valid-attachments is missing.* never means that all are stale/ });
      t.strictSame(plugin.calls, []);
      continue;
    }
    const request = plugin.calls[0]?.request as { validAttachments: { containerId: string }[] };
    t.strictSame(
      request.validAttachments.map((each) => each.containerId),
      expected,
    );
  }
});

t.test("VERSION echoes the version it was given and names ours, whatever else it was given", async (t) => {
  const plugin = recordingPlugin("tester", result);
  const rows: readonly [stdin: string, version: string][] = [
    ['{"cniVersion":"0.4.0"}', "0.4.0"],
    ['{"cniVersion":"9.9.9"}', "9.9.9"],
    ["{}", "1.1.0"],
    ["", "1.1.0"],
    ["garbage", "1.1.0"],
    ['{"cniVersion":"<script>"}', "1.1.0"],
    ['{"cniVersion":4}', "1.1.0"],
  ];
  for (const [stdin, cniVersion] of rows) {
    const { exitCode, answer } = await callPlugin(plugin, { command: "VERSION", stdin, env: { CNI_NETNS: "dummy" } });
    t.equal(exitCode, 0);
    t.strictSame(answer, { cniVersion, supportedVersions: VERSIONS }, stdin);
  }
});

t.test("VERSION at a terminal does not wait for input", async (t) => {
  const stdin = Object.assign(never(), { isTTY: true });
  const { answer } = await callPlugin(recordingPlugin("tester", result), { command: "VERSION" }, { stdin });
  t.equal(answer?.cniVersion, "1.1.0");
});

async function* never(): AsyncGenerator<Uint8Array> {
  await new Promise(() => {});
  yield Buffer.alloc(0);
}

t.test("without CNI_COMMAND it says on stderr what it is, and that is no failure", async (t) => {
  const called = await callPlugin(recordingPlugin("tester", result), {});
  t.equal(called.exitCode, 0);
  t.equal(called.stdout, "");
  t.match(called.stderr, /tester.*\n.*0\.1\.0, 0\.2\.0, 0\.3\.0, 0\.3\.1, 0\.4\.0, 1\.0\.0, 1\.1\.0/);
});

t.test("DEL goes on without namespace, and with a prevResult that nobody can read", async (t) => {
  const plugin = recordingPlugin("tester", result);
  const stdin = conf("1.0.0", { prevResult: { ips: "nonsense" } });
  const { exitCode, stdout, stderr } = await callPlugin(plugin, { command: "DEL", stdin, env: { CNI_NETNS: "" } });
  t.equal(exitCode, 0, stdout);
  t.match(JSON.parse(stderr), { level: "warn", plugin: "tester", msg: "prevResult ignored" }, "told in the log");
  t.match(plugin.calls, [{ verb: "DEL", request: { attachment: { netns: undefined } } }]);
});

t.test("a namespace that the check refuses stops ADD and CHECK, while DEL goes on without it", async (t) => {
  const checkNetns = () => {
    throw new CniError(Code.invalidNetns, "CNI_NETNS is our own");
  };
  for (const [command, exitCode] of [
    ["ADD", 1],
    ["CHECK", 1],
    ["DEL", 0],
  ] as const) {
    const plugin = recordingPlugin("tester", result);
    const called = await callPlugin(plugin, { command, stdin: conf("1.0.0") }, { checkNetns });
    t.equal(called.exitCode, exitCode, command);
    if (exitCode === 1) t.match(called.answer, { code: 8, msg: "CNI_NETNS is our own" });
    else t.match(plugin.calls, [{ verb: "DEL", request: { attachment: { netns: undefined } } }]);
  }
});

t.test("CNI_NETNS_OVERRIDE reaches the check", async (t) => {
  const seen: boolean[] = [];
  const checkNetns = (_: string, { allowOwn }: { allowOwn: boolean }) => void seen.push(allowOwn);
  for (const value of ["", "0", "1", "true", "True"]) {
    const plugin = recordingPlugin("tester", result);
    const input = { command: "ADD", stdin: conf("1.0.0"), env: { CNI_NETNS_OVERRIDE: value } };
    await callPlugin(plugin, input, { checkNetns });
  }
  t.strictSame(seen, [false, false, true, true, true]);
});

t.test("a result that the version cannot say is a failed ADD that is taken back", async (t) => {
  const plugin = recordingPlugin("tester", { ...EMPTY_RESULT, interfaces: [{ name: "eth0" }] });
  const { exitCode, answer } = await callPlugin(plugin, { command: "ADD", stdin: conf("0.2.0") });
  t.equal(exitCode, 1);
  t.match(answer, { cniVersion: "0.2.0", code: 1, msg: /cannot convert: no valid IP addresses/ });
  t.strictSame(
    plugin.calls.map((call) => call.verb),
    ["ADD", "DEL"],
  );
});

t.test("what a plugin throws is the answer", async (t) => {
  const cause = new Error("RTM_NEWLINK: no such device");
  const rows: readonly [thrown: unknown, answer: object][] = [
    [
      new CniError(7, "bridge: 5 is no name", { details: "more" }),
      { code: 7, msg: "bridge: 5 is no name", details: "more" },
    ],
    [new CniError(11, "later", { cause }), { code: 11, msg: "later", details: "RTM_NEWLINK: no such device" }],
    [new CniError(105, "special"), { code: 105, msg: "special" }],
    [new Error("surprise", { cause }), { code: 999, msg: "surprise", details: "RTM_NEWLINK: no such device" }],
    [new Error(""), { code: 999, msg: "Error" }],
    ["text", { code: 999, msg: "text" }],
    [undefined, { code: 999, msg: "undefined" }],
    [
      new AggregateError([new Error("one"), new CniError(5, "two")], "GC left 2 things"),
      { code: 5, msg: "GC left 2 things: one; two" },
    ],
    [
      Object.assign(new Error("release"), {
        name: "SuppressedError",
        error: new Error("b"),
        suppressed: new CniError(7, "a"),
      }),
      { code: 7, msg: "a" },
    ],
  ];
  for (const [thrown, expected] of rows) {
    const plugin = recordingPlugin("tester", () => {
      throw thrown;
    });
    const { exitCode, answer } = await callPlugin(plugin, { command: "ADD", stdin: conf("1.0.0") });
    t.equal(exitCode, 1);
    t.strictSame(answer, { cniVersion: "1.0.0", ...expected });
  }
});

t.test("stdin that cannot be read is code 5", async (t) => {
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield Buffer.from("{");
    throw new Error("EIO");
  }
  const { answer } = await callPlugin(recordingPlugin("tester", result), { command: "ADD" }, { stdin: broken() });
  t.match(answer, { code: 5, msg: "stdin cannot be read: EIO" });
});
