import t from "tap";
import { parseAddress } from "../../../net/address.ts";
import { Reader } from "../../netlink/bytes.ts";
import { addLink, decodeLink, type LinkSpec } from "../link.ts";
import { linkMessage } from "../link-message.ts";
import { captured, recorder } from "../testdata/captured.ts";

const MESSAGES = captured("tunnel");

function message(command: string) {
  const found = MESSAGES.get(command);
  if (found === undefined) throw new Error(`testdata/tunnel.hex lacks "${command}"`);
  return found;
}

const [a4, b4, a6, b6] = ["192.0.2.1", "192.0.2.2", "fd00::1", "fd00::2"].map(parseAddress);
const keyed = { inputFlags: "key", outputFlags: "key", inputKey: 7, outputKey: 7 } as const;

// Each row: what ip(8) sends, and the same by our function; the defaults are spelled out as ip(8) does.
const rows: readonly [command: string, spec: LinkSpec][] = [
  ["ip link add g0 mtu 1476 type gre external", { kind: "gre", name: "g0", mtu: 1476, gre: { collectMetadata: true } }],
  ["ip link add g0 type ip6gre external", { kind: "ip6gre", name: "g0", gre: { collectMetadata: true } }],
  [
    "ip link add g0 type gre local 192.0.2.1 remote 192.0.2.2 key 7",
    { kind: "gre", name: "g0", gre: { ...keyed, local: a4, remote: b4, ttl: 0, tos: 0, pathMtuDiscovery: 1 } },
  ],
  [
    "ip link add g0 type ip6gre local fd00::1 remote fd00::2 key 7 encaplimit none",
    {
      kind: "ip6gre",
      name: "g0",
      gre: { ...keyed, local: a6, remote: b6, ttl: 64, encapLimit: 4, noEncapLimit: true },
    },
  ],
  ["ip link add i0 type ipip external", { kind: "ipip", name: "i0", ipip: { protocol: 0, collectMetadata: true } }],
  [
    "ip link add i0 type ipip local 192.0.2.1 remote 192.0.2.2",
    {
      kind: "ipip",
      name: "i0",
      ipip: { dev: 0, local: a4, remote: b4, ttl: 0, tos: 0, protocol: 0, pathMtuDiscovery: 1 },
    },
  ],
];

for (const [command, spec] of rows) {
  t.test(command, async (t) => {
    const { rt, sent } = recorder(message("ip -d link show dev g0"));
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
  t.match(shown("g0"), { kind: "gre", mtu: 1476, gre: { collectMetadata: true } });
  t.match(shown("g6"), { kind: "ip6gre", gre: { ...keyed, local: "fd00::1", remote: "fd00::2", noEncapLimit: true } });
  t.match(shown("i0"), { kind: "ipip", ipip: { local: "192.0.2.1", remote: "192.0.2.2" } });
  t.match(shown("i1"), { kind: "ipip", ipip: { collectMetadata: true } });
  t.equal(shown("g0").mac, undefined, "four bytes are no Ethernet address");
});
