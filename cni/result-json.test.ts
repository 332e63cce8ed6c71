import { readFileSync } from "node:fs";
import t from "tap";
import { parseAddress } from "../net/address.ts";
import { parsePrefix } from "../net/prefix.ts";
import type { Result } from "./result.ts";
import { decodeResult, encodeResult } from "./result-json.ts";
import { atLeast, VERSIONS, type Version } from "./version.ts";

const golden = (name: string, version: Version): unknown =>
  JSON.parse(readFileSync(new URL(`testdata/result-${name}.${version}.json`, import.meta.url), "utf8"));

/** Everything that the newest version can say. */
const dualStack: Result = {
  interfaces: [
    { name: "cni0", mac: "0a:58:0a:16:00:01", mtu: 1450 },
    { name: "pw0123456789ab", mac: "0a:58:0a:16:00:02", mtu: 1450 },
    {
      name: "eth0",
      mac: "0a:58:0a:16:00:05",
      sandbox: "/run/netns/red",
      mtu: 1450,
      socketPath: "/run/vhost.sock",
      pciID: "0000:00:1f.6",
    },
  ],
  ips: [
    { address: parsePrefix("10.22.0.5/16"), gateway: parseAddress("10.22.0.1"), interface: 2 },
    { address: parsePrefix("fd00:22::5/64"), gateway: parseAddress("fd00:22::1"), interface: 2 },
    { address: parsePrefix("10.23.0.5/16"), gateway: parseAddress("10.23.0.1"), interface: 2 },
  ],
  routes: [
    {
      dst: parsePrefix("0.0.0.0/0"),
      gw: parseAddress("10.22.0.1"),
      mtu: 1450,
      advmss: 1410,
      priority: 100,
      table: 254,
      scope: 0,
    },
    { dst: parsePrefix("192.0.2.0/24"), scope: 253 },
    { dst: parsePrefix("::/0"), gw: parseAddress("fd00:22::1") },
  ],
  dns: {
    nameservers: ["10.96.0.10", "fd00:96::a"],
    domain: "cluster.local",
    search: ["svc.cluster.local"],
    options: ["ndots:5"],
  },
};

const layer2: Result = {
  interfaces: [{ name: "eth0", mac: "0a:58:0a:16:00:05", sandbox: "/run/netns/red" }],
  ips: [],
  routes: [],
  dns: {},
};

const ipam: Result = {
  interfaces: [],
  ips: [{ address: parsePrefix("10.22.0.5/16"), gateway: parseAddress("10.22.0.1") }],
  routes: [{ dst: parsePrefix("0.0.0.0/0") }],
};

for (const version of VERSIONS) {
  t.test(`P17: a result of ${version} is exactly its golden file, order of keys included`, async (t) => {
    t.equal(JSON.stringify(encodeResult(dualStack, version)), JSON.stringify(golden("dual-stack", version)));
    t.equal(JSON.stringify(encodeResult(ipam, version)), JSON.stringify(golden("ipam", version)));
    if (!atLeast(version, "0.3.0")) {
      t.throws(() => encodeResult(layer2, version), { code: 1, message: /cannot convert: no valid IP addresses/ });
      return;
    }
    t.equal(JSON.stringify(encodeResult(layer2, version)), JSON.stringify(golden("layer2", version)));
  });

  t.test(`what ${version} says is read back, and nothing is lost on the way through the newest`, async (t) => {
    for (const name of ["dual-stack", "ipam"]) {
      const file = golden(name, version);
      const read = decodeResult(file, "1.1.0");
      t.strictSame(encodeResult(read, version), file, `${name}: there and back`);
      const throughNewest = decodeResult(encodeResult(read, "1.1.0"), "0.1.0");
      t.strictSame(encodeResult(throughNewest, version), file, `${name}: by way of 1.1.0`);
    }
  });
}

t.test("the newest golden file reads as the very result", async (t) => {
  t.strictSame(decodeResult(golden("dual-stack", "1.1.0"), "0.1.0"), dualStack);
  t.strictSame(decodeResult(golden("ipam", "0.2.0"), "1.0.0"), ipam);
});

t.test("a result without cniVersion has the configuration's", async (t) => {
  const old = { ip4: { ip: "10.22.0.5/16" } };
  t.strictSame(decodeResult(old, "0.2.0").ips, [{ address: "10.22.0.5/16" }]);
  t.strictSame(decodeResult({ ...old, cniVersion: "" }, "0.2.0").ips, [{ address: "10.22.0.5/16" }]);
  t.strictSame(decodeResult(old, "1.0.0").ips, [], "which has no ip4");
});

t.test("what other plugins write is understood", async (t) => {
  const read = decodeResult(
    {
      cniVersion: "0.4.0",
      interfaces: null,
      ips: [
        { version: "4", address: "10.0.0.2/24", gateway: "", interface: -1 },
        { version: "6", address: "FD00:0::2/64", gateway: null },
      ],
      routes: [{ dst: "10.1.2.3/8", gw: "" }],
      dns: { domain: "" },
      "vendor.example/extra": { anything: [1] },
    },
    "1.0.0",
  );
  t.strictSame(read, {
    interfaces: [],
    ips: [{ address: "10.0.0.2/24" }, { address: "fd00::2/64" }],
    routes: [{ dst: "10.1.2.3/8" }],
    dns: {},
  });
});

t.test("a wrong result is refused with the path and the value", async (t) => {
  const rows: readonly [value: unknown, code: number, message: string | RegExp][] = [
    [5, 7, "prevResult: 5 is not an object"],
    [{ cniVersion: "2.0.0" }, 1, /"2.0.0" is not supported/],
    [{ ips: {} }, 7, "prevResult.ips: {} is not an array"],
    [{ ips: [{}] }, 7, "prevResult.ips[0].address is missing"],
    [{ ips: [{ address: "10.0.0.2" }] }, 7, /^prevResult\.ips\[0\]\.address: "10\.0\.0\.2" is not/],
    [{ ips: [{ address: "10.0.0.2/24", gateway: "x" }] }, 7, 'prevResult.ips[0].gateway: "x" is not an IP address'],
    [{ ips: [{ address: "10.0.0.2/24", interface: 1.5 }] }, 7, /^prevResult\.ips\[0\]\.interface: 1\.5 is not an int/],
    [{ routes: [{ gw: "10.0.0.1" }] }, 7, "prevResult.routes[0].dst is missing"],
    [{ interfaces: [{ mac: "" }] }, 7, "prevResult.interfaces[0].name is missing"],
    [{ cniVersion: "0.2.0", ip4: { ip: "nowhere" } }, 7, /^prevResult\.ip4\.ip: "nowhere" is not/],
  ];
  for (const [value, code, message] of rows) {
    t.throws(() => decodeResult(value, "1.0.0", "prevResult"), { code, message }, JSON.stringify(value));
  }
});
