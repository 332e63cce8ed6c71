import t from "tap";
import * as d from "./decode.ts";
import { parseJson } from "./json.ts";

const conf = d.object({
  bridge: d.optional(d.string, "cni0"),
  mtu: d.optional(d.integer(0, 65535)),
  mode: d.optional(d.oneOf("flow", "static")),
  ranges: d.optional(d.array(d.array(d.object({ subnet: d.network, gateway: d.optional(d.address) }))), []),
  isGateway: d.optional(d.boolean, false),
  labels: d.optional(d.record(d.string)),
});

t.test("a configuration is decoded; absent and null keys take the default or stay absent", async (t) => {
  t.strictSame(conf({}, ""), { bridge: "cni0", ranges: [], isGateway: false });
  t.strictSame(conf({ bridge: null, mtu: null }, ""), { bridge: "cni0", ranges: [], isGateway: false });
  const decoded = conf(
    { bridge: "b", mtu: 1450, mode: "flow", ranges: [[{ subnet: "FD00::/64" }]], labels: { a: "b" }, other: 1 },
    "",
  );
  t.match(decoded, { bridge: "b", mtu: 1450, mode: "flow", ranges: [[{ subnet: "fd00::/64" }]], labels: { a: "b" } });
  t.notOk("other" in decoded, "unknown keys are ignored");
});

t.test("a wrong value is code 7 with its path and itself", async (t) => {
  const rows: readonly [value: unknown, message: string][] = [
    [[], "ipam: [] is not an object"],
    [null, "ipam: null is not an object"],
    [{ bridge: 5 }, "ipam.bridge: 5 is not a string"],
    [{ mtu: 70000 }, "ipam.mtu: 70000 is not an integer in 0..65535"],
    [{ mtu: 1.5 }, "ipam.mtu: 1.5 is not an integer in 0..65535"],
    [{ mtu: "1450" }, 'ipam.mtu: "1450" is not an integer in 0..65535'],
    [{ mode: "gre" }, 'ipam.mode: "gre" is not one of "flow", "static"'],
    [{ isGateway: "true" }, 'ipam.isGateway: "true" is not true or false'],
    [
      { ranges: [[{ subnet: "10.0.0.1/8" }]] },
      'ipam.ranges[0][0].subnet: "10.0.0.1/8" has host bits set; the network is 10.0.0.0/8',
    ],
    [{ ranges: [[{ subnet: "10.0.0.0/8", gateway: "x" }]] }, 'ipam.ranges[0][0].gateway: "x" is not an IP address'],
    [{ ranges: [[], [{}]] }, "ipam.ranges[1][0].subnet is missing"],
    [{ labels: { a: 1 } }, "ipam.labels.a: 1 is not a string"],
  ];
  for (const [value, message] of rows) t.throws(() => conf(value, "ipam"), { code: 7, message }, message);
  t.throws(() => d.string("x".repeat(500).split(""), "k"), { message: /^k: \["x".{100,120}\.\.\. is not a string$/ });
});

t.test("a strict object refuses other keys with code 2, naming key and value", async (t) => {
  const strict = d.object({ a: d.optional(d.number) }, { strict: true });
  t.strictSame(strict({ a: 1 }, ""), { a: 1 });
  t.throws(() => strict({ a: 1, b: "x" }, "peer"), { code: 2, message: 'peer.b: "x" is not a known key' });
});

t.test("S2: keys with a meaning to JavaScript are neither found by accident nor let in", async (t) => {
  const decoder = d.object({ constructor: d.optional(d.string), toString: d.optional(d.string) });
  t.strictSame(Object.keys(decoder({}, "")), [], "inherited names are absent");
  const hostile = parseJson('{"labels":{"__proto__":"x","constructor":"y"}}');
  const { labels } = conf(hostile, "");
  t.equal(Object.getPrototypeOf(labels), null);
  t.strictSame(Object.keys(labels ?? {}), ["__proto__", "constructor"]);
  t.equal(({} as { x?: string }).x, undefined);
});

t.test("MAC addresses and prefixes come out canonical", async (t) => {
  t.equal(d.mac("0A-58-0A-16-00-02", "mac"), "0a:58:0a:16:00:02");
  t.equal(d.prefix("FD00:0::2/64", "address"), "fd00::2/64");
  t.throws(() => d.mac("0a:58", "mac"), { code: 7, message: 'mac: "0a:58" is not a MAC address' });
});
