import t from "tap";
import { ROUTE_PROTOCOL } from "../../kernel/mark.ts";
import { addAddress, deleteAddress, listAddresses, replaceAddress } from "../../kernel/rtnetlink/address.ts";
import { addLink, getLink, type Link, setLink } from "../../kernel/rtnetlink/link.ts";
import {
  appendFdb,
  deleteFdb,
  deleteNeighbour,
  listFdb,
  listNeighbours,
  replaceFdb,
  replaceNeighbour,
} from "../../kernel/rtnetlink/neighbour.ts";
import {
  addRoute,
  deleteRoute,
  getRoute,
  listRoutes,
  type Route,
  replaceRoute,
  replaceRoutes,
} from "../../kernel/rtnetlink/route.ts";
import { addRule, deleteRule, listRules } from "../../kernel/rtnetlink/rule.ts";
import { parseAddress } from "../../net/address.ts";
import { parseMac } from "../../net/mac.ts";
import { parsePrefix } from "../../net/prefix.ts";
import { type KernelNode, makeNode } from "./kernel-node.ts";

const ip = parseAddress;
const net = parsePrefix;

/** A pair of links that are up, the first with an address of each family. */
function wire({ rt }: KernelNode): Link {
  const link = addLink(rt, { kind: "veth", name: "v0", up: true, peer: { name: "v1", up: true } });
  addAddress(rt, { index: link.index, address: net("10.0.0.1/24") });
  addAddress(rt, { index: link.index, address: net("fd00::1/64"), noDad: true });
  return link;
}

t.test("addresses of both families go and come", async (t) => {
  const node = makeNode(t);
  const { rt, text } = node;
  const { index } = wire(node);
  addAddress(rt, {
    index,
    address: net("10.1.0.1/16"),
    broadcast: ip("10.1.255.255"),
    noPrefixRoute: true,
    scope: "link",
  });
  const printed = text("ip -o addr show dev v0");
  t.match(printed, /inet 10\.0\.0\.1\/24 scope global v0/);
  t.match(printed, /inet 10\.1\.0\.1\/16 brd 10\.1\.255\.255 scope link noprefixroute v0/);
  t.match(printed, /inet6 fd00::1\/64 scope global nodad/);
  const listed = (address: string) => listAddresses(rt, { index }).find((each) => each.address === address);
  t.match(listed("10.0.0.1/24"), { noPrefixRoute: false, permanent: true, scope: "universe" });
  t.match(listed("10.1.0.1/16"), { scope: "link", noPrefixRoute: true, broadcast: "10.1.255.255" });
  t.match(listed("fd00::1/64"), { noDad: true, tentative: false });
  t.throws(() => addAddress(rt, { index, address: net("10.0.0.1/24") }), { code: "EEXIST" });
  replaceAddress(rt, { index, address: net("10.0.0.1/24") });
  replaceAddress(rt, { index, address: net("fd00::1/64"), noDad: true });
  for (const address of [net("10.1.0.1/16"), net("fd00::1/64")]) {
    deleteAddress(rt, { index, address });
    t.throws(() => deleteAddress(rt, { index, address }), { code: "EADDRNOTAVAIL" });
    deleteAddress(rt, { index, address }, { missingOk: true });
  }
  t.strictSame(
    listAddresses(rt, { index, family: 4 }).map((each) => each.address),
    ["10.0.0.1/24"],
  );
  t.strictSame(listAddresses(rt, { index: 1 }), [], "of the link that was asked for, none of the others");
});

