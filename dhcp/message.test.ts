import t from "tap";
import { parseAddress } from "../net/address.ts";
import { parseMac } from "../net/mac.ts";
import { decodeDatagram, encodeDatagram } from "./datagram.ts";
import { ANY, type DhcpMessage, decodeMessage, encodeMessage, MessageType, Option, typeOf } from "./message.ts";
import { discover } from "./request.ts";
import { readTerms } from "./terms.ts";
import { ACK, bytesOf, OFFER, REFERENCE_DISCOVER, REFERENCE_REQUEST } from "./testdata/exchange.ts";

const RED = parseMac("96:f0:e5:8c:36:4a");

function captured(packet: string): DhcpMessage {
  const datagram = decodeDatagram(bytesOf(packet));
  if (datagram === undefined) throw new Error("no datagram");
  return decodeMessage(datagram.payload);
}

t.test("captured packets are read", async (t) => {
  t.match(decodeDatagram(bytesOf(OFFER)), { from: "10.40.0.1", fromPort: 67, to: "10.40.0.54", toPort: 68 });
  t.match(captured(ACK), {
    op: "reply",
    xid: 0xf2ac72ef,
    secs: 0,
    broadcast: false,
    ciaddr: "0.0.0.0",
    yiaddr: "10.40.0.54",
    siaddr: "10.40.0.1",
    giaddr: "0.0.0.0",
    chaddr: RED,
  });
  t.strictSame(
    [OFFER, ACK, REFERENCE_DISCOVER, REFERENCE_REQUEST].map((each) => typeOf(captured(each))),
    [2, 5, 1, 3],
  );
  t.strictSame(readTerms(captured(ACK), 1_000_000), {
    address: "10.40.0.54/24",
    server: "10.40.0.1",
    gateway: "10.40.0.1",
    routes: [
      { dst: "192.168.7.0/24", gw: "10.40.0.7" },
      { dst: "0.0.0.0/0", gw: "10.40.0.1" },
    ],
    renewAt: 1_000_000 + 1_800_000,
    rebindAt: 1_000_000 + 3_150_000,
    expiresAt: 1_000_000 + 3_600_000,
  });
});

t.test("DISCOVER holds what the reference plugin's holds", async (t) => {
  const clientId = Buffer.from("\0c-red/net/eth0");
  const client = { mac: RED, clientId, provide: new Map(), request: [121, 3, 1], broadcast: false };
  const { message, from, to } = discover(client, { xid: 0xf2ac72ef, secs: 0 });
  const theirs = captured(REFERENCE_DISCOVER);
  t.strictSame(hexed(decodeMessage(encodeMessage(message))), hexed(theirs));
  t.strictSame([from, to], ["0.0.0.0", "255.255.255.255"]);
});

function hexed({ options, ...message }: DhcpMessage): object {
  return { ...message, options: [...options].map(([code, value]) => [code, Buffer.from(value).toString("hex")]) };
}

t.test("a datagram is written as the captured ones are, checksum of the header included", async (t) => {
  const bytes = bytesOf(OFFER);
  const datagram = decodeDatagram(bytes);
  if (datagram === undefined) throw new Error("no datagram");
  const written = encodeDatagram(datagram);
  // Not dnsmasq's: type of service, identification, no fragments; and the checksums that follow from them.
  const comparable = (packet: Uint8Array) => {
    const copy = Uint8Array.from(packet);
    for (const at of [1, 4, 5, 6, 10, 11, 26, 27]) copy[at] = 0;
    return Buffer.from(copy).toString("hex");
  };
  t.equal(comparable(written), comparable(bytes));
  const ones = (from: number, to: number, extra = 0) => {
    let sum = extra;
    for (let i = from; i < to; i += 2) sum += ((written[i] ?? 0) << 8) | (written[i + 1] ?? 0);
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
    return sum;
  };
  t.equal(ones(0, 20), 0xffff, "RFC 1071: with its checksum, a header sums up to ones");
  t.equal(ones(12, written.length, 17 + written.length - 20), 0xffff, "and the datagram with its pseudo header");
});

const BLANK: DhcpMessage = {
  ...{ op: "reply", xid: 7, secs: 3, broadcast: true, ciaddr: ANY, yiaddr: parseAddress("10.0.0.9") },
  ...{ siaddr: ANY, giaddr: parseAddress("10.9.9.9"), chaddr: RED, options: new Map() },
};

t.test("every field survives", async (t) => {
  const options = new Map([
    [Option.messageType, Uint8Array.of(MessageType.ack)],
    [Option.hostName, new Uint8Array(255).fill(7)],
    [200, new Uint8Array()],
  ]);
  t.strictSame(decodeMessage(encodeMessage({ ...BLANK, options })), { ...BLANK, options });
  t.throws(() => encodeMessage({ ...BLANK, options: new Map([[12, new Uint8Array(256)]]) }), /option 12 has 256 bytes/);
  t.equal(encodeMessage(BLANK).length, 300, "BOOTP's size at least");
});

