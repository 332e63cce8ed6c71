import { readFileSync } from "node:fs";
import { inspect } from "node:util";
import t from "tap";
import { parseAddress } from "../../net/address.ts";
import { makePrefix, type Prefix, parsePrefix } from "../../net/prefix.ts";
import { type WireguardPublicKey, wireguardPublicKey } from "../../net/wireguard-key.ts";
import { Reader } from "../netlink/bytes.ts";
import { NetlinkError } from "../netlink/error.ts";
import { familyId, type GenericSocket } from "../netlink/generic.ts";
import { decodeMessages, encodeMessage, Flag, type Message } from "../netlink/message.ts";
import type { Request } from "../netlink/socket.ts";
import { changePeers, getDevice, type PeerChange, setDevice, type WireguardSocket } from "./device.ts";
import { type DeviceAttrs, deviceMessage, PeerFlag } from "./device-message.ts";
import { clamped, generatePrivateKey, publicKeyOf, SecretKey } from "./keys.ts";

/** The messages of wireguard.hex under the command that made them; capture.ts writes that. */
const CAPTURED = new Map<string, Message[]>();
for (const [, command = "", hex = ""] of readFileSync(
  new URL("testdata/wireguard.hex", import.meta.url),
  "utf8",
).matchAll(/^# (.*)\n([0-9a-f]+)\n/gm)) {
  const messages = decodeMessages(Uint8Array.from(Buffer.from(hex, "hex")));
  CAPTURED.set(CAPTURED.has(command) ? `${command} of a full device` : command, messages);
}

function captured(start: string): Message[] {
  const [, found] = [...CAPTURED].find(([command]) => command.startsWith(start)) ?? [];
  if (found === undefined) throw new Error(`testdata/wireguard.hex has nothing that begins with "${start}"`);
  return found;
}

const bytesFrom = (first: number) => Uint8Array.from({ length: 32 }, (_, i) => first + i);
const OWN = new SecretKey(bytesFrom(0x01));
const PSK = new SecretKey(bytesFrom(0x81));
const PEER = wireguardPublicKey(bytesFrom(0x41));
const SUBNETS = ["10.244.2.0/24", "fd00:244:0:2::/64"].map(parsePrefix);

/** A kernel that keeps what it is told. */
function recorder(answers: readonly Message[] = [], refuses: (attrs: DeviceAttrs) => boolean = () => false) {
  const sent: { type: number; flags: number; size: number; command: number; attrs: DeviceAttrs }[] = [];
  const keep = ({ type, flags = 0, body, label }: Request) => {
    const [message] = decodeMessages(encodeMessage({ type, flags, sequence: 1 }, body));
    if (message === undefined) throw new Error("nothing was written");
    const { header, attrs } = deviceMessage.read(new Reader(message.body));
    sent.push({ type, flags, size: message.body.length, command: header.command, attrs });
    if (refuses(attrs)) throw new NetlinkError(22, label);
    return undefined;
  };
  const socket: GenericSocket = {
    execute: keep,
    ask: () => {
      const [answer] = answers;
      if (answer === undefined) throw new Error("was not expected");
      return answer;
    },
    dump: (request, decode) => {
      keep(request);
      return answers.filter(({ type }) => type > 3).flatMap((message) => decode(message) ?? []);
    },
  };
  const wg: WireguardSocket = { socket, family: 32, [Symbol.dispose]() {} };
  return { wg, sent };
}

/** What a captured message says; by index instead of by name, as ours are. */
function said(start: string): DeviceAttrs {
  const [message] = captured(start);
  const { name, ...attrs } = deviceMessage.read(new Reader(message?.body ?? new Uint8Array())).attrs;
  t.equal(name, "wg0");
  return { index: 1, ...attrs };
}

t.test("a device and its peers are set in wg(8)'s own words", async (t) => {
  const { wg, sent } = recorder();
  setDevice(wg, 1, { privateKey: OWN, listenPort: 51820 });
  const near = { address: parseAddress("192.0.2.2"), port: 51820 };
  const peer = { publicKey: PEER, presharedKey: PSK, endpoint: near, persistentKeepalive: 0 };
  const changes: PeerChange[] = [
    { ...peer, allowedIps: SUBNETS, replaceAllowedIps: true },
    { publicKey: PEER, remove: true },
  ];
  for (const change of changes) t.strictSame(changePeers(wg, 1, [change]), [undefined]);
  t.strictSame(
    sent.map(({ attrs }) => attrs),
    [
      said("wg set wg0 listen-port 51820 private-key own"),
      said(`wg set wg0 peer ${PEER} preshared-key psk`),
      said(`wg set wg0 peer ${PEER} remove`),
    ],
  );
  t.ok(sent.every(({ type, command }) => type === 32 && command === 1));
  const [one] = said(`wg set wg0 peer ${PEER} endpoint`).peers ?? [];
  t.strictSame(one?.endpoint, { address: "2001:db8::2", port: 51821 });
});

t.test("the bytes are wg(8)'s, not only their meaning", async (t) => {
  for (const [command, messages] of CAPTURED) {
    if (!command.startsWith("wg set")) continue;
    for (const { type, flags, sequence, body } of messages) {
      const again = encodeMessage({ type, flags, sequence }, (to) => {
        const { header, attrs } = deviceMessage.read(new Reader(body));
        deviceMessage.write(to, { header, attrs });
      });
      const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
      t.equal(hex(again.subarray(16, 16 + body.length)), hex(body), command);
    }
  }
});

t.test("what the kernel tells of a device is decoded", async (t) => {
  const empty = getDevice(recorder(captured("wg show wg0 dump")).wg, 2);
  t.strictSame(empty, { index: 2, name: "wg0", listenPort: 0, firewallMark: 0, peers: [] });
  const { wg, sent } = recorder(captured("wg show wg0 dump of a full device"));
  const device = getDevice(wg, 2);
  t.strictSame(sent[0]?.attrs, { index: 2 });
  t.match(device, { listenPort: 51820, publicKey: publicKeyOf(OWN) });
  t.ok(device?.privateKey?.equals(new SecretKey(clamped(OWN.reveal()))), "the kernel clamps the key");
  t.equal(device?.peers.length, 1);
  t.match(device?.peers[0], {
    publicKey: PEER,
    endpoint: { address: "192.0.2.2", port: 51820 },
    persistentKeepalive: 0,
    receivedBytes: 0,
    sentBytes: 0,
    allowedIps: SUBNETS,
  });
  t.equal(device?.peers[0]?.lastHandshake, undefined, "it was never heard");
  t.ok(device?.peers[0]?.presharedKey?.equals(PSK));
});

const keyOf = (n: number): WireguardPublicKey => {
  const bytes = new Uint8Array(32);
  new DataView(bytes.buffer).setUint32(0, n + 1);
  return wireguardPublicKey(bytes);
};
const many = (count: number, length: number): Prefix[] =>
  Array.from({ length: count }, (_, i) => makePrefix(parseAddress(`10.${i >> 8}.${i & 255}.0`), length));

t.test("thousands of peers, and thousands of a peer's addresses, go in messages that hold them", async (t) => {
  const { wg, sent } = recorder();
  const changes: PeerChange[] = Array.from({ length: 5000 }, (_, i) => ({
    publicKey: keyOf(i),
    allowedIps: SUBNETS,
    replaceAllowedIps: true,
  }));
  changes.splice(2500, 0, { publicKey: keyOf(9999), allowedIps: many(4000, 24), replaceAllowedIps: true });
  const outcomes = changePeers(wg, 1, changes);
  t.equal(outcomes.length, 5001);
  t.ok(outcomes.every((outcome) => outcome === undefined));
  t.ok(sent.length < 60, `${sent.length} messages`);
  t.ok(sent.every(({ size }) => size < 0x10000));
  const found = new Map<string, number>();
  const wrong: string[] = [];
  for (const { publicKey, allowedIps = [], flags } of sent.flatMap(({ attrs }) => attrs.peers ?? [])) {
    const key = wireguardPublicKey(publicKey ?? new Uint8Array());
    if (flags !== (found.has(key) ? PeerFlag.updateOnly : PeerFlag.replaceAllowedIps)) wrong.push(key);
    found.set(key, (found.get(key) ?? 0) + allowedIps.length);
  }
  t.strictSame(wrong, [], "the first part replaces, further ones add");
  t.equal(found.size, 5001);
  t.equal(found.get(keyOf(9999)), 4000);
  t.equal(found.get(keyOf(4999)), 2);
});

t.test("a peer that goes on in the kernel's next message is one peer", async (t) => {
  const part = (publicKey: WireguardPublicKey, allowedIps: readonly Prefix[]) => ({
    publicKey: Buffer.from(publicKey, "base64"),
    allowedIps,
  });
  const messages = [
    { index: 3, name: "wg0", peers: [part(keyOf(1), many(1, 24)), part(keyOf(2), many(2, 24))] },
    { peers: [part(keyOf(2), many(3, 25)), part(keyOf(3), [])] },
  ].map((attrs) => {
    const body = (to: Parameters<typeof deviceMessage.write>[0]) =>
      deviceMessage.write(to, { header: { command: 0, version: 1, reserved: 0 }, attrs });
    return decodeMessages(encodeMessage({ type: 32, flags: Flag.multi, sequence: 1 }, body));
  });
  const device = getDevice(recorder(messages.flat()).wg, 3);
  t.strictSame(
    device?.peers.map(({ publicKey, allowedIps }) => [publicKey, allowedIps.length]),
    [
      [keyOf(1), 1],
      [keyOf(2), 5],
      [keyOf(3), 0],
    ],
  );
});

t.test("one peer that the kernel refuses is named, and the others are made", async (t) => {
  const bad = keyOf(7);
  const { wg, sent } = recorder([], ({ peers = [] }) =>
    peers.some(({ publicKey }) => publicKey !== undefined && wireguardPublicKey(publicKey) === bad),
  );
  const changes = Array.from({ length: 20 }, (_, i) => ({ publicKey: keyOf(i), allowedIps: SUBNETS }));
  const outcomes = changePeers(wg, 1, changes);
  t.strictSame(
    outcomes.flatMap((outcome, i) => (outcome === undefined ? [] : [i])),
    [7],
  );
  t.equal(sent.length, 21, "all at once, then one by one");
});

t.test("the family's number is asked for", async (t) => {
  const body = (to: Parameters<typeof deviceMessage.write>[0]) => {
    to.bytes(Uint8Array.of(1, 2, 0, 0));
    to.attribute(1, () => to.integer(2, 0x1f));
    to.attribute(2, () => to.string("wireguard"));
  };
  const [answer] = decodeMessages(encodeMessage({ type: 16, flags: 0, sequence: 1 }, body));
  t.equal(familyId(recorder(answer === undefined ? [] : [answer]).wg.socket, "wireguard"), 0x1f);
});

t.test("keys are made and derived as wg(8) does it", async (t) => {
  t.equal(publicKeyOf(OWN), "B6N8vBQgk8i3VdwbEOhstCY3StFqqFPtC9/AsrhtHHw=", "as wg pubkey says");
  const fresh = generatePrivateKey();
  t.strictSame(fresh.reveal(), clamped(fresh.reveal()), "as the kernel keeps it");
  t.notOk(fresh.equals(generatePrivateKey()));
  t.equal(publicKeyOf(fresh).length, 44);
  t.equal(publicKeyOf(SecretKey.fromText(fresh.revealText())), publicKeyOf(fresh));
});

t.test("S16: a key says nothing of itself where it is printed", async (t) => {
  const key = generatePrivateKey();
  const device = { name: "wg0", privateKey: key, peers: [{ presharedKey: key }] };
  for (const text of [String(key), JSON.stringify(device), inspect(device, { depth: 5, showHidden: true }), `${key}`]) {
    t.notOk(text.includes(key.revealText()) || text.includes(Buffer.from(key.reveal()).toString("hex")), text);
  }
  t.throws(() => SecretKey.fromText(`${key.revealText()}x`), { message: /^it is not 32 bytes in base64$/ });
});