t.test("routes are what ip route prints, and ip's routes are what we list", async (t) => {
  const node = makeNode(t);
  const { rt, json, text } = node;
  const { index } = wire(node);
  addRoute(rt, { dst: net("0.0.0.0/0"), via: ip("10.0.0.2"), mtu: 1300, advmss: 1200, protocol: ROUTE_PROTOCOL });
  addRoute(rt, { dst: net("::/0"), via: ip("fd00::2"), mtu: 1300, protocol: ROUTE_PROTOCOL });
  replaceRoute(rt, {
    dst: net("10.5.0.0/16"),
    via: ip("192.0.2.7"),
    dev: index,
    onlink: true,
    src: ip("10.0.0.1"),
    metric: 50,
  });
  replaceRoute(rt, { dst: net("fd05::/64"), via: ip("fd77::7"), dev: index, onlink: true, metric: 50 });
  t.match(json("ip -j route show proto 112"), [
    { dst: "default", gateway: "10.0.0.2", dev: "v0", metrics: [{ mtu: 1300, advmss: 1200 }] },
  ]);
  t.match(json("ip -6 -j route show proto 112"), [{ dst: "default", gateway: "fd00::2", metrics: [{ mtu: 1300 }] }]);
  t.match(json("ip -j route show 10.5.0.0/16"), [
    { gateway: "192.0.2.7", prefsrc: "10.0.0.1", metric: 50, flags: ["onlink"] },
  ]);
  t.match(json("ip -6 -j route show fd05::/64"), [{ gateway: "fd77::7", metric: 50, flags: ["onlink"] }]);
  t.match(listRoutes(rt, { protocol: ROUTE_PROTOCOL }), [
    { dst: "0.0.0.0/0", via: "10.0.0.2", dev: index, mtu: 1300, advmss: 1200, table: 254, scope: "universe" },
    { dst: "::/0", via: "fd00::2", dev: index, mtu: 1300, table: 254, metric: 1024 },
  ]);
  text("ip route add blackhole 10.7.0.0/16; ip route add 10.8.0.0/16 nexthop via 10.0.0.2 weight 2 nexthop dev v0");
  text("ip -6 route add unreachable fd07::/48 table 5000; ip route add 10.6.0.0/24 via inet6 fd00::9 dev v0");
  t.match(
    listRoutes(rt, { family: 4 }).filter((route) => /^10\.[678]/.test(route.dst)),
    [
      { dst: "10.6.0.0/24", via: "fd00::9", dev: index },
      { dst: "10.7.0.0/16", type: "blackhole" },
      {
        dst: "10.8.0.0/16",
        multipath: [
          { via: "10.0.0.2", dev: index, weight: 2 },
          { dev: index, weight: 1 },
        ],
      },
    ],
  );
  t.match(listRoutes(rt, { table: 5000 }), [{ dst: "fd07::/48", type: "unreachable", table: 5000 }]);
  t.strictSame(listRoutes(rt, { table: 6000 }), [], "no such table, no routes");
  t.ok(listRoutes(rt, { table: 255, family: 4 }).some((route) => route.type === "local"));
});

t.test("every kind of route can be replaced, listed and deleted by what was listed", async (t) => {
  const node = makeNode(t);
  const { rt } = node;
  const dev = wire(node).index;
  const routes: readonly Route[] = [
    { dst: net("10.5.0.0/16"), via: ip("10.0.0.2"), metric: 7 },
    { dst: net("10.5.0.0/16"), via: ip("10.0.0.3"), metric: 8 },
    { dst: net("10.6.0.0/24"), dev, src: ip("10.0.0.1") },
    { dst: net("10.7.0.0/24"), type: "blackhole" },
    { dst: net("10.8.0.0/24"), via: ip("fd00::5"), dev },
    {
      dst: net("10.9.0.0/24"),
      multipath: [
        { via: ip("10.0.0.2"), dev },
        { via: ip("10.0.0.3"), dev, weight: 3 },
      ],
    },
    { dst: net("fd05::/64"), via: ip("fd00::2"), mtu: 1280 },
    { dst: net("fd06::/64"), dev },
    { dst: net("fd07::/64"), type: "unreachable" },
    {
      dst: net("fd09::/64"),
      multipath: [
        { via: ip("fd00::2"), dev },
        { via: ip("fd00::3"), dev },
      ],
    },
  ];
  const ours = { protocol: ROUTE_PROTOCOL, table: 1234 };
  for (const route of routes) replaceRoute(rt, { ...route, ...ours });
  for (const route of routes) replaceRoute(rt, { ...route, ...ours });
  t.equal(listRoutes(rt, ours).length, routes.length, "replacing twice makes no second one");
  t.throws(() => addRoute(rt, { dst: net("10.7.0.0/24"), type: "blackhole", ...ours }), { code: "EEXIST" });
  for (const route of listRoutes(rt, ours)) deleteRoute(rt, route);
  t.strictSame(listRoutes(rt, ours), []);
  t.throws(() => deleteRoute(rt, { dst: net("10.7.0.0/24") }), { code: "ESRCH" });
  deleteRoute(rt, { dst: net("10.7.0.0/24") }, { missingOk: true });
  deleteRoute(rt, { dst: net("fd77::/64") }, { missingOk: true });
  deleteRoute(rt, { dst: net("10.7.0.0/24"), dev: 999 }, { missingOk: true });
});

