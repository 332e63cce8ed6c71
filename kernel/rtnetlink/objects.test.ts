import t from "tap";
import { parseAddress } from "../../net/address.ts";
import { parseMac } from "../../net/mac.ts";
import { parsePrefix } from "../../net/prefix.ts";
import type { Message } from "../netlink/message.ts";
import { addAddress, decodeAddress, deleteAddress } from "./address.ts";
import { describeRouteMessage } from "./describe.ts";
import { appendFdb, decodeFdb, decodeNeighbour, replaceFdb, replaceNeighbour } from "./neighbour.ts";
import { addRoute, decodeRoute, deleteRoute, replaceRoute } from "./route.ts";
import { addRule, decodeRule } from "./rule.ts";
import type { RouteSocket } from "./socket.ts";
import { captured, recorder } from "./testdata/captured.ts";

type Row = readonly [command: string, ours: (rt: RouteSocket) => void, says: object];

const addresses: readonly Row[] = [
  [
    "ip addr add 10.0.0.1/24 dev v0",
    (rt) => addAddress(rt, { index: 3, address: parsePrefix("10.0.0.1/24") }),
    { index: 3, address: "10.0.0.1/24" },
  ],
  [
    "ip addr add 10.0.0.1/24 broadcast 10.0.0.255 dev v0 noprefixroute",
    (rt) => {
      const broadcast = parseAddress("10.0.0.255");
      addAddress(rt, { index: 3, address: parsePrefix("10.0.0.1/24"), broadcast, noPrefixRoute: true });
    },
    { broadcast: "10.0.0.255", noPrefixRoute: true },
  ],
  [
    "ip addr add 10.0.0.1 peer 10.0.0.2 dev v0 scope link",
    (rt) =>
      addAddress(rt, { index: 3, address: parsePrefix("10.0.0.1/32"), peer: parseAddress("10.0.0.2"), scope: "link" }),
    { address: "10.0.0.1/32", peer: "10.0.0.2", scope: "link" },
  ],
  [
    "ip addr add fd00::1/64 dev v0 nodad",
    (rt) => addAddress(rt, { index: 3, address: parsePrefix("fd00::1/64"), noDad: true }),
    { address: "fd00::1/64", noDad: true },
  ],
  [
    "ip addr del fd00::1/64 dev v0",
    (rt) => deleteAddress(rt, { index: 3, address: parsePrefix("fd00::1/64") }),
    { address: "fd00::1/64" },
  ],
];

