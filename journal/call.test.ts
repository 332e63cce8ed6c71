import t from "tap";
import { type Call, decodeCall, encodeCall } from "./call.ts";
import { callNumber } from "./testdata/calls.ts";

t.test("a call is read as it was written", async (t) => {
  const failed: Call = {
    startedAt: 1,
    plugin: "bridge",
    verb: "GC",
    code: 11,
    message: "try again",
    phases: {},
    ms: 0,
  };
  for (const call of [callNumber(1), failed]) t.strictSame(decodeCall(encodeCall(call)), call);
  t.strictSame(decodeCall(encodeCall({ ...failed, network: undefined, pod: undefined, addresses: undefined })), failed);
});

t.test("times are kept to the microsecond", async (t) => {
  t.match(decodeCall(encodeCall(callNumber(1, { ms: 1.23456789, phases: { pod: 0.0004, ipam: 0.9996 } }))), {
    ms: 1.235,
    phases: { pod: 0, ipam: 1 },
  });
});

t.test("a usual call takes less than the 419 bytes of which 4 MiB hold 10,000", async (t) => {
  const phases = { queue: 0.012, decode: 0.101, netns: 0.204, ipam: 0.302, link: 1.101, pod: 0.402, rules: 0.822 };
  const text = encodeCall(
    callNumber(1234, { pod: { namespace: "kube-system", name: "coredns-5d78c9869d-x2x9z" }, phases }),
  );
  t.ok(text.length < 400, `${text.length} bytes`);
});

t.test("whatever a caller sends, the text stays short", async (t) => {
  const long = "\u0000\ud800".repeat(100_000);
  const text = encodeCall({
    ...callNumber(1),
    plugin: long,
    verb: long,
    network: long,
    containerId: long,
    ifName: long,
    pod: { namespace: long, name: long },
    message: long,
    addresses: Array.from({ length: 10_000 }, () => long),
  });
  t.ok(Buffer.byteLength(text) < 48 * 1024, `${Buffer.byteLength(text)} bytes`);
  t.match(decodeCall(text), { message: /^.{511}…$/s, verb: /^.{255}…$/s, addresses: { length: 16 } });
});

t.test("what is no call is none", async (t) => {
  const json = JSON.parse(encodeCall(callNumber(1)));
  for (const text of ["", "{", "null", "[]", "1", "{}"]) t.equal(decodeCall(text), undefined, text);
  for (const key of ["startedAt", "plugin", "verb", "code", "us"]) {
    t.equal(decodeCall(JSON.stringify({ ...json, [key]: undefined })), undefined, `without ${key}`);
    t.equal(decodeCall(JSON.stringify({ ...json, [key]: {} })), undefined, `${key} is an object`);
  }
  t.equal(decodeCall(JSON.stringify({ ...json, startedAt: 1e300 })), undefined, "a time that is none");
  t.equal(decodeCall(`{"us":1e999,${encodeCall(callNumber(1)).slice(1)}`)?.ms, 1.5, "the last of two keys counts");
});

t.test("of what is not as it should be, the rest is kept; keys of newer versions are ignored", async (t) => {
  const json = JSON.parse(encodeCall(callNumber(1)));
  const odd = {
    ...json,
    pod: { name: 1 },
    network: 7,
    phases: { ipam: "1", link: 2000, later: 3 },
    addresses: [1, "::1/128"],
  };
  t.strictSame(decodeCall(JSON.stringify({ ...odd, colour: "red" })), {
    startedAt: json.startedAt,
    plugin: "bridge",
    verb: "ADD",
    containerId: json.containerId,
    ifName: "eth0",
    code: 0,
    phases: { link: 2 },
    ms: 1.5,
    addresses: ["::1/128"],
  });
});
