import { existsSync } from "node:fs";
import { release } from "node:os";
import t from "tap";
import { NetlinkError } from "../../kernel/netlink/error.ts";
import { createNamedNetns, currentNetns, deleteNamedNetns, inNetns, openNetns } from "../../kernel/netns.ts";
import { addAddress, addAddressRequest, listAddresses } from "../../kernel/rtnetlink/address.ts";
import {
  addLink,
  createLink,
  deleteLink,
  deleteLinkGroup,
  getLink,
  listLinks,
  setLink,
  setLinkRequest,
} from "../../kernel/rtnetlink/link.ts";
import { openRoute, type RouteSocket } from "../../kernel/rtnetlink/socket.ts";
import { readSysctl, setIpv6Conf, writeSysctl } from "../../kernel/sysctl.ts";
import { parseAddress } from "../../net/address.ts";
import { parseMac } from "../../net/mac.ts";
import { parsePrefix } from "../../net/prefix.ts";
import { makeNode } from "./kernel-node.ts";

t.test("named namespaces are those of ip netns", async (t) => {
  const { name, netns, text } = makeNode(t);
  t.match(text("ip netns list"), new RegExp(`^${name}\\b`, "m"));
  t.equal(text(`ip netns exec ${name} readlink /proc/self/ns/net`).trim(), `net:[${netns.inode}]`);
  t.equal(text("ip -o link").trim().split("\n").length, 1, "fresh: nothing but lo");
  t.throws(() => createNamedNetns(name), { code: "EEXIST" });
  for (const bad of ["", "..", "a/b", "a\0"]) t.throws(() => createNamedNetns(bad), RangeError);
  deleteNamedNetns(name);
  t.notOk(existsSync(netns.path));
  t.throws(() => openNetns(netns.path), { name: "NotANamespaceError" });
  t.throws(() => deleteNamedNetns(name), { code: "ENOENT" });
  deleteNamedNetns(name, "/run/netns", { missingOk: true });
});

t.test("inNetns comes back after errors, nests, and refuses promises", async (t) => {
  const { netns } = makeNode(t);
  const inside = () => {
    using here = currentNetns();
    return here.inode;
  };
  const home = inside();
  t.equal(inNetns(netns, inside), netns.inode);
  t.equal(
    inNetns(netns.path, () => inNetns(undefined, inside)),
    netns.inode,
  );
  t.throws(() => inNetns(netns, () => JSON.parse("{")), SyntaxError);
  t.throws(() => inNetns(netns, async () => undefined), TypeError);
  t.equal(inside(), home);
});

t.test("S4: the descriptor stays the namespace when the path is swapped", async (t) => {
  const { netns, rt, name } = makeNode(t);
  addLink(rt, { kind: "ifb", name: "mine" });
  deleteNamedNetns(name);
  createNamedNetns(name)[Symbol.dispose]();
  using again = openRoute(netns);
  t.ok(getLink(again, "mine"));
  using other = openRoute(netns.path);
  t.equal(getLink(other, "mine"), undefined);
});

t.test("sysctls are the namespace's own and are written only when different", async (t) => {
  const { netns, rt, text } = makeNode(t);
  const before = readSysctl("net/ipv4/ip_forward");
  const options = { netns };
  t.equal(
    writeSysctl("net/ipv4/ip_forward", readSysctl("net/ipv4/ip_forward", options) === "1" ? 0 : 1, options),
    true,
  );
  t.equal(writeSysctl("net/ipv4/ip_forward", text("cat /proc/sys/net/ipv4/ip_forward").trim(), options), false);
  t.equal(readSysctl("net/ipv4/ip_forward"), before, "not ours");
  addLink(rt, { kind: "ifb", name: "eth0.100" });
  t.equal(writeSysctl("net/ipv6/conf/eth0.100/accept_ra", 0, { netns: netns.path }), true);
  t.equal(text("cat /proc/sys/net/ipv6/conf/eth0.100/accept_ra").trim(), "0");
});

