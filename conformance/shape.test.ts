import t from "tap";
import { errorProblems, resultProblems } from "./shape.ts";

const OLD = { cniVersion: "0.2.0", ip4: { ip: "10.1.0.5/16", gateway: "10.1.0.1", routes: [{ dst: "0.0.0.0/0" }] } };
const RICH = {
  cniVersion: "0.4.0",
  interfaces: [
    { name: "cni0", mac: "00:11:22:33:44:55" },
    { name: "eth0", mac: "00:11:22:33:44:66", sandbox: "/run/netns/a" },
  ],
  ips: [{ version: "6", address: "fd00::2/64", gateway: "fd00::1", interface: 1 }],
  routes: [{ dst: "::/0", gw: "fd00::1" }],
  dns: { nameservers: ["fd00::53"] },
};
const { version: _, ...ip } = RICH.ips[0] ?? {};
const NEW = {
  ...RICH,
  cniVersion: "1.1.0",
  interfaces: [{ name: "eth0", mtu: 1400, sandbox: "/run/netns/a" }],
  ips: [{ ...ip, interface: 0 }],
  routes: [{ dst: "::/0", mtu: 1400, priority: 5 }],
};

function told(
  answer: unknown,
  version: Parameters<typeof resultProblems>[1],
  kind: "interface" | "ipam" = "interface",
): string[] {
  return resultProblems(answer, version, kind).map(({ level, message }) => `${level}: ${message}`);
}

t.test("results as each version has them are right", async (t) => {
  t.strictSame(told(OLD, "0.2.0"), []);
  t.strictSame(told(RICH, "0.4.0"), []);
  t.strictSame(told(NEW, "1.1.0"), []);
  t.strictSame(told({ cniVersion: "1.0.0" }, "1.0.0"), [], "without interfaces, addresses and routes");
});

t.test("a result of another version's shape is not", async (t) => {
  t.strictSame(told(OLD, "1.0.0"), [
    "should: ip4 is no key of 1.0.0",
    'must: cniVersion is "0.2.0"; the configuration has "1.0.0"',
  ]);
  t.match(told({ ...RICH, cniVersion: "1.0.0" }, "1.0.0"), ["should: ips[0].version is no key of 1.0.0"]);
  t.match(told({ ...NEW, cniVersion: "1.0.0" }, "1.0.0"), [
    "should: interfaces[0].mtu is no key of 1.0.0",
    "should: routes[0].mtu is no key of 1.0.0",
    "should: routes[0].priority is no key of 1.0.0",
  ]);
  t.match(told({ ...NEW, cniVersion: "0.4.0" }, "0.4.0").join("\n"), /must: ips\[0\]\.version is missing/);
});

t.test("wrong values are named with their place", async (t) => {
  const wrong = { ...NEW, ips: [{ address: "fd00::2", interface: 4 }], routes: {}, interfaces: [{ mac: "x" }] };
  t.strictSame(told(wrong, "1.1.0"), [
    "must: interfaces[0].name is missing",
    'must: interfaces[0].mac: "x" is no mac',
    'must: ips[0].address: "fd00::2" is no cidr',
    "must: routes: {} is not a list",
    "must: ips[0].interface is 4, but there are 1 interfaces",
  ]);
  t.strictSame(told([], "1.1.0"), ["must: the result: [] is not an object"]);
});

t.test("an IPAM plugin's result has no interfaces", async (t) => {
  t.strictSame(told({ cniVersion: "1.1.0", ips: [{ address: "10.1.0.5/16" }] }, "1.1.0", "ipam"), []);
  t.strictSame(told({ cniVersion: "1.1.0", interfaces: [] }, "1.1.0", "ipam"), [
    "should: interfaces is no key of an IPAM plugin's result",
  ]);
});

t.test("an error needs a code and a message", async (t) => {
  t.strictSame(errorProblems({ code: 7, msg: "no", cniVersion: "1.0.0" }), []);
  for (const answer of [
    undefined,
    "no",
    [],
    { code: "7", msg: "no" },
    { code: -1, msg: "no" },
    { code: 7 },
    { code: 7, msg: "" },
  ]) {
    t.equal(errorProblems(answer).length, 1, JSON.stringify(answer));
  }
});
