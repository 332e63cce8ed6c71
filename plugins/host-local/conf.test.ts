import t from "tap";
import { addressesOf, withEachHost } from "./fixture.ts";

const V4 = { subnet: "10.22.0.0/24" };

withEachHost(t, "every refusal is code 7 with key, value and what to do, and makes no file", async (t, makeNetwork) => {
  const rows: readonly [ipam: object, message: RegExp, conf?: object][] = [
    [{}, /^ipam\.ranges: \[\] holds no range set; write/],
    [{ ranges: "10.22.0.0/24" }, /^ipam\.ranges: "10\.22\.0\.0\/24" is not an array/],
    [{ ranges: [V4] }, /^ipam\.ranges\[0\]: .*is not an array/],
    [{ ranges: [[]] }, /^ipam\.ranges\[0\]: \[\] holds no range; give it one/],
    [{ ranges: [[{}]] }, /^ipam\.ranges\[0\]\[0\]\.subnet is missing/],
    [
      { ranges: [[{ subnet: "10.22.0.0" }]] },
      /^ipam\.ranges\[0\]\[0\]\.subnet: "10\.22\.0\.0" is not an address with a prefix/,
    ],
    [
      { ranges: [[V4], [{ subnet: "10.22.0.7/24" }]] },
      /^ipam\.ranges\[1\]\[0\]\.subnet: "10\.22\.0\.7\/24" has host bits set; write/,
    ],
    [
      { ranges: [[{ ...V4, rangeStart: "10.22.0.300" }]] },
      /^ipam\.ranges\[0\]\[0\]\.rangeStart: "10\.22\.0\.300" is not an IP/,
    ],
    [
      { ranges: [[V4], [{ subnet: "10.22.0.0/16" }]] },
      /^ipam\.ranges\[1\]\[0\]: .* overlaps with 10\.22\.0\.1-10\.22\.0\.254; make/,
    ],
    [{ ranges: [[V4]], subnet: "10.22.0.0/25" }, /^ipam\.ranges\[0\]\[0\]: .* overlaps with/],
    [{ ranges: [[V4]] }, /^ipam\.ranges\[0\]\[0\]: .* overlaps with/, { runtimeConfig: { ipRanges: [[V4]] } }],
    [
      { ranges: [] },
      /^runtimeConfig\.ipRanges\[0\]\[0\]\.gateway: "fd00::9" is of another/,
      { runtimeConfig: { ipRanges: [[{ ...V4, gateway: "fd00::9" }]] } },
    ],
    [{ subnet: "10.22.0.0/31" }, /^ipam\.subnet: "10\.22\.0\.0\/31" is too small/],
    [
      { ranges: [[V4]], rangeStart: "10.22.0.9" },
      /^ipam\.rangeStart: "10\.22\.0\.9" means nothing without ipam\.subnet; add/,
    ],
    [
      { ranges: [[V4], [{ subnet: "10.23.0.0/24" }]] },
      /^ipam\.ranges\[1\]: "10\.23\.0\.0\/24" would be a second IPv4 address.*"0\.2\.0"/,
      { cniVersion: "0.2.0" },
    ],
    [
      { ranges: [[V4]], routes: [{ dst: "10.0.0.1/8" }] },
      /^ipam\.routes\[0\]\.dst: "10\.0\.0\.1\/8" has host bits set/,
    ],
    [{ ranges: [[V4]], routes: [{ dst: "0.0.0.0/0", mtu: -1 }] }, /^ipam\.routes\[0\]\.mtu: -1 is not an integer/],
    [{ ranges: [[V4]], dataDir: "var/lib" }, /^ipam\.dataDir: "var\/lib" is not an absolute path/],
    [{ ranges: [[V4]], dataDir: "/var/../etc" }, /^ipam\.dataDir: "\/var\/\.\.\/etc" is not an absolute path without/],
    [
      { ranges: [[V4]], resolvConf: "/nonexistent" },
      /^ipam\.resolvConf: "\/nonexistent" cannot be read: ENOENT.*; name a file/,
    ],
    [{ ranges: [[V4]] }, /^args\.cni\.ips\[1\]: "x" is not an IP/, { args: { cni: { ips: ["10.22.0.5", "x"] } } }],
    [
      { ranges: [[V4]] },
      /^runtimeConfig\.ips\[0\]: "10\.99\.0\.1" is in none of the ranges/,
      { runtimeConfig: { ips: ["10.99.0.1/24"] } },
    ],
  ];
  for (const [ipam, msg, conf = {}] of rows) {
    const net = makeNetwork(t, ipam);
    t.match(await net.ours("ADD", { conf }), { exitCode: 1, answer: { code: 7, msg } });
    t.strictSame(net.onDisk(), {});
  }
  const net = makeNetwork(t);
  t.match(await net.ours("ADD", { conf: { ipam: undefined } }), { exitCode: 0 }, "(the fixture's ipam stands)");
  t.match(await net.ours("ADD", { args: "IP=10.22.0.x" }), {
    exitCode: 1,
    answer: { code: 4, msg: /CNI_ARGS IP: "10\.22\.0\.x"/ },
  });
});

withEachHost(t, "runtimeConfig.ipRanges come first, then the old form, then ranges", async (t, makeNetwork) => {
  const net = makeNetwork(t, { subnet: "10.2.0.0/24", gateway: "", ranges: [[{ subnet: "10.3.0.0/24" }]] });
  const { answer } = await net.ours("ADD", { conf: { runtimeConfig: { ipRanges: [[{ subnet: "10.1.0.0/24" }]] } } });
  t.strictSame(answer?.ips, [
    { address: "10.1.0.2/24", gateway: "10.1.0.1" },
    { address: "10.2.0.2/24", gateway: "10.2.0.1" },
    { address: "10.3.0.2/24", gateway: "10.3.0.1" },
  ]);
});

withEachHost(t, "addresses are asked for by CNI_ARGS, args and runtimeConfig together", async (t, makeNetwork) => {
  const net = makeNetwork(t, {
    ranges: ["10.1.0.0/24", "10.2.0.0/24", "10.3.0.0/24", "10.4.0.0/24"].map((subnet) => [{ subnet }]),
  });
  const added = await net.ours("ADD", {
    args: "IgnoreUnknown=1;K8S_POD_NAME=web;IP=10.2.0.22",
    conf: { args: { cni: { ips: ["10.1.0.11"] } }, runtimeConfig: { ips: ["10.4.0.44/8"] } },
  });
  t.strictSame(addressesOf(added), ["10.1.0.11/24", "10.2.0.22/24", "10.3.0.2/24", "10.4.0.44/24"]);
});
