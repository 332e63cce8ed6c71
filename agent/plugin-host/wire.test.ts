import t from "tap";
import { LARGEST_DOCUMENT } from "../../cni/json.ts";
import { decodeRequest, encodeAnswer, encodeRequest, FrameReader, WireError } from "./wire.ts";

const REQUEST = {
  plugin: "bridge",
  env: { CNI_COMMAND: "ADD", CNI_ARGS: "A=1;B=2", CNI_PATH: "" },
  stdin: Buffer.from('{"name":"a\0b"}'),
};

t.test("a request arrives as it was sent, in whatever pieces", async (t) => {
  const frame = Buffer.from(encodeRequest(REQUEST));
  for (const size of [1, 2, 3, 5, 7, frame.length]) {
    const reader = new FrameReader();
    const contents: Uint8Array[] = [];
    for (let at = 0; at < frame.length; at += size) {
      const content = reader.push(frame.subarray(at, at + size));
      if (content !== undefined) contents.push(content);
    }
    t.equal(contents.length, 1);
    t.same(decodeRequest(contents[0] ?? Buffer.of()), REQUEST, `pieces of ${size}`);
  }
});

t.test("S: what is no request is refused and not guessed at", async (t) => {
  const content = Buffer.from(encodeRequest(REQUEST)).subarray(4);
  const text = (strings: readonly string[]) => Buffer.from(strings.map((each) => `${each}\0`).join(""));
  for (let length = 0; length < content.indexOf("\0\0"); length += 3) {
    t.throws(() => decodeRequest(content.subarray(0, length)), WireError, `cut after ${length}`);
  }
  t.throws(() => decodeRequest(text(["podwire 2", "bridge", ""])), /version "podwire 2"/);
  t.throws(() => decodeRequest(text(["podwire 1", ""])), /names no plugin/);
  t.throws(() => decodeRequest(text(["podwire 1", "bridge", "=x", ""])), /no environment variable/);
  t.throws(() => decodeRequest(text(["podwire 1", "bridge", "CNI_COMMAND", ""])), /no environment variable/);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(LARGEST_DOCUMENT + 65_537);
  t.throws(() => new FrameReader().push(length), /more than/);
  const frame = encodeRequest(REQUEST);
  t.throws(() => new FrameReader().push(Buffer.concat([frame, Buffer.of(0)])), /after the end/);
});

t.test("keys of the environment are data, whatever they are called", async (t) => {
  const { env } = decodeRequest(Buffer.from(encodeRequest({ ...REQUEST, env: { __proto__x: "1" } })).subarray(4));
  t.same(env, { __proto__x: "1" });
  const hostile = Buffer.from("podwire 1\0bridge\0__proto__=CNI\0\0");
  t.same(Object.keys(decodeRequest(hostile).env), ["__proto__"], "an own key, and no prototype");
  t.same(decodeRequest(Buffer.from("podwire 1\0bridge\0CNI_A=1\0CNI_A=2\0\0")).env, { CNI_A: "1" }, "as getenv(3)");
});

t.test("an answer is code, length of stdout, stdout, stderr", async (t) => {
  const frame = Buffer.from(encodeAnswer({ exitCode: 1, stdout: "é\n", stderr: "log" }));
  t.same([...frame], [11, 0, 0, 0, 1, 3, 0, 0, 0, ...Buffer.from("é\nlog")]);
});
