import t from "tap";
import { parseMac } from "../../../net/mac.ts";
import { Reader } from "../../netlink/bytes.ts";
import { addLink, createLinkIn, decodeLink, type LinkSpec } from "../link.ts";
import { linkMessage } from "../link-message.ts";
import { captured, recorder } from "../testdata/captured.ts";

const MESSAGES = captured("lower");

function message(command: string) {
  const found = MESSAGES.get(command);
  if (found === undefined) throw new Error(`testdata/lower.hex lacks "${command}"`);
  return found;
}

const lower = decodeLink(message("ip -d link show dev m0")).peerIndex ?? 0;

// Each row: what ip(8) sends, and the same by our function.
const rows: readonly [command: string, spec: LinkSpec][] = [
  [
    "ip link add m0 link v0 type macvlan mode passthru",
    { kind: "macvlan", name: "m0", lower, macvlan: { mode: "passthru" } },
  ],
  [
    "ip link add m0 link v0 mtu 1400 type macvlan mode bridge bcqueuelen 500",
    { kind: "macvlan", name: "m0", mtu: 1400, lower, macvlan: { mode: "bridge", broadcastQueueLength: 500 } },
  ],
  ["ip link add i0 link v0 type ipvlan mode l3s", { kind: "ipvlan", name: "i0", lower, ipvlan: { mode: "l3s" } }],
  ["ip link add x0 link v0 type vlan id 5", { kind: "vlan", name: "x0", lower, vlan: { id: 5 } }],
  [
    "ip link add d0 address 02:00:00:00:00:01 type dummy",
    { kind: "dummy", name: "d0", mac: parseMac("02:00:00:00:00:01") },
  ],
];

for (const [command, spec] of rows) {
  t.test(command, async (t) => {
    const { rt, sent } = recorder(message("ip -d link show dev m0"));
    addLink(rt, spec);
    t.equal(sent.length, 1, "one message");
    const [ours, theirs] = [sent[0] ?? message(command), message(command)].map(({ type, flags, body }) => {
      const { attrs } = linkMessage.read(new Reader(body));
      return { type, flags, attrs };
    });
    t.strictSame(ours, theirs);
  });
}

t.test("the kernel's answers are decoded", async (t) => {
  const shown = (name: string) => decodeLink(message(`ip -d link show dev ${name}`));
  t.match(shown("m0"), { kind: "macvlan", macvlan: { mode: "private" }, peerIndex: lower });
  t.match(shown("i0"), { kind: "ipvlan", ipvlan: { mode: "l2" }, peerIndex: lower });
  t.match(shown("x0"), { kind: "vlan", vlan: { id: 5, protocol: 0x8100 }, peerIndex: lower });
});

t.test(
  "P18: a link on a device of the node is made in the pod's namespace: IFLA_NET_NS_FD in the message that makes it",
  async (t) => {
    const { rt, sent } = recorder();
    const netns = { fd: 77, inode: 1n, path: "/run/netns/pod", [Symbol.dispose]() {} };
    // biome-ignore lint/suspicious/noExplicitAny: only the descriptor counts here
    createLinkIn(rt, netns as any, { kind: "vlan", name: "pw0", lower: 7, vlan: { id: 5 } });
    t.equal(sent.length, 1);
    const { attrs } = linkMessage.read(new Reader(sent[0]?.body ?? new Uint8Array()));
    t.match(attrs, { link: 7, netnsFd: 77, name: "pw0" });
  },
);
