import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { decodeConf as decodeNetConf } from "../../cni/conf.ts";
import { callPlugin } from "../../cni/testing.ts";
import { type DhcpConf, decodeConf } from "./conf.ts";
import { makeDhcpMachine } from "./machine.ts";
import { makeDhcp } from "./plugin.ts";

const NAME = { containerId: "c1", ifName: "eth0" };

function decode(ipam: object, args: Readonly<Record<string, string>> = {}, name = NAME): DhcpConf {
  const conf = { cniVersion: "1.0.0", name: "net", type: "bridge", ipam: { type: "dhcp", ...ipam } };
  return decodeConf(decodeNetConf(JSON.parse(JSON.stringify(conf)), "ADD"), name, args);
}

const texts = ({ client }: DhcpConf) =>
  Object.fromEntries([...client.provide].map(([code, value]) => [code, Buffer.from(value).toString()]));

t.test("the client's identifier is the reference plugin's, cut to 255 bytes, unless one is provided", async (t) => {
  const id = (conf: DhcpConf) => Buffer.from(conf.client.clientId).toString();
  t.equal(id(decode({})), "\0c1/net/eth0");
  t.equal(id(decode({}, {}, { ...NAME, containerId: "x".repeat(300) })), `\0${"x".repeat(254)}`);
  const own = decode({ provide: [{ option: "dhcp-client-identifier", value: "me" }] });
  t.equal(id(own), "me");
  t.strictSame(texts(own), {});
});

t.test("options are asked for and provided by name or number, by value or from CNI_ARGS", async (t) => {
  t.strictSame(decode({}).client.request, [3, 1]);
  const more = [{ option: "121" }, { option: "subnet-mask" }, { option: "" }];
  t.strictSame(decode({ request: more }).client.request, [121, 1, 3]);
  t.strictSame(decode({ request: [...more, { skipDefault: true }] }).client.request, [121, 1]);
  t.strictSame(decode({ request: [{ skipDefault: true }] }).client.request, []);
  const provide = [
    { option: "host-name", value: "node", fromArg: "K8S_POD_NAME" },
    { option: "vendor-class-identifier", value: "podwire" },
    { option: "77", fromArg: "CLASS" },
    { option: "60", value: "" },
  ];
  t.strictSame(texts(decode({ provide })), { 12: "node", 60: "podwire" });
  t.strictSame(texts(decode({ provide }, { K8S_POD_NAME: "web", CLASS: "a" })), { 12: "web", 60: "podwire", 77: "a" });
});

t.test("times are the reference daemon's flags", async (t) => {
  t.strictSame(decode({}).timing, { timeoutMs: 10_000, resendMaxMs: 62_000, limitMs: 100_000 });
  const timing = { timeout: "1m30s", resendmax: "1.5s", resendtimeout: "250ms" };
  t.strictSame(decode(timing).timing, { timeoutMs: 90_000, resendMaxMs: 1_500, limitMs: 250 });
  t.match(decode({ priority: 7, broadcast: true }), { priority: 7, client: { broadcast: true } });
});

t.test("every refusal names key, value and what to do; DEL and GC read nothing", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "podwire-dhcp-"));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const plugin = makeDhcp(makeDhcpMachine(join(folder, "leases")));
  const rows: readonly [ipam: object | undefined, msg: RegExp, args?: string][] = [
    [undefined, /^ipam is missing; give it the type "dhcp"/],
    [{ provide: {} }, /^ipam\.provide: \{\} is not an array/],
    [{ provide: [{ value: "x" }] }, /^ipam\.provide\[0\]\.option is missing/],
    [
      { provide: [{ option: "hostname" }] },
      /^ipam\.provide\[0\]\.option: "hostname" is no DHCP option; use a number in 1\.\.254/,
    ],
    [
      { provide: [{ option: "53", value: "x" }] },
      /^ipam\.provide\[0\]\.option: "53" is set by the protocol itself; leave/,
    ],
    [
      { provide: [{ option: "12", value: "x".repeat(256) }] },
      /^ipam\.provide\[0\]\.value: "x+\.\.\. is longer than the 255/,
    ],
    [{ request: [{ option: "255" }] }, /^ipam\.request\[0\]\.option: "255" is no DHCP option/],
    [{ request: [{ option: 3 }] }, /^ipam\.request\[0\]\.option: 3 is not a string/],
    [{ request: [{ skipDefault: "yes" }] }, /^ipam\.request\[0\]\.skipDefault: "yes" is not true or false/],
    [{ priority: -1 }, /^ipam\.priority: -1 is not an integer/],
    [{ timeout: 10 }, /^ipam\.timeout: 10 is not a string/],
    [{ resendtimeout: "10" }, /^ipam\.resendtimeout: "10" is no duration; write "10s"/],
  ];
  for (const [ipam, msg] of rows) {
    const keys = ipam === undefined ? {} : { ipam: { type: "dhcp", ...ipam } };
    const stdin = { cniVersion: "1.1.0", name: "net", type: "bridge", ...keys, "cni.dev/valid-attachments": [] };
    t.match(await callPlugin(plugin, { command: "ADD", stdin }), { exitCode: 1, answer: { code: 7, msg } });
    t.match(await callPlugin(plugin, { command: "STATUS", stdin }), { exitCode: 1, answer: { code: 7, msg } });
    for (const command of ["DEL", "GC"])
      t.match(await callPlugin(plugin, { command, stdin }), { exitCode: 0, stdout: "" });
  }
  const stdin = { cniVersion: "1.1.0", name: "net", type: "x", ipam: { provide: [{ option: "12", fromArg: "N" }] } };
  const long = await callPlugin(plugin, { command: "ADD", stdin, env: { CNI_ARGS: `N=${"x".repeat(256)}` } });
  t.match(long, { exitCode: 1, answer: { code: 4, msg: /^CNI_ARGS N: .* is longer than the 255 bytes/ } });
  t.strictSame(readdirSync(folder), [], "and nothing is made");
});