const routes: readonly Row[] = [
  [
    "ip route add default via 10.0.0.2 dev v0 mtu 1300 advmss 1260 proto 112",
    (rt) =>
      addRoute(rt, {
        dst: parsePrefix("0.0.0.0/0"),
        via: parseAddress("10.0.0.2"),
        dev: 3,
        mtu: 1300,
        advmss: 1260,
        protocol: 112,
      }),
    {
      dst: "0.0.0.0/0",
      via: "10.0.0.2",
      dev: 3,
      mtu: 1300,
      advmss: 1260,
      protocol: 112,
      table: 254,
      scope: "universe",
    },
  ],
  [
    "ip route replace 10.5.0.0/16 via 192.0.2.7 dev v0 onlink src 10.0.0.1 metric 50 table 1000",
    (rt) => {
      const via = parseAddress("192.0.2.7");
      const src = parseAddress("10.0.0.1");
      replaceRoute(rt, { dst: parsePrefix("10.5.0.0/16"), via, dev: 3, onlink: true, src, metric: 50, table: 1000 });
    },
    { dst: "10.5.0.0/16", via: "192.0.2.7", onlink: true, src: "10.0.0.1", metric: 50, table: 1000 },
  ],
  [
    "ip route add 10.6.0.0/24 dev v0",
    (rt) => addRoute(rt, { dst: parsePrefix("10.6.0.0/24"), dev: 3 }),
    { scope: "link", dev: 3 },
  ],
  [
    "ip route add blackhole 10.7.0.0/16",
    (rt) => addRoute(rt, { dst: parsePrefix("10.7.0.0/16"), type: "blackhole" }),
    { type: "blackhole" },
  ],
  [
    "ip route add 10.8.0.0/16 nexthop via 10.0.0.2 dev v0 weight 2 nexthop via 10.0.0.3 dev v0 onlink",
    (rt) => {
      const multipath = [
        { via: parseAddress("10.0.0.2"), dev: 3, weight: 2 },
        { via: parseAddress("10.0.0.3"), dev: 3, onlink: true },
      ];
      addRoute(rt, { dst: parsePrefix("10.8.0.0/16"), multipath });
    },
    {
      multipath: [
        { via: "10.0.0.2", dev: 3, weight: 2 },
        { via: "10.0.0.3", dev: 3, weight: 1, onlink: true },
      ],
    },
  ],
  [
    "ip route add 10.9.0.0/24 encap ip id 7 dst 192.0.2.1 ttl 9 dev vx0",
    (rt) => {
      const encap = { type: "ip", id: 7, dst: parseAddress("192.0.2.1"), ttl: 9 } as const;
      addRoute(rt, { dst: parsePrefix("10.9.0.0/24"), dev: 2, encap });
    },
    { dst: "10.9.0.0/24", encap: { type: "ip", id: 7, dst: "192.0.2.1", ttl: 9 } },
  ],
  [
    "ip -6 route add fd09::/64 encap ip6 id 7 dst fd00::9 src fd00::1 csum dev vx0",
    (rt) => {
      const encap = {
        type: "ip",
        id: 7,
        dst: parseAddress("fd00::9"),
        src: parseAddress("fd00::1"),
        flags: ["csum"],
      } as const;
      addRoute(rt, { dst: parsePrefix("fd09::/64"), dev: 2, encap });
    },
    { dst: "fd09::/64", encap: { type: "ip", id: 7, dst: "fd00::9", src: "fd00::1", flags: ["csum"] } },
  ],
  [
    "ip -6 route add default via fd00::2 dev v0 metric 5",
    (rt) => addRoute(rt, { dst: parsePrefix("::/0"), via: parseAddress("fd00::2"), dev: 3, metric: 5 }),
    { dst: "::/0", via: "fd00::2", metric: 5 },
  ],
  [
    "ip route del 10.6.0.0/24",
    (rt) => deleteRoute(rt, { dst: parsePrefix("10.6.0.0/24") }),
    { dst: "10.6.0.0/24", scope: "nowhere" },
  ],
];

const neighbours: readonly Row[] = [
  [
    "ip neigh replace 10.0.0.2 lladdr 02:00:00:00:00:02 dev v0 nud permanent protocol 112",
    (rt) =>
      replaceNeighbour(rt, {
        index: 3,
        address: parseAddress("10.0.0.2"),
        mac: parseMac("02:00:00:00:00:02"),
        protocol: 112,
      }),
    { index: 3, address: "10.0.0.2", mac: "02:00:00:00:00:02", state: "permanent", protocol: 112 },
  ],
  [
    "ip neigh replace fd00::2 lladdr 02:00:00:00:00:02 dev v0 nud stale",
    (rt) =>
      replaceNeighbour(rt, {
        index: 3,
        address: parseAddress("fd00::2"),
        mac: parseMac("02:00:00:00:00:02"),
        state: "stale",
      }),
    { address: "fd00::2", state: "stale" },
  ],
];

