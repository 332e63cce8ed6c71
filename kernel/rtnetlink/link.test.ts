import t from "tap";
import { parseAddress } from "../../net/address.ts";
import { parseMac } from "../../net/mac.ts";
import { Reader, Writer } from "../netlink/bytes.ts";
import type { Message } from "../netlink/message.ts";
import { addLink, decodeLink, deleteLink, deleteLinkGroup, getLink, setLink } from "./link.ts";
import { type LinkMessage, linkMessage } from "./link-message.ts";
import { Rtm } from "./message-types.ts";
import type { RouteSocket } from "./socket.ts";
import { captured, recorder } from "./testdata/captured.ts";

const MESSAGES = captured("link");

const read = (message: Message): LinkMessage => linkMessage.read(new Reader(message.body));

function capturedMessage(command: string): Message {
  const message = MESSAGES.get(command);
  if (message === undefined) throw new Error(`testdata/link.hex lacks "${command}"`);
  return message;
}

// Each row: what ip(8) sent, the same by our functions, and what both must say.
const rows: readonly [command: string, ours: (rt: RouteSocket) => void, says: object][] = [
  [
    "ip link add v0 mtu 1400 txqueuelen 100 type veth peer name v1 address 02:00:00:00:00:02",
    (rt) => {
      const peer = { name: "v1", mac: parseMac("02:00:00:00:00:02") };
      addLink(rt, { kind: "veth", name: "v0", mtu: 1400, txQueueLength: 100, peer });
    },
    { mtu: 1400, name: "v0", txQueueLength: 100, info: { kind: "veth", veth: { peer: { name: "v1" } } } },
  ],
  [
    "ip link add br0 address 02:00:00:00:00:01 type bridge ageing_time 10000 mcast_snooping 0 stp_state 0",
    (rt) => {
      const bridge = { ageing: 100, multicastSnooping: false, stp: false };
      addLink(rt, { kind: "bridge", name: "br0", mac: parseMac("02:00:00:00:00:01"), bridge });
    },
    { name: "br0", info: { kind: "bridge", bridge: { ageing: 100, multicastSnooping: false, stp: false } } },
  ],
  [
    "ip link add vx0 type vxlan id 42 dstport 4789 nolearning local 192.0.2.1 ttl 64 df set",
    (rt) => {
      const vxlan = {
        id: 42,
        port: 4789,
        learning: false,
        local: parseAddress("192.0.2.1"),
        ttl: 64,
        df: "set",
      } as const;
      addLink(rt, { kind: "vxlan", name: "vx0", vxlan });
    },
    { info: { vxlan: { id: 42, port: 4789, learning: false, local: "192.0.2.1", ttl: 64, df: "set" } } },
  ],
  [
    "ip link add vx0 type vxlan id 42 dstport 4789 nolearning local fd00::1 udp6zerocsumrx",
    (rt) => {
      const vxlan = { id: 42, port: 4789, learning: false, local: parseAddress("fd00::1"), udpZeroCsum6Rx: true };
      addLink(rt, { kind: "vxlan", name: "vx0", vxlan });
    },
    { info: { vxlan: { id: 42, port: 4789, local: "fd00::1", udpZeroCsum6Rx: true } } },
  ],
  [
    "ip link add vx0 type vxlan external gpe dstport 4790",
    (rt) => addLink(rt, { kind: "vxlan", name: "vx0", vxlan: { collectMetadata: true, gpe: true, port: 4790 } }),
    { info: { vxlan: { collectMetadata: true, gpe: true, port: 4790, learning: false } } },
  ],
  ["ip link set v0 down", (rt) => setLink(rt, 3, { up: false }), {}],
  ["ip link set v0 alias pods", (rt) => setLink(rt, 3, { alias: "pods" }), { alias: "pods" }],
  ["ip link set v0 master br0", (rt) => setLink(rt, 4, { master: 2 }), { master: 2 }],
  ["ip link del v0", (rt) => deleteLink(rt, 3), {}],
];

for (const [command, ours, says] of rows) {
  t.test(command, async (t) => {
    const theirs = capturedMessage(command);
    t.match(read(theirs).attrs, says);
    const { rt, sent } = recorder(capturedMessage("ip link show dev v0"));
    ours(rt);
    t.equal(sent.length, 1, "one message");
    const [mine = theirs] = sent;
    t.strictSame(normal(read(mine)), normal(read(theirs)));
    // ip(8) changes links by RTM_NEWLINK; RTM_SETLINK cannot create or touch a whole group by mistake.
    t.equal(mine.type, theirs.flags & 0x400 || theirs.type === Rtm.delLink ? theirs.type : Rtm.setLink);
  });
}

