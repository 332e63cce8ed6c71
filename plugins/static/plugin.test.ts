import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import t from "tap";
import { type CallInput, callPlugin } from "../../cni/testing.ts";
import { atLeast, VERSIONS } from "../../cni/version.ts";
import { staticPlugin } from "./plugin.ts";

/** The peer, from Debian's containernetworking-plugins. */
const REFERENCE = "/usr/lib/cni/static";
const skip = existsSync(REFERENCE) ? {} : { skip: "containernetworking-plugins is not installed" };

const DUAL = {
  addresses: [{ address: "10.10.0.1/24", gateway: "10.10.0.254" }, { address: "3ffe:ffff:0:01ff::1/64" }],
  routes: [{ dst: "0.0.0.0/0" }, { dst: "192.168.0.0/16", gw: "10.10.5.1" }, { dst: "3ffe:ffff:0:01ff::1/64" }],
  dns: { nameservers: ["8.8.8.8"], domain: "example.com", search: ["example.com"], options: ["ndots:5"] },
};

interface Call {
  readonly ipam?: unknown;
  readonly conf?: object;
  readonly args?: string;
}

function input(command: string, { ipam, conf, args = "" }: Call): CallInput & { readonly stdin: object } {
  const keys = ipam === undefined ? {} : { ipam: { type: "static", ...(ipam as object) } };
  return {
    command,
    stdin: { cniVersion: "1.0.0", name: "net", type: "bridge", ...keys, ...conf },
    env: { CNI_ARGS: args, CNI_COMMAND: command },
  };
}

const ours = (command: string, call: Call) => callPlugin(staticPlugin, input(command, call));

function theirs(command: string, call: Call): { exitCode: number | null; answer: Record<string, unknown> | undefined } {
  const { stdin, env = {} } = input(command, call);
  const full = {
    CNI_CONTAINERID: "c1",
    CNI_NETNS: "/var/run/netns/none",
    CNI_IFNAME: "eth0",
    CNI_PATH: "/none",
    ...env,
  };
  const run = spawnSync(REFERENCE, { input: JSON.stringify(stdin), env: full, encoding: "utf8" });
  return { exitCode: run.status, answer: run.stdout === "" ? undefined : JSON.parse(run.stdout) };
}

t.test(
  "ADD answers as the reference plugin does, in every version, whoever asks for the addresses",
  skip,
  async (t) => {
    const single = { addresses: [{ address: "10.10.0.7/24", gateway: "10.10.0.254" }], routes: [{ dst: "0.0.0.0/0" }] };
    const runtimeConfig = { ips: ["10.4.0.4/16", "fd00:4::4/64"] };
    const cni = { ips: ["10.3.0.3/24"] };
    const calls: readonly Call[] = [
      { ipam: DUAL },
      { ipam: { addresses: [{ address: "10.1.0.1/16", gateway: "" }] } },
      { ipam: {}, args: "IP=10.10.0.1/24, 10.11.0.1/24,fd00::5/64;GATEWAY=10.10.0.254,fd00::1" },
      { ipam: single, args: "IgnoreUnknown=1;X=y;K8S_POD_NAME=web;IP=10.11.0.1/24;GATEWAY=10.11.0.254" },
      { ipam: single, args: "IP=10.11.0.1/24;GATEWAY=10.10.0.9" },
      { ipam: single, args: "IP=10.11.0.1/24;GATEWAY=10.11.0.253,10.11.0.254" },
      { ipam: single, args: "IP=fd00::9/64;GATEWAY=" },
      { ipam: single, args: "IP=;GATEWAY=10.10.0.9" },
      { ipam: single, conf: { args: { cni } } },
      { ipam: single, conf: { args: { cni: { ips: [] } } } },
      { ipam: single, conf: { runtimeConfig } },
      { ipam: single, conf: { runtimeConfig, args: { cni } }, args: "IP=10.2.0.2/24" },
      { ipam: { ...single, dns: null, routes: null } },
      { ipam: {} },
    ];
    for (const call of calls) {
      for (const cniVersion of VERSIONS.filter((version) => version !== "1.1.0")) {
        const versioned = { ...call, conf: { ...call.conf, cniVersion } };
        const [left, right] = [await ours("ADD", versioned), theirs("ADD", versioned)];
        const what = `${cniVersion} ${JSON.stringify(call)}`;
        t.equal(left.exitCode === 0, right.exitCode === 0, `${what}: ${right.answer?.msg}`);
        if (right.exitCode === 0) t.strictSame({ dns: {}, ...left.answer }, { dns: {}, ...right.answer }, what);
      }
    }
  },
);