t.test("RFC 3396, option 52: parts of an option are put together, from file and sname too", async (t) => {
  const bytes = new Uint8Array(300);
  bytes.set(encodeMessage(BLANK).subarray(0, 240));
  bytes.set([52, 1, 3, 12, 1, 65, 0, 12, 1, 66, 255], 240);
  bytes.set([12, 1, 67, 255], 108); // file
  bytes.set([12, 2, 68, 69, 255], 44); // sname
  t.equal(Buffer.from(decodeMessage(bytes).options.get(12) ?? []).toString(), "ABCDE");
});

t.test("S2: what is broken is refused, and nothing of any length hangs or is taken for a message", async (t) => {
  const whole = encodeMessage({ ...BLANK, options: new Map([[12, Uint8Array.of(1, 2, 3)]]) });
  for (let length = 0; length < 240; length++) t.throws(() => decodeMessage(whole.subarray(0, length)), RangeError);
  for (const [at, value] of [
    [0, 3],
    [1, 6],
    [2, 16],
    [236, 0],
    [241, 200],
  ] as const) {
    const broken = Uint8Array.from(whole);
    broken[at] = value;
    t.throws(() => decodeMessage(broken), RangeError, `byte ${at}`);
  }
  const packet = bytesOf(OFFER);
  for (const [at, value] of [
    [0, 0x65],
    [0, 0x4f],
    [9, 6],
    [6, 0x20],
    [7, 1],
    [3, 255],
    [24, 9],
  ] as const) {
    const broken = Uint8Array.from(packet);
    broken[at] = value;
    t.equal(decodeDatagram(broken), undefined, `byte ${at}`);
  }
  for (let length = 0; length < packet.length; length++) t.equal(decodeDatagram(packet.subarray(0, length)), undefined);
});

t.test("terms: what servers say of routes and times, and what they leave out", async (t) => {
  type Given = readonly [code: number, bytes: readonly number[]];
  const given = (...options: readonly Given[]) => ({
    yiaddr: parseAddress("10.0.0.9"),
    options: new Map([
      [54, Uint8Array.of(10, 0, 0, 1)],
      [1, Uint8Array.of(255, 255, 0, 0)],
      ...options.map(([code, bytes]) => [code, Uint8Array.from(bytes)] as const),
    ]),
  });
  const times = (terms: object) => Object.entries(terms).filter(([key]) => key.endsWith("At"));
  const seconds = (value: number) => [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
  const rows = [
    [given(), [1_800_000, 3_150_000, 3_600_000]],
    [given([51, seconds(80)]), [40_000, 70_000, 80_000]],
    [given([51, seconds(80)], [58, seconds(5)], [59, seconds(6)]), [5_000, 6_000, 80_000]],
    [given([51, seconds(80)], [58, seconds(500)], [59, seconds(600)]), [40_000, 70_000, 80_000]],
    [given([51, seconds(80)], [59, seconds(30)]), [30_000, 30_000, 80_000]],
    [given([51, seconds(0xffffffff)], [58, seconds(5)]), [undefined, undefined, undefined]],
    [given([51, [1, 2]]), [1_800_000, 3_150_000, 3_600_000]],
  ] as const;
  for (const [message, [renewAt, rebindAt, expiresAt]] of rows) {
    t.strictSame(times(readTerms(message, 0)), Object.entries({ renewAt, rebindAt, expiresAt }));
  }
  const routes = (...options: readonly Given[]) => readTerms(given(...options), 0).routes;
  const router: Given = [3, [10, 0, 0, 1, 10, 0, 0, 2]];
  t.strictSame(routes(router), [{ dst: "0.0.0.0/0", gw: "10.0.0.1" }], "the first router");
  const classful: Given = [
    33,
    [9, 1, 2, 3, 10, 0, 0, 3, 172, 16, 5, 5, 10, 0, 0, 4, 192, 0, 2, 7, 10, 0, 0, 5, 0, 0, 0, 0, 1, 1, 1, 1],
  ];
  t.strictSame(routes(router, classful), [
    { dst: "9.0.0.0/8", gw: "10.0.0.3" },
    { dst: "172.16.0.0/16", gw: "10.0.0.4" },
    { dst: "192.0.2.0/24", gw: "10.0.0.5" },
    { dst: "0.0.0.0/0", gw: "10.0.0.1" },
  ]);
  const classless: Given = [
    121,
    [0, 10, 0, 0, 9, 24, 192, 0, 2, 0, 0, 0, 0, 17, 10, 17, 255, 10, 0, 0, 8, 33, 1, 2, 3],
  ] as const;
  t.strictSame(
    routes(router, classful, classless),
    [{ dst: "0.0.0.0/0", gw: "10.0.0.9" }, { dst: "192.0.2.0/24" }, { dst: "10.17.128.0/17", gw: "10.0.0.8" }],
    "RFC 3442: instead of all others; on the link without a gateway; up to what is wrong",
  );
  t.throws(() => readTerms(given([1, [255, 0, 255, 0]]), 0), /subnet mask 255\.0\.255\.0 \(option 1\) has a hole/);
  t.throws(() => readTerms(given([1, []]), 0), /10\.0\.0\.9 without a subnet mask \(option 1\); it must/);
  t.throws(() => readTerms(given([54, []]), 0), /does not say who it is \(option 54\)/);
  t.throws(() => readTerms({ ...given(), yiaddr: ANY }, 0), /server 10\.0\.0\.1 gives no address/);
});