t.test("a flow route is one route with encap ip, as ip route prints it, in both families", async (t) => {
  const { rt, text, json } = makeNode(t);
  const gpe = addLink(rt, {
    kind: "vxlan",
    name: "vx",
    vxlan: { collectMetadata: true, gpe: true, port: 4790 },
    mtu: 1450,
    up: true,
  });
  addAddress(rt, { index: gpe.index, address: net("10.244.1.0/32") });
  const four = {
    dst: net("10.244.2.0/24"),
    dev: gpe.index,
    src: ip("10.244.1.0"),
    encap: { type: "ip", id: 7, dst: ip("192.0.2.1") },
  } as const;
  replaceRoute(rt, { ...four, protocol: ROUTE_PROTOCOL });
  replaceRoute(rt, {
    dst: net("fd44:2::/64"),
    dev: gpe.index,
    encap: { type: "ip", id: 8, dst: ip("fd00::9"), ttl: 5, tos: 4, flags: ["csum"] },
  });
  t.equal(
    text("ip route show 10.244.2.0/24").trim(),
    "10.244.2.0/24  encap ip id 7 src 0.0.0.0 dst 192.0.2.1 ttl 0 tos 0 dev vx proto 112 scope link src 10.244.1.0",
  );
  t.match(json("ip -6 -j route show fd44:2::/64"), [
    { encap: "ip6", id: 8, dst: "fd00::9", hoplimit: 5, tc: 4, csum: true },
  ]);
  const [listed] = listRoutes(rt, { protocol: ROUTE_PROTOCOL });
  t.match(listed, four);
  t.strictSame(listed?.encap, four.encap, "no keys that were not given");
  replaceRoute(rt, { ...four, protocol: ROUTE_PROTOCOL, encap: { ...four.encap, dst: ip("192.0.2.2") } });
  t.match(listRoutes(rt, { protocol: ROUTE_PROTOCOL }), [{ encap: { dst: "192.0.2.2" } }], "replaced, not added");
  text(
    "ip route add 10.244.3.0/24 encap ip id 7 dst 192.0.2.3 dev vx; ip route add 10.244.4.0/24 encap ip6 id 7 dst fd00::4 dev vx",
  );
  t.match(
    listRoutes(rt, { dev: gpe.index, family: 4 }).map((route) => route.encap?.dst),
    ["192.0.2.2", "192.0.2.3", "fd00::4"],
  );
  for (const route of listRoutes(rt, { dev: gpe.index })) if (route.encap) deleteRoute(rt, route);
  t.equal(text("ip route show dev vx").trim(), "");
});

t.test("getRoute says where a packet would go", async (t) => {
  const node = makeNode(t);
  const { rt } = node;
  const { index } = wire(node);
  setLink(rt, "lo", { up: true });
  t.match(getRoute(rt, ip("10.0.0.9")), { type: "unicast", dev: index, src: "10.0.0.1" });
  t.equal(getRoute(rt, ip("10.0.0.9")).via, undefined);
  t.match(getRoute(rt, ip("10.0.0.1")), { type: "local" });
  addRoute(rt, { dst: net("0.0.0.0/0"), via: ip("10.0.0.2"), mtu: 1400 });
  addRoute(rt, { dst: net("::/0"), via: ip("fd00::2") });
  t.match(getRoute(rt, ip("192.0.2.1")), { dev: index, via: "10.0.0.2", mtu: 1400 });
  t.match(getRoute(rt, ip("2001:db8::1")), { dev: index, via: "fd00::2" });
  deleteRoute(rt, { dst: net("0.0.0.0/0") });
  t.throws(() => getRoute(rt, ip("192.0.2.1")), { code: "ENETUNREACH", request: "RTM_GETROUTE 192.0.2.1" });
});