t.test("1.1.0 answers all that a route can say, older versions what they know", async (t) => {
  const routes = [{ dst: "10.0.0.0/8", gw: "10.10.0.7", mtu: 1400, advmss: 1360, priority: 5, table: 100, scope: 0 }];
  for (const cniVersion of VERSIONS.filter((version) => atLeast(version, "0.3.0"))) {
    const { answer } = await ours("ADD", {
      ipam: { addresses: [{ address: "10.10.0.1/24" }], routes },
      conf: { cniVersion },
    });
    t.strictSame(answer?.routes, cniVersion === "1.1.0" ? routes : [{ dst: "10.0.0.0/8", gw: "10.10.0.7" }]);
  }
});

const ADDRESS = { address: "10.10.0.1/24" };

/** What is refused by both, or by ours alone; the message says key, value and what is wrong. */
const REFUSED: readonly [call: Call, code: number, msg: RegExp, alone?: "ours alone"][] = [
  [{}, 7, /^ipam is missing; give it type and addresses/],
  [{ ipam: { addresses: "10.10.0.1/24" } }, 7, /^ipam\.addresses: "10\.10\.0\.1\/24" is not an array/],
  [{ ipam: { addresses: [{}] } }, 7, /^ipam\.addresses\[0\]\.address is missing/],
  [{ ipam: { addresses: [ADDRESS, { address: "10.10.0.300/24" }] } }, 7, /^ipam\.addresses\[1\]\.address: .*300/],
  [
    { ipam: { addresses: [{ address: "10.10.0.1" }] } },
    7,
    /^ipam\.addresses\[0\]\.address: .*with a prefix length such/,
  ],
  [{ ipam: { addresses: [{ address: "10.10.0.1/33" }] } }, 7, /^ipam\.addresses\[0\]\.address: .*outside 0\.\.32/],
  [{ ipam: { addresses: [{ ...ADDRESS, gateway: "x" }] } }, 7, /^ipam\.addresses\[0\]\.gateway: "x" is not an IP/],
  [
    { ipam: { addresses: [{ ...ADDRESS, gateway: "fd00::1" }] } },
    7,
    /^ipam\.addresses\[0\]\.gateway: "fd00::1" is of another family than "10\.10\.0\.1\/24"; name one of IPv4/,
    "ours alone",
  ],
  [{ ipam: { addresses: [ADDRESS], routes: [{ dst: "default" }] } }, 7, /^ipam\.routes\[0\]\.dst: "default"/],
  [{ ipam: { addresses: [ADDRESS], routes: [{ dst: "0.0.0.0/0", gw: "a" }] } }, 7, /^ipam\.routes\[0\]\.gw: "a"/],
  [
    { ipam: { addresses: [ADDRESS], routes: [{ dst: "0.0.0.0/0", mtu: -1 }] } },
    7,
    /^ipam\.routes\[0\]\.mtu: -1 is not an integer in/,
    "ours alone", // Debian's does not know the key yet
  ],
  [
    { ipam: { addresses: [ADDRESS], dns: { nameservers: "8.8.8.8" } } },
    7,
    /^ipam\.dns\.nameservers: "8\.8\.8\.8" is not/,
  ],
  [
    { ipam: { addresses: [ADDRESS, { address: "10.11.0.1/24" }] }, conf: { cniVersion: "0.2.0" } },
    7,
    /^ipam\.addresses\[1\]\.address: "10\.11\.0\.1\/24" would be a second IPv4 address.*"0\.2\.0".*use "0\.3\.0" or newer/,
  ],
  [{ ipam: {}, conf: { cniVersion: "0.2.0" } }, 1, /no valid IP addresses/],
  [{ ipam: {}, conf: { args: { cni: { ips: ["10.0.0.1"] } } } }, 7, /^args\.cni\.ips\[0\]: "10\.0\.0\.1" is not/],
  [{ ipam: {}, conf: { runtimeConfig: { ips: ["fd00::1/129"] } } }, 7, /^runtimeConfig\.ips\[0\]: "fd00::1\/129"/],
  [{ ipam: {}, args: "IP=10.0.0.1" }, 4, /^CNI_ARGS IP: "10\.0\.0\.1" cannot be used: .*with a prefix length such as/],
  [{ ipam: {}, args: "IP=10.0.0.1/24,,fd00::1/64" }, 4, /^CNI_ARGS IP: "10\.0\.0\.1\/24,,fd00::1\/64" cannot be used/],
  [{ ipam: {}, args: "IP=10.0.0.1/24;GATEWAY=10.0.0.x" }, 4, /^CNI_ARGS GATEWAY: "10\.0\.0\.x" holds "10\.0\.0\.x"/],
  [{ ipam: {}, args: "IP=10.0.0.1/24;X=y" }, 4, /unknown "X=y"; set IgnoreUnknown=1/],
];

