import t from "tap";
import { parseNetwork } from "../net/prefix.ts";
import {
  BACKEND_TYPES,
  type Backend,
  backendName,
  backendNames,
  DEVICE_KINDS,
  factsOf,
  kernelOption,
  typesWith,
  wireOf,
} from "./backend.ts";
import { checkBackend, type UncheckedBackend } from "./check.ts";
import { clashOf, numbersApart } from "./clash.ts";
import { type BackendFacts, PROTOCOLS, type Wire } from "./facts.ts";
import { BACKENDS } from "./table.ts";
import { aboutBackends, modeWords, oneOf, portWords, tunnelWords, vniWords } from "./words.ts";

const V4 = [parseNetwork("10.244.0.0/16")];
const V6 = [parseNetwork("fd00:244::/48")];
const check = (source: Partial<Record<keyof UncheckedBackend, unknown>>, cidrs = V4): Backend =>
  checkBackend(source, cidrs);
const PLAIN = { vni: 0, port: 0, directRouting: false, mtu: 0 };

t.test("every mode and tunnel has a wire, and S6: every wire a port or a protocol that the guard knows", async (t) => {
  for (const [type, facts] of Object.entries<BackendFacts>(BACKENDS)) {
    const ways = facts.tunnels ?? (facts.modes.length > 0 ? facts.modes : ["any"]);
    const wires = Object.entries<Wire>(facts.wires);
    if (wires.length > 0) t.strictSame(wires.map(([way]) => way).toSorted(), ways.toSorted(), type);
    for (const [way, { port, protocol, inner, vni }] of wires) {
      t.not(port === undefined, protocol === undefined, `${type} ${way} has one of the two`);
      const over: readonly number[] = protocol === undefined ? facts.over : PROTOCOLS[protocol].families;
      t.strictSame(over, facts.over, `${type} ${way}: the guard looks at the families that it goes over`);
      t.ok(inner !== undefined || facts.nodeKeys || facts.maker === "openvswitch", `${type} ${way}: S7`);
      if (vni !== undefined) t.type(facts.vniName, "string", `${type} ${way}: its number has a name`);
    }
    if (facts.otherwise !== undefined) t.ok(factsOf(facts.otherwise), `${type}: ${facts.otherwise}`);
  }
});

t.test("what is not said gets its default, and what means nothing to a type is left out", async (t) => {
  const flow = { ...PLAIN, type: "vxlan", mode: "flow", vni: 1, port: 4790 };
  const rows: readonly [Parameters<typeof check>[0], object][] = [
    [{}, flow],
    [{ type: "", mode: "", tunnel: "", vni: 0, port: 0, mtu: 0 }, flow],
    [{ mode: "static" }, { ...flow, mode: "static", port: 8472 }],
    [
      { vni: 9, port: 53, directRouting: true, mtu: 1400 },
      { ...flow, vni: 9, port: 53, directRouting: true, mtu: 1400 },
    ],
    [
      { type: "gre", vni: 7, port: 4790 },
      { ...PLAIN, type: "gre", mode: "flow" },
    ],
    [
      { type: "gre", mode: "static" },
      { ...PLAIN, type: "gre", mode: "static", vni: 1 },
    ],
    [
      { type: "ipip", vni: 1 },
      { ...PLAIN, type: "ipip", mode: "flow" },
    ],
    [
      { type: "wireguard", mode: "flow", vni: 1 },
      { ...PLAIN, type: "wireguard", port: 51820 },
    ],
    [{ type: "ovs" }, { ...PLAIN, type: "ovs", mode: "flow", tunnel: "vxlan", vni: 1, port: 4789 }],
    [
      { type: "ovs", tunnel: "gre", mode: "both", port: 5 },
      { ...PLAIN, type: "ovs", mode: "both", tunnel: "gre", vni: 1 },
    ],
    [
      { type: "ovs", tunnel: "geneve" },
      { ...PLAIN, type: "ovs", mode: "flow", tunnel: "geneve", vni: 1, port: 6081 },
    ],
    [
      { type: "host-gw", mode: "flow", vni: 1 },
      { ...PLAIN, type: "host-gw" },
    ],
  ];
  for (const [source, checked] of rows) t.strictSame(check(source), checked, JSON.stringify(source));
  t.strictSame(check(check({ type: "ovs" })), check({ type: "ovs" }), "what was checked stays as it is");
});

