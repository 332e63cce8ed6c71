import t from "tap";
import { addressToBytes, parseAddress } from "../../net/address.ts";
import type { Message } from "../netlink/message.ts";
import { describeRouteMessage } from "./describe.ts";
import type { RouteSocket } from "./socket.ts";
import {
  addClass,
  addFilter,
  addRootQdisc,
  decodeClass,
  decodeFilter,
  decodeQdisc,
  deleteIngressQdisc,
  deleteRootQdisc,
  ensureIngressQdisc,
  Parent,
  Protocol,
  tcHandle,
} from "./tc.ts";
import { captured, recorder } from "./testdata/captured.ts";

const index = 3;
const handle = tcHandle(0x7077);
const MESSAGES = captured("tc");

function word(address: string, at = 0): number {
  return Buffer.from(addressToBytes(parseAddress(address))).readUInt32BE(at);
}

type Row = readonly [
  command: string,
  ours: (rt: RouteSocket) => void,
  decode: (message: Message) => unknown,
  says: object,
];

// Each row: what tc(8) sends, and the same by our function. Tables of times, which no kernel since 3.8 reads, are not sent.
const rows: readonly Row[] = [
  [
    "tc qdisc add dev v0 root handle 7077: tbf rate 40mbit burst 32kb limit 157768",
    (rt) => addRootQdisc(rt, { index, handle, kind: "tbf", tbf: { rate: 5_000_000, burst: 32768, limit: 157768 } }),
    decodeQdisc,
    { kind: "tbf", handle: 0x70770000, parent: 0xffffffff, tbf: { rate: 5_000_000, burst: 32768, limit: 157768 } },
  ],
  [
    "tc qdisc add dev v0 root handle 7077: tbf rate 40gbit burst 8mb limit 16mb",
    (rt) => addRootQdisc(rt, { index, handle, kind: "tbf", tbf: { rate: 5e9, burst: 8 << 20, limit: 16 << 20 } }),
    decodeQdisc,
    { tbf: { rate: 5e9, burst: 8 << 20, limit: 16 << 20 } },
  ],
  [
    "tc qdisc add dev v0 root handle 7077: htb default 30",
    (rt) => addRootQdisc(rt, { index, handle, kind: "htb", htb: { defaultClass: 0x30 } }),
    decodeQdisc,
    { kind: "htb", htb: { defaultClass: 0x30 } },
  ],
  [
    "tc class add dev v0 parent 7077: classid 7077:30 htb rate 40mbit burst 32000 cburst 32000 quantum 1518",
    (rt) =>
      addClass(rt, {
        index,
        handle: tcHandle(0x7077, 0x30),
        parent: handle,
        htb: { rate: 5_000_000, burst: 32_000, quantum: 1518 },
      }),
    decodeClass,
    { handle: 0x70770030, parent: handle, htb: { rate: 5_000_000, burst: 32_000, quantum: 1518 } },
  ],
  [
    "tc class add dev v0 parent 7077: classid 7077:1 htb rate 800gbit burst 1600000 cburst 1600000 quantum 200000",
    (rt) =>
      addClass(rt, {
        index,
        handle: tcHandle(0x7077, 1),
        parent: handle,
        htb: { rate: 1e11, burst: 1_600_000, quantum: 200_000 },
      }),
    decodeClass,
    { htb: { rate: 1e11, quantum: 200_000 } },
  ],
  [
    "tc filter add dev v0 parent 7077: protocol ip pref 16 u32 match ip dst 10.96.0.0/12 flowid 7077:1",
    (rt) => {
      const keys = [{ value: word("10.96.0.0"), mask: 0xfff00000, offset: 16 }];
      const u32 = { keys, classId: tcHandle(0x7077, 1) };
      addFilter(rt, { index, parent: handle, priority: 16, protocol: Protocol.ip, u32 });
    },
    decodeFilter,
    { priority: 16, protocol: 0x0800, u32: { classId: 0x70770001, keys: [{ mask: 0xfff00000, offset: 16 }] } },
  ],
  [
    "tc filter add dev v0 parent 7077: protocol ipv6 pref 15 u32 match ip6 src fd00:22::/40 flowid 7077:1",
    (rt) => {
      const keys = [
        { value: word("fd00:22::"), mask: 0xffffffff, offset: 8 },
        { value: 0, mask: 0xff000000, offset: 12 },
      ];
      const u32 = { keys, classId: tcHandle(0x7077, 1) };
      addFilter(rt, { index, parent: handle, priority: 15, protocol: Protocol.ipv6, u32 });
    },
    decodeFilter,
    { protocol: 0x86dd, u32: { keys: [{ offset: 8 }, { offset: 12 }] } },
  ],
  ["tc qdisc add dev v0 ingress", (rt) => ensureIngressQdisc(rt, index), decodeQdisc, { kind: "ingress" }],
  [
    "tc filter add dev v0 ingress protocol all pref 28791 u32 match u32 0 0 flowid 1:1 action mirred egress redirect dev ifb0",
    (rt) => {
      const u32 = { keys: [], classId: tcHandle(1, 1), redirect: 4 };
      addFilter(rt, { index, parent: Parent.ingressFilters, priority: 28791, protocol: Protocol.all, u32 });
    },
    decodeFilter,
    { parent: 0xfffffff2, priority: 28791, protocol: 3, u32: { keys: [], redirect: 4 } },
  ],
  [
    "tc qdisc del dev v0 root handle 7077:",
    (rt) => deleteRootQdisc(rt, { index, handle }),
    decodeQdisc,
    { handle: 0x70770000, parent: 0xffffffff },
  ],
  [
    "tc qdisc del dev v0 ingress",
    (rt) => deleteIngressQdisc(rt, index),
    (message) => ({ ...decodeQdisc(message), kind: "" }), // tc(8) names the kind, the kernel does not need it
    { handle: 0xffff0000, parent: 0xfffffff1 },
  ],
];

for (const [command, ours, decode, says] of rows) {
  t.test(command, async (t) => {
    const theirs = MESSAGES.get(command);
    if (theirs === undefined) throw new Error(`testdata/tc.hex lacks "${command}"`);
    t.match(decode(theirs), says, "what tc(8) sent is understood");
    const { rt, sent } = recorder();
    ours(rt);
    t.equal(sent.length, 1);
    const [mine = theirs] = sent;
    t.equal(mine.type, theirs.type);
    t.equal(mine.flags, theirs.flags);
    t.strictSame(decode(mine), decode(theirs), "ours says the same");
    t.match(describeRouteMessage(mine), /^RTM_(NEW|DEL)(QDISC|TCLASS|TFILTER) \{/);
  });
}

t.test("messages cut off anywhere throw a RangeError or read as less", async (t) => {
  for (const message of MESSAGES.values()) {
    for (let length = 0; length < message.body.length; length += 1 + (length >> 6)) {
      for (const decode of [decodeQdisc, decodeClass, decodeFilter]) {
        try {
          decode({ ...message, body: message.body.slice(0, length) });
        } catch (error) {
          if (!(error instanceof RangeError)) throw error;
        }
      }
    }
  }
  t.pass();
});