for (const [call, code, msg, alone] of REFUSED) {
  t.test(`refused with code ${code}: ${JSON.stringify(call)}`, async (t) => {
    const refusal = await ours("ADD", call);
    t.match(refusal, { exitCode: 1, answer: { code, msg } });
    if (skip.skip === undefined)
      t.equal(theirs("ADD", call).exitCode === 0, alone !== undefined, "the reference plugin");
    t.match(await ours("DEL", call), { exitCode: 0, stdout: "" }, "DEL reads nothing");
    if (call.args !== undefined || call.conf !== undefined) return;
    const status = await ours("STATUS", { ...call, conf: { cniVersion: "1.1.0" } });
    t.match(status, { exitCode: 1, answer: { code, msg } }, "STATUS says the same");
  });
}

t.test("CHECK wants every address of the configuration in prevResult, with its gateway", async (t) => {
  const check = (ips: unknown, call: Call = { ipam: DUAL }) =>
    ours("CHECK", { ...call, conf: { ...call.conf, prevResult: { cniVersion: "1.0.0", ips } } });
  const [v4, v6] = [
    { address: "10.10.0.1/24", gateway: "10.10.0.254" },
    { address: "3ffe:ffff:0:1ff::1/64", gateway: "3ffe:ffff:0:1ff::9" },
  ];
  t.match(await check([v6, v4, { address: "10.99.0.1/24" }]), { exitCode: 0, stdout: "" }, "more is no fault");
  t.match(await check([v6]), {
    answer: { code: 100, msg: /^10\.10\.0\.1\/24 of the configuration is not in prevResult/ },
  });
  t.match(await check([v6, { ...v4, gateway: "10.10.0.9" }]), {
    answer: { code: 100, msg: /^10\.10\.0\.1\/24 has the gateway 10\.10\.0\.9 in prevResult\.ips, and 10\.10\.0\.254/ },
  });
  t.match(await check([v4], { ipam: DUAL, args: "IP=10.10.0.77/24" }), {
    answer: { code: 100, msg: /not in prevResult/ },
  });
  t.match(await ours("CHECK", { ipam: DUAL }), { answer: { code: 7, msg: /prevResult is missing/ } });
});

t.test("P1: STATUS and GC answer", async (t) => {
  const conf = { cniVersion: "1.1.0", "cni.dev/valid-attachments": [] };
  for (const command of ["STATUS", "GC"])
    t.match(await ours(command, { ipam: DUAL, conf }), { exitCode: 0, stdout: "" });
});
