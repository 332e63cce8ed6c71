import t from "tap";
import { contains, overlaps, parsePrefix } from "../net/prefix.ts";
import { desiredOverlay } from "./desired.ts";
import { parseNetworks, parseUnderlay, type UncheckedNetwork } from "./parse-network.ts";
import { type PeerContext, parseLeases, parsePeers, type UncheckedPeer } from "./parse-peers.ts";
import { spanOf } from "./span.ts";
import { SpanIndex } from "./span-index.ts";
import { vtepMac } from "./vtep.ts";

const pods: UncheckedNetwork = {
  name: "pods",
  cidrs: ["10.244.0.0/16", "fd00:244::/48"],
  backend: { type: "vxlan", mode: "static" },
  masquerade: true,
};
const underlay = parseUnderlay("eth0", 1500, ["192.0.2.1/24"]);

function context(networks: readonly UncheckedNetwork[] = [pods]): PeerContext {
  const { accepted } = parseNetworks(networks);
  const leases = parseLeases([{ network: "pods", subnets: ["10.244.1.0/24", "fd00:244:0:1::/64"] }], {
    networks: accepted,
    underlay,
  });
  return { nodeId: "red", networks: accepted, leases: leases.accepted, underlay };
}

function peer(more: Partial<UncheckedPeer>): UncheckedPeer {
  const base = { network: "pods", nodeId: "blue", nodeName: "blue", subnet: "10.244.2.0/24", addresses: ["192.0.2.2"] };
  return { ...base, ...more };
}