t.test("neighbours of both families, ours told from others'", async (t) => {
  const node = makeNode(t);
  const { rt, json, text } = node;
  const { index } = wire(node);
  const mac = parseMac("02:00:00:00:00:44");
  for (const address of [ip("10.0.0.4"), ip("fd00::4")])
    replaceNeighbour(rt, { index, address, mac, protocol: ROUTE_PROTOCOL });
  t.match(json("ip -j neigh show proto 112 dev v0"), [
    { dst: "10.0.0.4", lladdr: mac, state: ["PERMANENT"] },
    { dst: "fd00::4", lladdr: mac, state: ["PERMANENT"] },
  ]);
  text("ip neigh add 10.0.0.5 lladdr 02:00:00:00:00:55 dev v0 nud stale");
  t.match(
    listNeighbours(rt, { index, family: 4 }).find((each) => each.address === "10.0.0.5"),
    { state: "stale", mac: "02:00:00:00:00:55" },
  );
  const other = parseMac("02:00:00:00:00:45");
  replaceNeighbour(rt, { index, address: ip("10.0.0.4"), mac: other, protocol: ROUTE_PROTOCOL });
  t.match(listNeighbours(rt, { index, protocol: ROUTE_PROTOCOL }), [
    { address: "10.0.0.4", mac: other },
    { address: "fd00::4", mac },
  ]);
  for (const neighbour of listNeighbours(rt, { protocol: ROUTE_PROTOCOL })) deleteNeighbour(rt, neighbour);
  t.strictSame(listNeighbours(rt, { protocol: ROUTE_PROTOCOL }), []);
  t.throws(() => deleteNeighbour(rt, { index, address: ip("10.0.0.4") }), { code: "ENOENT" });
  deleteNeighbour(rt, { index, address: ip("fd00::4") }, { missingOk: true });
});

t.test("forwarding entries of VXLAN devices and of bridges", async (t) => {
  const { rt, json, text } = makeNode(t);
  const zero = parseMac("00:00:00:00:00:00");
  const mac = parseMac("02:00:00:00:00:03");
  const index = addLink(rt, {
    kind: "vxlan",
    name: "vx",
    vxlan: { id: 1, port: 8472, learning: false },
    up: true,
  }).index;
  replaceFdb(rt, { index, mac, dst: ip("192.0.2.3"), vni: 9, port: 4789 });
  replaceFdb(rt, { index, mac, dst: ip("192.0.2.4") });
  appendFdb(rt, { index, mac: zero, dst: ip("192.0.2.5") });
  appendFdb(rt, { index, mac: zero, dst: ip("192.0.2.6") });
  appendFdb(rt, { index, mac: zero, dst: ip("192.0.2.6") });
  t.match(json("bridge -j fdb show dev vx"), [
    { mac: zero, dst: "192.0.2.5", flags: ["self"], state: "permanent" },
    { mac: zero, dst: "192.0.2.6" },
    { mac, dst: "192.0.2.4" },
  ]);
  t.equal(listFdb(rt, { index }).length, 3);
  text("bridge fdb append 00:00:00:00:00:00 dev vx dst 192.0.2.7 vni 5 port 99 self permanent");
  t.match(
    listFdb(rt, { index }).find((entry) => entry.dst === "192.0.2.7"),
    { vni: 5, port: 99, state: "permanent", self: true },
  );
  const six = addLink(rt, {
    kind: "vxlan",
    name: "v6",
    vxlan: { id: 2, port: 8473, local: ip("fd00::1"), learning: false },
    up: true,
  }).index;
  replaceFdb(rt, { index: six, mac, dst: ip("fd00::2") });
  t.match(listFdb(rt, { index: six }), [{ mac, dst: "fd00::2", self: true }]);
  for (const entry of listFdb(rt, { index })) deleteFdb(rt, entry);
  t.strictSame(listFdb(rt, { index }), []);
  t.throws(() => deleteFdb(rt, { index, mac, dst: ip("192.0.2.4") }), { code: "ENOENT" });
  deleteFdb(rt, { index, mac, dst: ip("192.0.2.4") }, { missingOk: true });

  const bridge = addLink(rt, { kind: "bridge", name: "br0", up: true }).index;
  const port = addLink(rt, { kind: "veth", name: "p0", master: bridge, peer: { name: "q0" } }).index;
  replaceFdb(rt, { index: port, mac, state: "noarp" });
  t.match(text("bridge fdb show dev p0"), `${mac} master br0 static`);
  t.match(
    listFdb(rt, { bridge }).find((entry) => entry.mac === mac),
    { index: port, master: true, state: "noarp" },
  );
  deleteFdb(rt, { index: port, mac });
  t.equal(getLink(rt, "p0")?.index, port);
});

