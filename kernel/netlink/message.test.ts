import t from "tap";
import { errnoName } from "../ffi/system-error.ts";
import { isNetlinkError, NetlinkError } from "./error.ts";
import { Control, decodeMessages, decodeOutcome, encodeMessage, Flag } from "./message.ts";
import { readConsistently } from "./socket.ts";

t.test("messages follow each other in a datagram", async (t) => {
  const one = encodeMessage({ type: 16, flags: 5, sequence: 1 }, (to) => to.bytes(Uint8Array.of(1, 2, 3)));
  const two = encodeMessage({ type: 17, flags: 1, sequence: 2 }, () => {});
  t.equal(one.length, 20, "padded");
  const [first, second, ...rest] = decodeMessages(Buffer.concat([one, two]));
  t.match(first, { type: 16, flags: 5, sequence: 1, port: 0 });
  t.equal(first?.body.length, 3);
  t.match(second, { type: 17, sequence: 2 });
  t.strictSame(rest, []);
});

t.test("a message that says it is longer or shorter than it can be throws", async (t) => {
  t.throws(() => [...decodeMessages(Buffer.from("11000000100005000100000000000000", "hex"))], {
    name: "TruncatedError",
  });
  t.throws(() => [...decodeMessages(Buffer.from("00000000100005000100000000000000", "hex"))], {
    name: "TruncatedError",
  });
  t.strictSame([...decodeMessages(Buffer.from("100000", "hex"))], [], "less than a header is nothing");
});

// struct nlmsgerr by hand: NLMSG_ERROR with NETLINK_EXT_ACK, with NETLINK_CAP_ACK and without.
t.test("the outcome carries errno and the kernel's sentence", async (t) => {
  const text = Buffer.from("3a000100565800", "hex").subarray(4);
  const sentence = Buffer.concat([Buffer.from([4 + 3, 0, 1, 0]), text, Buffer.from([0])]);
  const errno = Buffer.from(Int32Array.of(-22).buffer);
  const header = Buffer.from("20000000100005000100000000000000", "hex");
  const base = { sequence: 1, port: 0, type: Control.error };
  const capped = { ...base, flags: Flag.capped | Flag.ackTlvs, body: Buffer.concat([errno, header, sentence]) };
  t.strictSame(decodeOutcome(capped), { errno: 22, extack: "VX" });
  const full = { ...base, flags: Flag.ackTlvs, body: Buffer.concat([errno, header, Buffer.alloc(16), sentence]) };
  t.strictSame(decodeOutcome(full), { errno: 22, extack: "VX" });
  t.strictSame(decodeOutcome({ ...base, flags: 0, body: Buffer.concat([errno, header]) }), { errno: 22 });
  t.strictSame(decodeOutcome({ ...base, type: Control.done, flags: 2, body: Buffer.alloc(0) }), { errno: 0 });
  t.strictSame(decodeOutcome({ ...base, type: Control.done, flags: 2, body: errno }), { errno: 22 });
  t.throws(() => decodeOutcome({ ...base, flags: Flag.ackTlvs, body: errno }), { name: "TruncatedError" });
});

t.test("an error says the request, the code and the sentence", async (t) => {
  const error = new NetlinkError(17, "RTM_NEWLINK vx0", "Device exists");
  t.equal(error.message, "RTM_NEWLINK vx0: EEXIST: Device exists");
  t.match(error, { errno: 17, code: "EEXIST", request: "RTM_NEWLINK vx0", extack: "Device exists" });
  t.ok(isNetlinkError(error, "ENODEV", "EEXIST"));
  t.notOk(isNetlinkError(error, "ENODEV"));
  t.notOk(isNetlinkError(new Error("EEXIST"), "EEXIST"));
  t.equal(errnoName(95), "EOPNOTSUPP");
  t.equal(errnoName(9999), "errno 9999");
});

t.test("a dump that a change interrupted is read again, but not for ever", async (t) => {
  const message = { type: 16, sequence: 1, port: 0, body: new Uint8Array() };
  const broken = [
    { ...message, flags: Flag.multi },
    { ...message, flags: Flag.multi | Flag.dumpInterrupted },
  ];
  const whole = [{ ...message, flags: Flag.multi }];
  const dumps = [broken, broken, whole, broken];
  t.equal(
    readConsistently(() => dumps.shift() ?? []),
    whole,
  );
  t.equal(dumps.length, 1);
  let reads = 0;
  const neverWhole = () => {
    reads++;
    return broken;
  };
  t.equal(readConsistently(neverWhole), broken);
  t.equal(reads, 20);
});