t.test("S11: hostile peers are refused with a sentence and never programmed", async (t) => {
  const rows: readonly [peer: Partial<UncheckedPeer>, reason: RegExp][] = [
    [{ subnet: "0.0.0.0/0" }, /0.0.0.0\/8 is reserved/],
    [{ subnet: "::/0" }, /::\/8 is reserved/],
    [{ subnet: "10.0.0.0/8" }, /outside the network's 10.244.0.0\/16/],
    [{ subnet: "10.245.2.0/24" }, /outside the network's/],
    [{ subnet: "224.0.0.0/24" }, /224.0.0.0\/4 is reserved/],
    [{ subnet: "ff02::/64" }, /ff00::\/8 is reserved/],
    [{ subnet: "10.244.2.1/24" }, /has host bits set/],
    [{ subnet: "10.244.2.0/32" }, /smaller than \/30/],
    [{ subnet: "10.244.1.0/24" }, /overlaps our own 10.244.1.0\/24/],
    [{ subnet: "10.244.1.128/25" }, /overlaps our own/],
    [{ subnet: "10.244.0.0/16" }, /overlaps our own/],
    [{ subnet: "fd00:244:0:1::/64" }, /overlaps our own fd00:244:0:1::\/64/],
    [{ subnet: "" }, /is not an address with a prefix length/],
    [{ subnet: "10.244.2.0/24; reboot" }, /is not an address with a prefix length/],
    [{ addresses: [] }, /no underlay address/],
    [{ addresses: ["0.0.0.0"] }, /not an address of a node/],
    [{ addresses: ["::"] }, /not an address of a node/],
    [{ addresses: ["127.0.0.1"] }, /not an address of a node/],
    [{ addresses: ["::1"] }, /not an address of a node/],
    [{ addresses: ["224.0.0.5"] }, /not an address of a node/],
    [{ addresses: ["ff02::5"] }, /not an address of a node/],
    [{ addresses: ["255.255.255.255"] }, /not an address of a node/],
    [{ addresses: ["fe80::1"] }, /not an address of a node/],
    [{ addresses: ["::ffff:127.0.0.1"] }, /not an address of a node/],
    [{ addresses: ["192.0.2.1"] }, /192.0.2.1 is that of this node/],
    [{ addresses: ["192.0.2.2", "192.0.2.3"] }, /more than one underlay address of a family/],
    [{ addresses: ["blue.example"] }, /is not an IP address/],
    [{ addresses: ["10.244.2.9"] }, /lies in the subnet itself/],
    [{ addresses: ["10.244.1.9"] }, /lies in our own 10.244.1.0\/24/],
    [{ vtepMac: "01:00:5e:00:00:01" }, /not the MAC address of a device/],
    [{ vtepMac: "00:00:00:00:00:00" }, /not the MAC address of a device/],
    [{ vtepMac: vtepMac("pods", "red") }, /VTEP MAC .* is that of this node/],
    [{ vtepMac: "x" }, /is not a MAC address/],
  ];
  for (const [hostile, reason] of rows) {
    const parsed = parsePeers([peer(hostile)], context());
    t.strictSame(parsed.accepted, [], JSON.stringify(hostile));
    t.match(parsed.refusals, [reason]);
    t.match(parsed.refusals[0], /of node "blue" in network "pods" is refused/);
  }
});

t.test("S11: a subnet over the underlay is refused", async (t) => {
  const wide = { ...pods, cidrs: ["192.0.0.0/16"] };
  const parsed = parsePeers([peer({ subnet: "192.0.2.128/25" })], { ...context([wide]), leases: [] });
  t.match(parsed.refusals, [/overlaps our underlay 192.0.2.1\/24 on eth0/]);
  t.match(parseLeases([{ network: "pods", subnets: ["192.0.2.0/25"] }], { ...context([wide]) }).refusals, [
    /our lease in network "pods" is refused: it overlaps our underlay/,
  ]);
});

t.test("S11: a subnet over another node's underlay address is refused", async (t) => {
  const nodes = [
    peer({ addresses: ["10.244.9.9"], epoch: 1n }),
    peer({ nodeId: "evil", nodeName: "evil", subnet: "10.244.9.0/24", addresses: ["192.0.2.66"], epoch: 2n }),
  ];
  const parsed = parsePeers(nodes, context());
  t.strictSame(
    parsed.accepted.map(({ nodeId }) => nodeId),
    ["blue"],
  );
  t.match(parsed.refusals, [/overlaps underlay address 10.244.9.9 of node "blue"/]);
});

t.test("of two nodes with one subnet, address or VTEP MAC the older claim holds, whatever the order", async (t) => {
  const rows: readonly [Partial<UncheckedPeer>, RegExp][] = [
    [{ subnet: "10.244.2.0/24" }, /overlaps 10.244.2.0\/24 of node "blue"/],
    [{ subnet: "10.244.2.0/26" }, /overlaps 10.244.2.0\/24 of node "blue"/],
    [{ subnet: "10.244.2.0/23" }, /overlaps 10.244.2.0\/24 of node "blue"/],
    [{ addresses: ["192.0.2.2"] }, /its underlay address 192.0.2.2 is that of node "blue"/],
    [{ vtepMac: vtepMac("pods", "blue") }, /its VTEP MAC .* is that of node "blue"/],
  ];
  for (const [claim, reason] of rows) {
    const older = peer({ epoch: 5n });
    const newer = peer({
      nodeId: "evil",
      nodeName: "evil",
      subnet: "10.244.7.0/24",
      addresses: ["192.0.2.7"],
      ...claim,
    });
    for (const order of [
      [older, { ...newer, epoch: 6n }],
      [{ ...newer, epoch: 6n }, older],
    ]) {
      const parsed = parsePeers(order, context());
      t.strictSame(
        parsed.accepted.map(({ nodeId }) => nodeId),
        ["blue"],
      );
      t.match(parsed.refusals, [reason]);
    }
  }
});

t.test("one node may have a subnet of each family, with one address and one MAC", async (t) => {
  const parsed = parsePeers([peer({}), peer({ subnet: "fd00:244:0:2::/64" })], context());
  t.equal(parsed.accepted.length, 2);
  t.strictSame(parsed.refusals, []);
});

t.test("our own, reserved and unknown networks' subnets are left out without a word", async (t) => {
  const silent = [peer({ nodeId: "red" }), peer({ nodeId: "" }), peer({ network: "other" })];
  t.strictSame(parsePeers(silent, context()), { accepted: [], refusals: [] });
});

t.test("S11: hostile networks are refused", async (t) => {
  const rows: readonly [Partial<UncheckedNetwork>, RegExp][] = [
    [{ cidrs: ["0.0.0.0/0"] }, /wider than \/8/],
    [{ cidrs: ["::/0"] }, /wider than \/8/],
    [{ cidrs: ["127.0.0.0/8"] }, /reserved/],
    [{ cidrs: ["224.0.0.0/8"] }, /reserved/],
    [{ cidrs: ["fe80::/16"] }, /reserved/],
    [{ cidrs: [] }, /no CIDR/],
    [{ cidrs: ["10.1.0.0/16", "10.2.0.0/16"] }, /more than one CIDR of a family/],
    [{ cidrs: ["10.1.0.5/16"] }, /host bits/],
    [{ name: "../etc" }, /its name is not/],
    [{ name: "a b" }, /its name is not/],
    [{ name: "x".repeat(201) }, /its name is not/],
    [{ subnetLengths: { 4: 8 } }, /subnet length 8 is not in 16..30/],
    [{ subnetLengths: { 4: 31 } }, /subnet length 31/],
    [{ backend: { type: "ipsec" } }, /backend.type: "ipsec"/],
    [{ backend: { type: "vxlan", mode: "odd" } }, /backend.mode: "odd"/],
    [{ backend: { type: "vxlan", vni: 2 ** 24 } }, /backend.vni: 16777216 is not a whole number in 1..16777215/],
    [{ backend: { type: "vxlan", port: 65536 } }, /backend.port: 65536/],
    [{ backend: { type: "vxlan", port: 1.5 } }, /backend.port: 1.5/],
    [{ backend: { type: "vxlan", mtu: 1 } }, /backend.mtu: 1 /],
  ];
  for (const [hostile, reason] of rows) {
    const parsed = parseNetworks([{ ...pods, ...hostile }]);
    t.strictSame(parsed.accepted, [], JSON.stringify(hostile));
    t.match(parsed.refusals, [reason]);
  }
});

t.test("a network that conflicts with an older one is refused", async (t) => {
  const rows: readonly [Partial<UncheckedNetwork>, RegExp][] = [
    [{ name: "pods" }, /same name/],
    [{ cidrs: ["10.244.128.0/17"] }, /CIDR 10.244.128.0\/17 overlaps 10.244.0.0\/16 of network "pods"/],
    [
      { backend: { type: "vxlan", mode: "flow", port: 8472 } },
      /backend.port: 8472 serves network "pods" in mode static/,
    ],
    [{ backend: { type: "vxlan", mode: "static" } }, /backend.vni: 1 is used by network "pods"; choose another/],
  ];
  const second = { name: "second", cidrs: ["10.99.0.0/16"], backend: { type: "vxlan" }, masquerade: false };
  t.strictSame(parseNetworks([pods, second]).refusals, []);
  for (const [conflict, reason] of rows) {
    const parsed = parseNetworks([pods, { ...second, ...conflict }]);
    t.equal(parsed.accepted.length, 1);
    t.match(parsed.refusals, [reason]);
  }
});

t.test("S11: an underlay that nothing can use is an error", async (t) => {
  const rows: readonly [string, number, string[], RegExp][] = [
    ["eth0", 0, ["192.0.2.1/24"], /MTU of underlay device eth0 is 0/],
    ["eth0", Number.NaN, ["192.0.2.1/24"], /MTU/],
    ["eth0", 1500, [], /has no address/],
    ["eth0", 1500, ["127.0.0.1/8"], /not an address of a node/],
    ["../x", 1500, ["192.0.2.1/24"], /not an interface name/],
    ["a234567890123456", 1500, ["192.0.2.1/24"], /not an interface name/],
  ];
  for (const [device, mtu, addresses, reason] of rows) t.throws(() => parseUnderlay(device, mtu, addresses), reason);
});

t.test("S16: what a peer says cannot forge a log line", async (t) => {
  const parsed = parsePeers(
    [peer({ nodeName: `a"\n{"level":"info"}${"x".repeat(500)}`, subnet: "junk\u0007" })],
    context(),
  );
  t.equal(parsed.refusals.length, 1);
  t.notMatch(parsed.refusals[0], /\p{Cc}/u);
  t.ok((parsed.refusals[0]?.length ?? 999) <= 400);
});

t.test("S11: whatever 2000 random peers say, routes lie in the network's CIDRs and never overlap", async (t) => {
  let seed = 42;
  const random = (below: number) => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 8) % below;
  };
  const pick = <T>(...values: readonly T[]): T => values[random(values.length)] as T;
  const peers = Array.from({ length: 2000 }, (_, i) =>
    peer({
      nodeId: `n${random(500)}`,
      nodeName: `n${i}`,
      subnet: pick(
        `10.${pick(244, 244, 245, 0)}.${random(256)}.0/${pick(24, 24, 16, 26, 0, 23, 30)}`,
        `fd00:${pick("244", "245")}:0:${random(512).toString(16)}::/${pick(64, 60, 48, 0)}`,
        pick("0.0.0.0/0", "224.0.0.0/4", "nonsense", "127.0.0.0/8"),
      ),
      addresses: pick(
        [`192.0.2.${random(256)}`],
        [`10.244.${random(256)}.1`],
        ["0.0.0.0"],
        [`2001:db8::${random(99)}`],
      ),
      epoch: BigInt(random(5000)),
    }),
  );
  const checked = context();
  const { accepted, refusals } = parsePeers(peers, checked);
  t.ok(accepted.length > 20, `${accepted.length} accepted, ${refusals.length} refused`);
  const state = desiredOverlay({ ...checked, peers: accepted });
  const unicast = state.routes.filter((route) => route.type === "unicast").map((route) => route.dst);
  for (const dst of unicast) {
    const inside = checked.networks.some(({ cidrs }) => cidrs.some((cidr) => contains(cidr, dst)));
    if (!inside) t.fail(`${dst} is outside`);
  }
  const all = state.routes.map(({ dst }) => dst);
  const clash = all.some((a, i) => all.slice(i + 1).some((b) => overlaps(a, b)));
  t.notOk(clash, "no two of them overlap");
});

t.test("overlapping prefixes are found in both directions", async (t) => {
  const index = new SpanIndex<string>();
  for (const text of ["10.1.0.0/16", "10.2.3.0/24", "fd00::/64"]) index.add(spanOf(parsePrefix(text)), text);
  const rows: readonly [string, string | undefined][] = [
    ["10.1.2.0/24", "10.1.0.0/16"],
    ["10.1.0.0/16", "10.1.0.0/16"],
    ["10.2.0.0/16", "10.2.3.0/24"],
    ["10.3.0.0/16", undefined],
    ["10.2.4.0/24", undefined],
    ["fd00::1/128", "fd00::/64"],
    ["fd00:0:0:1::/64", undefined],
    ["0.0.0.0/0", "10.1.0.0/16"],
  ];
  for (const [text, found] of rows) t.equal(index.findOverlap(spanOf(parsePrefix(text))), found, text);
});