t.test("P18: the veth's peer is made in the pod's namespace, with one message and no move", async (t) => {
  const [node, pod] = [makeNode(t), makeNode(t)];
  const bridge = addLink(node.rt, { kind: "bridge", name: "br0", mac: parseMac("02:00:00:00:00:01"), up: true });
  const link = addLink(node.rt, {
    kind: "veth",
    name: "pw0",
    mac: parseMac("02:00:00:00:00:02"),
    mtu: 1400,
    master: bridge.index,
    group: 9,
    txQueueLength: 100,
    up: true,
    peer: { name: "eth0", netns: pod.netns, mac: parseMac("02:00:00:00:00:03"), mtu: 1400, txQueueLength: 50 },
  });
  t.match(node.json("ip -d -j link show dev pw0"), [
    {
      ifname: "pw0",
      mtu: 1400,
      address: "02:00:00:00:00:02",
      master: "br0",
      group: "9",
      txqlen: 100,
      linkinfo: { info_kind: "veth" },
    },
  ]);
  t.match(pod.json("ip -d -j link show dev eth0"), [
    { ifname: "eth0", mtu: 1400, address: "02:00:00:00:00:03", txqlen: 50 },
  ]);
  const peer = getLink(pod.rt, "eth0");
  t.equal(link.peerIndex, peer?.index);
  t.equal(peer?.peerIndex, link.index);
  t.equal(link.up, true);
  t.equal(link.master, bridge.index);
  // A link made here and moved would have been announced in this namespace first and used up an index of it.
  t.equal(link.index, bridge.index + 1);
  t.strictSame(
    listLinks(node.rt)
      .map((each) => each.name)
      .sort(),
    ["br0", "lo", "pw0"],
  );
});

t.test(
  "createLink tells both ends' indexes in the exchange that makes them; setLink sets what IPv4 holds",
  async (t) => {
    const [node, pod] = [makeNode(t), makeNode(t)];
    const asked: string[] = [];
    const rt: RouteSocket = {
      executeAll: (requests) => node.rt.executeAll(requests),
      dump: (request, decode) => node.rt.dump(request, decode),
      [Symbol.dispose]() {},
      execute: (request) => {
        asked.push(request.label);
        return node.rt.execute(request);
      },
      ask: (request) => {
        asked.push(request.label);
        return node.rt.ask(request);
      },
    };
    const link = createLink(rt, { kind: "veth", name: "pw0", mtu: 1400, peer: { name: "eth0", netns: pod.netns } });
    t.match(link, { name: "pw0", index: getLink(node.rt, "pw0")?.index, mtu: 1400, up: false });
    t.equal(link.peerIndex, getLink(pod.rt, "eth0")?.index);
    t.equal(asked.length, kernelEchoes() ? 1 : 2, asked.join());

    t.match(link, { ipv4: { acceptRedirects: 1, arpNotify: 0 }, ipv6: { acceptRa: 1, acceptDad: 1, disableIpv6: 0 } });
    setLink(node.rt, link.index, { up: true, ipv4: { acceptRedirects: 0, arpNotify: 1 } });
    t.match(getLink(node.rt, "pw0"), { up: true, ipv4: { acceptRedirects: 0, arpNotify: 1 } });
    const sysctl = (key: string) => readSysctl(`net/${key}`, { netns: node.netns });
    t.strictSame([sysctl("ipv4/conf/pw0/accept_redirects"), sysctl("ipv4/conf/pw0/arp_notify")], ["0", "1"]);
    inNetns(node.netns, () => setIpv6Conf("pw0", { accept_ra: 0, accept_dad: 0, disable_ipv6: 1, no_such_key: 7 }));
    t.match(getLink(node.rt, "pw0"), { ipv6: { acceptRa: 0, acceptDad: 0, acceptRedirects: 1, disableIpv6: 1 } });
  },
);

/** Whether it tells who makes a link what it tells everybody: since 6.3. */
function kernelEchoes(): boolean {
  const [major = 0, minor = 0] = release().split(".").map(Number);
  return major > 6 || (major === 6 && minor >= 3);
}

t.test("a batch: every order is executed, and each refusal is told with its request", async (t) => {
  const { rt } = makeNode(t);
  const { index } = addLink(rt, { kind: "ifb", name: "ifb9", up: true });
  const address = (text: string) => addAddressRequest({ index, address: parsePrefix(text) });
  const orders = [address("10.0.0.1/24"), address("10.0.0.1/24"), setLinkRequest(99999, { up: true })];
  const outcomes = rt.executeAll([...orders, address("10.0.0.2/24"), setLinkRequest(index, { alias: "done" })]);
  t.match(outcomes, [undefined, { code: "EEXIST", request: /10\.0\.0\.1/ }, { code: "ENODEV" }, undefined, undefined]);
  t.equal(listAddresses(rt, { index, family: 4 }).length, 2);
  t.equal(getLink(rt, index)?.alias, "done", "the answers of the batch are not in the way of the next exchange");
});