t.test("rules of both families", async (t) => {
  const { rt, json, text } = makeNode(t);
  addRule(rt, {
    family: 4,
    src: net("10.0.0.0/8"),
    mark: 1,
    mask: 15,
    table: 1000,
    priority: 100,
    protocol: ROUTE_PROTOCOL,
  });
  addRule(rt, {
    family: 6,
    dst: net("fd00::/8"),
    iif: "lo",
    action: "blackhole",
    priority: 101,
    protocol: ROUTE_PROTOCOL,
  });
  t.match(json("ip -j rule show priority 100"), [
    { src: "10.0.0.0", srclen: 8, fwmark: "0x1", fwmask: "0xf", table: "1000", protocol: "112" },
  ]);
  t.match(text("ip -6 rule show priority 101"), /to fd00::\/8 iif lo blackhole proto 112/);
  t.match(listRules(rt, { protocol: ROUTE_PROTOCOL }), [
    { family: 4, src: "10.0.0.0/8", mark: 1, mask: 15, table: 1000, priority: 100, action: "table" },
    { family: 6, dst: "fd00::/8", iif: "lo", action: "blackhole", priority: 101 },
  ]);
  text(
    "ip rule add not from 192.0.2.0/24 lookup main suppress_prefixlength 0 priority 102; ip rule add goto 32766 priority 103",
  );
  t.match(
    listRules(rt, { family: 4 }).filter((rule) => rule.priority === 102 || rule.priority === 103),
    [
      { invert: true, src: "192.0.2.0/24", suppressPrefixLength: 0 },
      { action: "goto", goto: 32766 },
    ],
  );
  const ours = { family: 4, priority: 100 } as const;
  for (const rule of listRules(rt, { protocol: ROUTE_PROTOCOL })) deleteRule(rt, rule);
  t.strictSame(listRules(rt, { protocol: ROUTE_PROTOCOL }), []);
  t.throws(() => deleteRule(rt, ours), { code: "ENOENT" });
  deleteRule(rt, ours, { missingOk: true });
});

t.test("a thousand routes go in with few system calls, and each answer is its own", async (t) => {
  const node = makeNode(t);
  const { rt } = node;
  const { index } = wire(node);
  const subnets = Array.from({ length: 1000 }, (_, i) => net(`10.${100 + (i >> 8)}.${i & 255}.0/24`));
  const outside = { dst: net("10.99.0.0/24"), via: ip("192.0.2.1"), protocol: ROUTE_PROTOCOL };
  const routes: Route[] = subnets.map((dst) => ({ dst, dev: index, protocol: ROUTE_PROTOCOL }));
  const outcomes = replaceRoutes(rt, [...routes.slice(0, 500), outside, ...routes.slice(500)]);
  t.match(outcomes[500], { code: "ENETUNREACH", request: "RTM_NEWROUTE 10.99.0.0/24", extack: /gateway/ });
  t.equal(outcomes.filter((outcome) => outcome !== undefined).length, 1);
  t.strictSame(
    listRoutes(rt, { protocol: ROUTE_PROTOCOL }).map((route) => route.dst),
    subnets,
  );
});
