import t from "tap";
import { addressToBytes, parseAddress } from "../net/address.ts";
import { parseMac } from "../net/mac.ts";
import { parsePrefix } from "../net/prefix.ts";
import { Acquisition, type Conversation, Extension } from "./conversation.ts";
import { dutyOf, overdue } from "./duty.ts";
import { ANY, type DhcpMessage, MessageType, Option, typeOf } from "./message.ts";
import { decodeRecord, encodeRecord, type LeaseRecord } from "./record.ts";
import { type Client, type Outgoing, release } from "./request.ts";

const client: Client = {
  mac: parseMac("02:00:00:00:00:07"),
  clientId: Uint8Array.of(0, 65, 66),
  provide: new Map([[12, Buffer.from("web")]]),
  request: [3, 1],
  broadcast: false,
};
const A = parseAddress("10.0.0.9");
const B = parseAddress("10.0.0.8");
const SERVER = parseAddress("10.0.0.1");
const TIMING = { timeoutMs: 10_000, resendMaxMs: 62_000, limitMs: 100_000 };
const half = () => 0.5; // no jitter

function reply(
  to: Outgoing | undefined,
  type: number,
  yiaddr = A,
  options: Record<number, Uint8Array> = {},
): DhcpMessage {
  if (to === undefined) throw new Error("nothing was sent");
  const all = {
    [Option.messageType]: Uint8Array.of(type),
    [Option.server]: addressToBytes(SERVER),
    [Option.subnetMask]: Uint8Array.of(255, 255, 255, 0),
    [Option.leaseTime]: Uint8Array.of(0, 0, 0, 80),
    ...options,
  };
  return { ...to.message, op: "reply", yiaddr, options: new Map(Object.entries(all).map(([k, v]) => [Number(k), v])) };
}

/** Lets time go on to whenever the conversation wants, and tells what it sends until it ends or `until`. */
function run(conversation: Conversation, from: number, until = Number.POSITIVE_INFINITY): [at: number, type: number][] {
  const sent: [number, number][] = [];
  let now = from;
  while (conversation.outcome === undefined && conversation.due < until) {
    now = Math.max(conversation.due, now);
    const outgoing = conversation.tick(now);
    if (outgoing !== undefined) sent.push([now, typeOf(outgoing.message) ?? 0]);
  }
  return sent;
}

t.test("DISCOVER, OFFER, REQUEST, ACK", async (t) => {
  const conversation = new Acquisition(client, TIMING, half, 1_000);
  const discover = conversation.tick(1_000);
  t.equal(conversation.tick(1_001), undefined, "said once");
  conversation.hear(reply(discover, MessageType.ack), 1_100);
  conversation.hear({ ...reply(discover, MessageType.offer), xid: 1 }, 1_100);
  conversation.hear({ ...reply(discover, MessageType.offer), chaddr: parseMac("02:00:00:00:00:08") }, 1_100);
  conversation.hear({ ...reply(discover, MessageType.offer), op: "request" }, 1_100);
  t.equal(conversation.due, 5_000, "nothing of that was an offer for us");
  conversation.hear(reply(discover, MessageType.offer), 1_200);
  t.equal(conversation.due, 1_200, "taken at once");
  const request = conversation.tick(1_200);
  t.match(request, { from: "0.0.0.0", to: "255.255.255.255", message: { ciaddr: ANY, xid: discover?.message.xid } });
  t.strictSame(request?.message.options.get(Option.requestedAddress), addressToBytes(A));
  t.strictSame(request?.message.options.get(Option.server), addressToBytes(SERVER));
  t.strictSame(request?.message.options.get(12), Buffer.from("web"), "what is provided is told again");
  conversation.hear(reply(request, MessageType.ack, B), 3_000);
  t.match(conversation.outcome, {
    terms: { address: "10.0.0.8/24", renewAt: 1_200 + 40_000, expiresAt: 1_200 + 80_000 },
  });
});