const fdb: readonly Row[] = [
  [
    "bridge fdb replace 02:00:00:00:00:03 dev vx0 dst 192.0.2.3 vni 9 port 4789 self permanent",
    (rt) =>
      replaceFdb(rt, {
        index: 2,
        mac: parseMac("02:00:00:00:00:03"),
        dst: parseAddress("192.0.2.3"),
        vni: 9,
        port: 4789,
      }),
    {
      index: 2,
      mac: "02:00:00:00:00:03",
      dst: "192.0.2.3",
      vni: 9,
      port: 4789,
      self: true,
      master: false,
      state: "permanent",
    },
  ],
  [
    "bridge fdb append 00:00:00:00:00:00 dev vx0 dst 192.0.2.4 self permanent",
    (rt) => appendFdb(rt, { index: 2, mac: parseMac("00:00:00:00:00:00"), dst: parseAddress("192.0.2.4") }),
    { mac: "00:00:00:00:00:00", dst: "192.0.2.4", self: true },
  ],
  [
    "bridge fdb replace 02:00:00:00:00:05 dev v0 master permanent",
    (rt) => replaceFdb(rt, { index: 4, mac: parseMac("02:00:00:00:00:05") }),
    { index: 4, self: false, master: true },
  ],
];

const rules: readonly Row[] = [
  [
    "ip rule add from 10.0.0.0/8 fwmark 0x1/0xf iif lo table 1000 priority 100 protocol 112",
    (rt) =>
      addRule(rt, {
        family: 4,
        src: parsePrefix("10.0.0.0/8"),
        mark: 1,
        mask: 15,
        iif: "lo",
        table: 1000,
        priority: 100,
        protocol: 112,
      }),
    {
      family: 4,
      src: "10.0.0.0/8",
      mark: 1,
      mask: 15,
      iif: "lo",
      table: 1000,
      priority: 100,
      protocol: 112,
      action: "table",
    },
  ],
  [
    "ip -6 rule add not to fd00::/8 blackhole priority 101",
    (rt) => addRule(rt, { family: 6, dst: parsePrefix("fd00::/8"), action: "blackhole", invert: true, priority: 101 }),
    { family: 6, dst: "fd00::/8", action: "blackhole", invert: true },
  ],
];

const files: readonly [file: string, rows: readonly Row[], decode: (message: Message) => object | undefined][] = [
  ["address", addresses, decodeAddress],
  ["route", routes, decodeRoute],
  ["neighbour", neighbours, decodeNeighbour],
  ["neighbour", fdb, decodeFdb],
  ["rule", rules, decodeRule],
];

for (const [file, rows, decode] of files) {
  const messages = captured(file);
  for (const [command, ours, says] of rows) {
    t.test(command, async (t) => {
      const theirs = messages.get(command);
      if (theirs === undefined) throw new Error(`testdata/${file}.hex lacks "${command}"`);
      t.match(decode(theirs), says, "what ip(8) sent is understood");
      const { rt, sent } = recorder();
      ours(rt);
      t.equal(sent.length, 1);
      const [mine = theirs] = sent;
      t.equal(mine.type, theirs.type);
      t.equal(mine.flags, theirs.flags);
      t.strictSame(decode(mine), decode(theirs), "ours says the same");
    });
  }
}

t.test("the debug printer has words for every captured message", async (t) => {
  for (const file of ["link", "address", "route", "neighbour", "rule"]) {
    for (const [command, message] of captured(file))
      t.match(describeRouteMessage(message), /^RTM_(NEW|DEL|SET)[A-Z]+ \{/, command);
  }
});

t.test("messages cut off anywhere throw a RangeError or read as less, and never loop", async (t) => {
  const decoders = [decodeAddress, decodeRoute, decodeNeighbour, decodeFdb, decodeRule];
  for (const file of ["address", "route", "neighbour", "rule"]) {
    for (const message of captured(file).values()) {
      for (let length = 0; length < message.body.length; length++) {
        for (const decode of decoders)
          decodeOrRangeError(() => decode({ ...message, body: message.body.slice(0, length) }));
      }
    }
  }
  t.pass();
});

function decodeOrRangeError(decode: () => void): void {
  try {
    decode();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
}

t.test("addresses of families that are not IP are left out, not a broken dump", async (t) => {
  const mctp = Uint8Array.of(45, 0, 0, 0, 7, 0, 0, 0, 5, 0, 2, 0, 8, 0, 0, 0); // AF_MCTP: IFA_LOCAL has one byte
  t.equal(decodeAddress({ type: 20, flags: 0, sequence: 0, port: 0, body: mctp }), undefined);
});