t.test("a taken name or peer name is EEXIST, and nothing is half made", async (t) => {
  const [node, pod] = [makeNode(t), makeNode(t)];
  addLink(pod.rt, { kind: "ifb", name: "eth0" });
  const veth = { kind: "veth", name: "pw0", peer: { name: "eth0", netns: pod.netns } } as const;
  t.throws(() => addLink(node.rt, veth), { code: "EEXIST", request: "RTM_NEWLINK pw0 (peer eth0)" });
  t.equal(getLink(node.rt, "pw0"), undefined);
  addLink(node.rt, { kind: "bridge", name: "br0" });
  t.throws(() => addLink(node.rt, { kind: "bridge", name: "br0", alias: "new owner" }), { code: "EEXIST" });
  t.equal(getLink(node.rt, "br0")?.alias, undefined, "the one that was there is untouched");
  t.throws(
    () => addLink(node.rt, { kind: "ifb", name: "x", port: { hairpin: true } }),
    NetlinkError,
    "no port of any bridge",
  );
  t.equal(getLink(node.rt, "x"), undefined, "deleted again");
});

t.test("two namespaces ping through a veth, over IPv4 and IPv6", async (t) => {
  const [left, right] = [makeNode(t), makeNode(t)];
  const link = addLink(left.rt, {
    kind: "veth",
    name: "v0",
    up: true,
    peer: { name: "v1", netns: right.netns, up: true },
  });
  const peer = getLink(right.rt, "v1");
  t.equal(peer?.up, true);
  addAddress(left.rt, { index: link.index, address: parsePrefix("10.0.0.1/24") });
  addAddress(left.rt, { index: link.index, address: parsePrefix("fd00::1/64"), noDad: true });
  addAddress(right.rt, { index: peer?.index ?? 0, address: parsePrefix("10.0.0.2/24") });
  addAddress(right.rt, { index: peer?.index ?? 0, address: parsePrefix("fd00::2/64"), noDad: true });
  t.match(left.text("ping -c1 -w30 10.0.0.2"), / 1 received/);
  t.match(left.text("ping -c1 -w30 fd00::2"), / 1 received/);
});

t.test("bridges and ports hold what they were told, and we read what ip made", async (t) => {
  const { rt, json, text } = makeNode(t);
  const options = { multicastSnooping: false, ageing: 120, stp: false, forwardDelay: 4 };
  const bridge = addLink(rt, { kind: "bridge", name: "br0", bridge: options, alias: "podwire bridge net=a", up: true });
  t.match(bridge.bridge, options);
  t.match(json("ip -d -j link show dev br0"), [
    {
      ifalias: "podwire bridge net=a",
      linkinfo: { info_data: { mcast_snooping: 0, ageing_time: 12000, stp_state: 0, forward_delay: 400 } },
    },
  ]);
  const port = {
    hairpin: true,
    isolated: true,
    learning: false,
    flood: false,
    multicastFlood: false,
    broadcastFlood: false,
    neighSuppress: true,
  };
  const made = addLink(rt, {
    kind: "veth",
    name: "p0",
    peer: { name: "q0" },
    master: bridge.index,
    port,
    alias: "x",
    up: true,
  });
  t.match(made, { port, alias: "x", up: true, master: bridge.index });
  t.match(json("bridge -d -j link show dev p0"), [
    {
      hairpin: true,
      isolated: true,
      learning: false,
      flood: false,
      mcast_flood: false,
      bcast_flood: false,
      neigh_suppress: true,
    },
  ]);
  setLink(rt, "p0", { port: { isolated: false }, mtu: 1300, promisc: true, name: "p1" });
  t.match(getLink(rt, made.index), { name: "p1", mtu: 1300, promisc: true, port: { isolated: false, hairpin: true } });
  setLink(rt, "br0", { bridge: { ageing: 30 } });
  t.equal(getLink(rt, "br0")?.bridge?.ageing, 30);
  text("ip link set p1 type bridge_slave guard on; ip link set br0 type bridge mcast_querier 1");
  t.match(getLink(rt, "p1")?.port, { guard: true });
  t.match(getLink(rt, "br0")?.bridge, { multicastQuerier: true });
  t.strictSame(
    listLinks(rt, { master: bridge.index }).map((link) => link.name),
    ["p1"],
  );
  setLink(rt, "p1", { master: 0, promisc: false, alias: "", up: false });
  const freed = getLink(rt, "p1");
  t.equal(freed?.master, undefined);
  t.equal(freed?.alias, undefined);
  t.match(freed, { promisc: false, up: false });
  setLink(rt, "p1", { master: bridge.index, port: { hairpin: true } });
  t.match(getLink(rt, "p1"), { master: bridge.index, port: { hairpin: true } }, "enslaved first, then told");
});