t.test("RFC 2131 section 4.1: four seconds, then twice as long, up to the longest pause and the limit", async (t) => {
  const silent = new Acquisition(client, TIMING, half, 0);
  t.strictSame(run(silent, 0), [
    [0, 1],
    [4_000, 1],
    [12_000, 1],
    [28_000, 1],
    [60_000, 1],
  ]);
  t.strictSame(silent.outcome, { problem: "no DHCP server answered 5 messages in 100 s", refused: false });
  const capped = new Acquisition(client, { ...TIMING, resendMaxMs: 6_000, limitMs: 20_000 }, half, 0);
  t.strictSame(
    run(capped, 0).map(([at]) => at),
    [0, 4_000, 10_000, 16_000],
  );
  const [early, late] = [0, 0.999].map((value) => run(new Acquisition(client, TIMING, () => value, 0), 0)[1]?.[0] ?? 0);
  t.ok(early === 3_000 && late !== undefined && late > 4_900 && late < 5_000, "a second more or less");
});

t.test("an offer that is not confirmed is asked for again, then all begins anew", async (t) => {
  let calls = 0;
  const conversation = new Acquisition(client, TIMING, () => (calls++ === 0 ? 0.25 : 0.5), 0);
  const discover = conversation.tick(0);
  conversation.hear(reply(discover, MessageType.offer), 0);
  t.strictSame(run(conversation, 0, 40_000), [
    [0, 3],
    [4_000, 3],
    [12_000, 1],
    [28_000, 1],
  ]);
  conversation.hear(reply(discover, MessageType.offer), 28_000);
  t.ok(conversation.due > 28_000, "the old transaction's offers do not count any more");
  run(conversation, 28_000);
  t.match(conversation.outcome, {
    problem: /^server 10\.0\.0\.1 offered 10\.0\.0\.9 and did not confirm it, after \d+ mes/,
  });
});

t.test("a server that takes its offer back is asked anew, after a pause", async (t) => {
  const conversation = new Acquisition(client, TIMING, half, 0);
  conversation.hear(reply(conversation.tick(0), MessageType.offer), 0);
  const refusal = { [Option.message]: Buffer.from("address in use") };
  conversation.hear(reply(conversation.tick(0), MessageType.nak, ANY, refusal), 10);
  t.ok(conversation.due > 4_000);
  run(conversation, 10);
  t.match(conversation.outcome, { problem: /^server 10\.0\.0\.1 took 10\.0\.0\.9 back \("address in use"\), after/ });
});

t.test("an offer that cannot be used ends it", async (t) => {
  const conversation = new Acquisition(client, TIMING, half, 0);
  conversation.hear(reply(conversation.tick(0), MessageType.offer, A, { [Option.subnetMask]: Uint8Array.of(1) }), 0);
  t.match(conversation.outcome, { problem: /without a subnet mask/, refused: true });
});

t.test("more time is asked for once, of the server or of any", async (t) => {
  const options = { timeoutMs: 10_000, random: half, now: 0 };
  for (const [server, to] of [
    [SERVER, SERVER],
    [undefined, "255.255.255.255"],
  ] as const) {
    const asking = () => new Extension(client, { address: A, server }, options);
    const silent = asking();
    const outgoing = silent.tick(0);
    t.match(outgoing, { from: A, to, message: { ciaddr: A } });
    t.notOk(outgoing?.message.options.has(Option.server), "RFC 2131 section 4.3.2");
    t.notOk(outgoing?.message.options.has(Option.requestedAddress));
    t.strictSame(run(silent, 0), []);
    t.match(silent.outcome, { problem: "no DHCP server answered", refused: false });
    for (const [type, yiaddr, expected] of [
      [MessageType.ack, A, { terms: { address: "10.0.0.9/24", expiresAt: 80_000 } }],
      [MessageType.ack, ANY, { terms: { address: "10.0.0.9/24" } }],
      [MessageType.ack, B, { problem: /gives 10\.0\.0\.8 instead of 10\.0\.0\.9/, refused: true }],
      [MessageType.nak, ANY, { problem: /says that 10\.0\.0\.9 is not ours/, refused: true }],
    ] as const) {
      const conversation = asking();
      conversation.hear(reply(conversation.tick(0), type, yiaddr));
      t.match(conversation.outcome, expected);
    }
  }
});