t.test("S11: what cannot be is refused with the key, the value and what would be right", async (t) => {
  const rows: readonly [Parameters<typeof check>[0], string][] = [
    [{ type: "ipsec" }, `backend.type: "ipsec" is unknown; use ${oneOf(BACKEND_TYPES)}`],
    [{ type: "__proto__" }, `backend.type: "__proto__" is unknown; use ${oneOf(BACKEND_TYPES)}`],
    [{ type: 7 }, `backend.type: 7 is unknown; use ${oneOf(BACKEND_TYPES)}`],
    [{ mode: "both" }, 'backend.mode: "both" is unknown; use flow or static'],
    [{ type: "ovs", mode: "x" }, 'backend.mode: "x" is unknown; use flow, static or both'],
    [{ type: "ovs", tunnel: "stt" }, 'backend.tunnel: "stt" is unknown; use vxlan, gre or geneve'],
    [{ tunnel: "gre" }, 'backend.tunnel: "gre" is for type ovs, not vxlan'],
    [{ vni: 2 ** 24 }, "backend.vni: 16777216 is not a whole number in 1..16777215"],
    [{ vni: "1" }, 'backend.vni: "1" is not a whole number in 1..16777215'],
    [{ port: 1.5 }, "backend.port: 1.5 is not a whole number in 1..65535"],
    [{ mtu: 1 }, "backend.mtu: 1 is not a whole number in 576..65535 or 0, which has it computed"],
  ];
  for (const [source, message] of rows) t.throws(() => check(source), { name: "RangeError", message }, message);
  const message = 'backend.type: "ipip" carries IPv4 alone, and CIDR fd00:244::/48 is IPv6; use gre';
  t.throws(() => check({ type: "ipip" }, [...V4, ...V6]), { message });
});

t.test("what two networks of one node cannot share", async (t) => {
  const still = check({ mode: "static" });
  const rows: readonly [Backend, Backend, string | undefined][] = [
    [check({}), check({}), undefined],
    [check({ port: 8472 }), still, 'backend.port: 8472 serves network "a" in mode static; choose another port'],
    [
      check({ type: "ovs" }),
      check({ port: 4789 }),
      'backend.port: 4789 serves network "a", which is of type vxlan; choose another port',
    ],
    [
      check({ type: "ovs", tunnel: "geneve", port: 4789 }),
      check({ type: "ovs" }),
      'backend.port: 4789 serves network "a", which is of type ovs vxlan; choose another port',
    ],
    [check({ type: "ovs", mode: "both" }), check({ type: "ovs" }), undefined],
    [check({ type: "wireguard" }), check({ type: "wireguard" }), undefined],
    [check({ type: "gre" }), check({ type: "gre", mode: "static" }), undefined],
    [
      check({ type: "ipip" }),
      check({ type: "ipip", mode: "static" }),
      'backend.mode: "flow" is not that of network "a"; networks of type ipip share their tunnels, so use static',
    ],
  ];
  for (const [a, b, sentence] of rows) t.equal(clashOf(a, b, 'network "a"'), sentence, `${backendName(a)}`);

  const numbers: readonly [Backend, Backend, string | undefined][] = [
    [check({}), check({}), "packet"],
    [check({}), check({ port: 5000 }), undefined],
    [still, check({ mode: "static", port: 5000 }), "device"],
    [check({}), still, undefined],
    [check({ type: "gre" }), check({ type: "gre" }), undefined],
    [check({ type: "gre", mode: "static" }), check({ type: "gre", mode: "static" }), "device"],
    [check({ type: "ovs", mode: "both" }), check({ type: "ovs", port: 5000 }), "device"],
    [check({ type: "ovs" }), check({ type: "ovs", tunnel: "gre" }), undefined],
    [check({ type: "host-gw" }), check({ type: "host-gw" }), undefined],
  ];
  for (const [a, b, apart] of numbers) t.equal(numbersApart(a, b), apart, `${backendName(a)}, ${backendName(b)}`);
});

t.test("names, and words for help texts", async (t) => {
  const names = [...backendNames("kernel"), ...backendNames("openvswitch")];
  t.strictSame(
    ["vxlan/flow", "vxlan/static", "gre/static", "wireguard", "host-gw", "ovs/both"].filter(
      (each) => !names.includes(each),
    ),
    [],
  );
  t.notOk(names.includes("wireguard/flow"));
  t.notOk(typesWith("directRouting").includes("host-gw"));
  t.notOk(typesWith("port").includes("gre"), "though Open vSwitch may wrap GRE");
  t.equal(kernelOption("ip6gre"), "CONFIG_IPV6_GRE");
  t.ok(DEVICE_KINDS.has("ip6gre"));
  t.equal(backendName({ type: "host-gw", mode: "" }), "host-gw");
  t.equal(wireOf({ type: "token-ring", mode: "flow" }), undefined);
  t.equal(oneOf(["a"]), "a");
  t.equal(oneOf(["a", "b", "c"], "and"), "a, b and c");
  t.match(modeWords(), /^of vxlan, .* and ovs: flow \(.*\).* static \(.*\); of ovs also both \(.*\)$/);
  t.equal(tunnelWords(), "of ovs: vxlan, gre or geneve");
  t.match(vniWords(), /^network identifier of vxlan.* and ovs, key of gre in mode static/);
  t.match(portWords(), /4790 for vxlan flow, 8472 for vxlan static, .*51820 for wireguard, .*6081 for ovs geneve/);
  t.match(aboutBackends(), /^ {2}vxlan {6}VXLAN: .*\n(?:.*\n)* {2}gre {8}GRE /);
});