t.test("VXLAN devices, classic and flow, on both underlay families", async (t) => {
  const { rt, json, text } = makeNode(t);
  const classic = {
    id: 42,
    port: 4789,
    learning: false,
    local: parseAddress("192.0.2.1"),
    ttl: 64,
    df: "set",
    udpCsum: false,
  } as const;
  t.match(
    addLink(rt, { kind: "vxlan", name: "v4", vxlan: classic, mac: parseMac("02:00:00:00:00:09"), up: true }).vxlan,
    classic,
  );
  t.match(json("ip -d -j link show dev v4"), [
    {
      address: "02:00:00:00:00:09",
      linkinfo: { info_data: { id: 42, port: 4789, learning: false, local: "192.0.2.1", ttl: 64, df: "set" } },
    },
  ]);
  const six = {
    id: 43,
    port: 4790,
    learning: false,
    local: parseAddress("fd00::1"),
    udpZeroCsum6Rx: true,
    udpZeroCsum6Tx: true,
  };
  t.match(addLink(rt, { kind: "vxlan", name: "v6", vxlan: six, up: true }).vxlan, six);
  t.match(json("ip -d -j link show dev v6"), [
    { linkinfo: { info_data: { local6: "fd00::1", udp_zero_csum6_rx: true } } },
  ]);
  const flow = { collectMetadata: true, gpe: true, port: 4791 };
  const gpe = addLink(rt, { kind: "vxlan", name: "gpe", vxlan: flow, mtu: 1450, up: true });
  t.match(gpe.vxlan, { ...flow, learning: false });
  t.equal(gpe.mac, undefined, "no inner Ethernet");
  t.match(json("ip -d -j link show dev gpe"), [{ linkinfo: { info_data: { external: true, gpe: true, port: 4791 } } }]);
  text("ip link add theirs type vxlan id 7 dstport 8472 local 192.0.2.5 ageing 60 proxy l2miss srcport 1000 2000");
  t.match(getLink(rt, "theirs")?.vxlan, {
    id: 7,
    port: 8472,
    ageing: 60,
    proxy: true,
    l2miss: true,
    portRange: { low: 1000, high: 2000 },
  });
  t.strictSame(
    listLinks(rt, { kind: "vxlan" })
      .map((link) => link.name)
      .sort(),
    ["gpe", "theirs", "v4", "v6"],
  );
});

t.test("links are found by name and index, deleted once, and missing ones are no error when so said", async (t) => {
  const { rt } = makeNode(t);
  const link = addLink(rt, { kind: "ifb", name: "ifb9", up: true });
  t.strictSame(getLink(rt, link.index)?.name, "ifb9");
  t.equal(getLink(rt, "none"), undefined);
  t.equal(getLink(rt, 4242), undefined);
  t.match(getLink(rt, "lo"), { index: 1, name: "lo", mtu: 65536, up: false });
  deleteLink(rt, "ifb9");
  t.throws(() => deleteLink(rt, "ifb9"), { code: "ENODEV", request: "RTM_DELLINK ifb9" });
  t.throws(() => deleteLink(rt, link.index), { code: "ENODEV" });
  deleteLink(rt, "ifb9", { missingOk: true });
  t.throws(() => setLink(rt, "ifb9", { up: true, group: 5 }), { code: "ENODEV" });
  t.throws(() => setLink(rt, "ifb9", { port: { hairpin: true }, group: 5 }), { code: "ENODEV" });
});

t.test("S15: a group is deleted together and nothing else is", async (t) => {
  const { rt } = makeNode(t);
  for (const name of ["a", "b"]) addLink(rt, { kind: "ifb", name, group: 77 });
  addLink(rt, { kind: "ifb", name: "foreign", group: 78 });
  t.equal(listLinks(rt, { group: 77 }).length, 2);
  deleteLinkGroup(rt, 77);
  deleteLinkGroup(rt, 77);
  t.equal(listLinks(rt, { group: 77 }).length, 0);
  t.ok(getLink(rt, "foreign"));
});

t.test("a link moves to another namespace when told", async (t) => {
  const [node, pod] = [makeNode(t), makeNode(t)];
  addLink(node.rt, { kind: "ifb", name: "ifb5" });
  setLink(node.rt, "ifb5", { netns: pod.netns, name: "eth5" });
  t.equal(getLink(node.rt, "ifb5"), undefined);
  t.ok(getLink(pod.rt, "eth5"));
});

t.test("errors carry the kernel's sentence", async (t) => {
  const { rt } = makeNode(t);
  t.throws(() => addLink(rt, { kind: "vxlan", name: "x", vxlan: { id: 4, gpe: true } }), {
    name: "NetlinkError",
    code: "EINVAL",
    errno: 22,
    request: "RTM_NEWLINK x",
    extack: "VXLAN GPE does not support this combination of attributes",
    message: "RTM_NEWLINK x: EINVAL: VXLAN GPE does not support this combination of attributes",
  });
});