t.test("RELEASE goes to the server, with what it knows the client by", async (t) => {
  const { message, from, to } = release({ ...client, broadcast: true }, 7, { address: A, server: SERVER });
  t.match({ from, to, message }, { from: A, to: SERVER, message: { ciaddr: A, xid: 7, broadcast: false } });
  t.strictSame([...message.options.keys()], [Option.messageType, Option.server, Option.clientId]);
});

t.test("duties: T1, T2, the end, and when to try again in between", async (t) => {
  const lease = { renewAt: 1_000_000, rebindAt: 1_750_000, expiresAt: 2_000_000 };
  const seen: [number, string][] = [];
  for (let duty = dutyOf(lease, undefined); duty !== undefined; ) {
    seen.push([duty.at, duty.what]);
    duty = duty.what === "expire" ? undefined : dutyOf(lease, duty.at);
  }
  t.strictSame(seen, [
    [1_000_000, "renew"],
    [1_375_000, "renew"],
    [1_562_500, "renew"],
    [1_656_250, "renew"],
    [1_716_250, "renew"], // a minute at least
    [1_750_000, "rebind"],
    [1_875_000, "rebind"],
    [1_937_500, "rebind"],
    [1_997_500, "rebind"],
    [2_000_000, "expire"],
  ]);
  t.equal(dutyOf({ renewAt: undefined, rebindAt: undefined, expiresAt: undefined }, undefined), undefined);
  const renew = { at: lease.renewAt, what: "renew" } as const;
  const late = [1_000_001, 1_750_000, 2_000_000].map((now) => overdue(renew, lease, now));
  t.strictSame(late, ["renew", "rebind", "expire"], "an agent that was away does what is due now");
});

const RECORD: LeaseRecord = {
  ...{ network: "net", containerId: "c1", ifName: "eth0", netns: "/run/netns/x", netnsInode: 2n ** 63n, client },
  ...{ address: parsePrefix("10.0.0.9/24"), server: SERVER, serverMac: client.mac, lost: "gone" },
  ...{ renewAt: 1.5, rebindAt: undefined, expiresAt: 3 },
};

t.test("a record comes back as it was, and nothing else is taken for one", async (t) => {
  const text = encodeRecord(RECORD);
  const { provide, clientId, ...others } = decodeRecord(text).client;
  t.strictSame(others, { mac: client.mac, request: client.request, broadcast: false });
  t.strictSame(Buffer.from(clientId), Buffer.from(client.clientId));
  t.equal(Buffer.from(provide.get(12) ?? []).toString(), "web");
  t.strictSame({ ...decodeRecord(text), client }, RECORD);
  t.equal(encodeRecord(decodeRecord(text)), text);
  const fields = JSON.parse(text);
  const wrong = [
    ["is", "x"],
    ["address", "10.0.0.9"],
    ["server", 7],
    ["serverMac", "x"],
    ["netnsInode", 5],
    ["netnsInode", "-1"],
    ["renewAt", "1"],
    ["expiresAt", undefined],
    ["client", []],
    ["network", ""],
    ["lost", 1],
    ["client", { ...fields.client, clientId: "0" }],
    ["client", { ...fields.client, request: [256] }],
  ] as const;
  for (const [key, value] of wrong) {
    t.throws(() => decodeRecord(JSON.stringify({ ...fields, [key]: value })), RangeError, `${key} ${value}`);
  }
  for (const junk of ["", "{", "7", "null", "[]", text.slice(0, -9)]) t.throws(() => decodeRecord(junk), RangeError);
});