/** Without what differs on purpose: a family or kind of zero and what the kernel ignores. */
function normal({ header, attrs }: LinkMessage): object {
  return { index: header.index, flags: header.flags, change: header.change, attrs };
}

t.test("port settings are what ip link set type bridge_slave sends", async (t) => {
  const theirs = read(capturedMessage("ip link set v0 type bridge_slave hairpin on isolated on"));
  const { rt, sent } = recorder();
  setLink(rt, 4, { port: { hairpin: true, isolated: true } });
  const mine = sent.map(read)[0];
  t.strictSame(mine?.attrs.info?.port, theirs.attrs.info?.port);
  t.strictSame(mine?.attrs.info?.port, { hairpin: true, isolated: true });
  t.equal(mine?.header.index, 4);
});

t.test("the kernel's answers are decoded", async (t) => {
  t.match(decodeLink(capturedMessage("ip link show dev v0")), {
    index: 3,
    name: "v0",
    kind: "veth",
    mtu: 1500,
    up: true,
    lowerUp: true,
    operState: "up",
    peerIndex: 2,
    group: 0,
    txQueueLength: 1000,
    promisc: false,
  });
  t.match(decodeLink(capturedMessage("ip -d link show dev v0")), {
    name: "v0",
    master: 2,
    port: { hairpin: false, isolated: false, learning: true, flood: true, neighSuppress: false },
  });
  t.match(decodeLink(capturedMessage("ip -d link show dev vx0")), {
    name: "vx0",
    kind: "vxlan",
    vxlan: { id: 1, port: 8472, learning: false, ageing: 300, collectMetadata: false, portRange: { low: 0, high: 0 } },
  });
});

t.test("decode, encode, decode gives the same", async (t) => {
  for (const [command, message] of MESSAGES) {
    const once = read(message);
    const to = new Writer();
    linkMessage.write(to, once);
    t.strictSame(linkMessage.read(new Reader(to.finish())), once, command);
  }
});

t.test(
  "P18: a veth's peer is made in its namespace: IFLA_NET_NS_FD stands inside VETH_INFO_PEER, not beside it",
  async (t) => {
    const { rt, sent } = recorder(capturedMessage("ip link show dev v0"));
    const netns = { fd: 77, inode: 1n, path: "/run/netns/pod", [Symbol.dispose]() {} };
    // biome-ignore lint/suspicious/noExplicitAny: only the descriptor counts here
    addLink(rt, { kind: "veth", name: "v0", peer: { name: "eth0", netns: netns as any } });
    t.equal(sent.length, 1);
    const attrs = sent.map(read)[0]?.attrs;
    t.equal(attrs?.netnsFd, undefined);
    t.equal(attrs?.info?.veth?.peer?.netnsFd, 77);
  },
);

t.test("a link with an alias is switched on by the message that marks it", async (t) => {
  const { rt, sent } = recorder(capturedMessage("ip link show dev v0"));
  addLink(rt, { kind: "bridge", name: "br0", alias: "podwire bridge net=a", up: true });
  const [made, marked] = sent.map(read);
  t.equal(made?.header.change, 0);
  t.equal(marked?.attrs.alias, "podwire bridge net=a");
  t.equal(marked?.header.flags, 1);
});

t.test("what the kernel would read as every link is refused", async (t) => {
  const { rt, sent } = recorder();
  t.throws(() => setLink(rt, 0, { up: true }), { message: "0 is not a link's index" });
  t.throws(() => deleteLink(rt, 0), RangeError);
  t.throws(() => getLink(rt, -1), RangeError);
  t.throws(() => deleteLinkGroup(rt, 0), RangeError);
  t.equal(sent.length, 0);
});

t.test("values that do not fit are refused by name", async (t) => {
  const { rt } = recorder();
  t.throws(() => setLink(rt, 1, { mtu: -1 }), { message: "mtu: -1 is not an integer of 0..4294967295" });
  t.throws(() => setLink(rt, 1, { alias: "a\0b" }), RangeError);
  t.throws(() => addLink(rt, { kind: "vxlan", name: "x", vxlan: { port: 65536 } }), { message: /port: 65536/ });
});
