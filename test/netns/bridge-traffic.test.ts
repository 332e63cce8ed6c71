import t from "tap";
import { addressOf, attach, bridgeConf, collect, detach, FULL, RANGE_4, RANGE_6 } from "./bridge-fixture.ts";
import { eventually } from "./harness/eventually.ts";
import type { Daemon } from "./harness/exec.ts";
import { type Node, startNode } from "./harness/node.ts";
import type { Pod } from "./harness/pod.ts";

/** Sends frames of an experimental type, the last from the true MAC address. */
const FORGE = (own: string) => `
import socket
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind(("eth0", 0))
mac = lambda text: bytes.fromhex(text.replace(":", ""))
for source in ["02:66:66:66:66:66"] * 5 + ["${own}"]:
    s.send(b"\\xff" * 6 + mac(source) + b"\\x88\\xb5" + b"x" * 50)
`;
const HEAR = `
import socket
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88b5)); s.bind(("eth0", 0x88b5))
print("listening", flush=True)
while True: print("from", s.recv(100)[6:12].hex(":"), flush=True)
`;

/** Listens on both families and prints "from ADDRESS" for each datagram. */
const LISTEN = `const s = require("dgram").createSocket("udp6");
s.on("message", (_, { address }) => console.log("from", address)); s.bind(7000, "::", () => console.log("listening"));`;
const send = (address: string) =>
  `const s = require("dgram").createSocket("${address.includes(":") ? "udp6" : "udp4"}"); s.send("x", 7000, "${address}", () => s.close());`;

async function listen(spawn: (argv: readonly string[]) => Daemon): Promise<Daemon> {
  const listener = spawn([process.execPath, "-e", LISTEN]);
  await listener.prints(/listening/);
  return listener;
}

/** The source address that the listener sees of a datagram from the pod. */
async function sourceSeen(pod: Pod, listener: Daemon, address: string): Promise<string> {
  const before = listener.output.length;
  await pod.runOk([process.execPath, "-e", send(address)]);
  const seen = await listener.prints(new RegExp(`^[\\s\\S]{${before}}from (\\S+)`));
  return (seen[1] ?? "").replace("::ffff:", "");
}

/** A namespace behind the node that knows nothing of the pods' addresses. */
async function startOutside(node: Node): Promise<void> {
  await node.sh(`ip netns add outside; ip link add up0 type veth peer name eth0 netns outside
    ip link set up0 up; ip address add 203.0.113.1/24 dev up0; ip address add 2001:db8:9::1/64 dev up0 nodad
    ip -n outside link set lo up; ip -n outside link set eth0 up
    ip -n outside address add 203.0.113.2/24 dev eth0; ip -n outside address add 2001:db8:9::2/64 dev eth0 nodad`);
}

t.test("ipMasq: the world sees the node's address, pods see each other's own", async (t) => {
  const node = await startNode(t);
  const [red, blue] = [await node.pod("red"), await node.pod("blue")];
  await startOutside(node);
  const [a, b] = [await attach(node, red, FULL), await attach(node, blue, FULL)];
  const outside = await listen((argv) => node.spawn(["ip", "netns", "exec", "outside", ...argv]));
  const inside = await listen((argv) => blue.spawn(argv));
  t.equal(await sourceSeen(red, outside, "203.0.113.2"), "203.0.113.1");
  t.equal(await sourceSeen(red, outside, "2001:db8:9::2"), "2001:db8:9::1");
  for (const family of [4, 6] as const) {
    t.equal(await sourceSeen(red, inside, addressOf(b, family)), addressOf(a, family));
  }
  t.ok(await red.pings("203.0.113.2"), "answers come back");
  await detach(node, red, FULL);
  const again = await attach(node, red, { ...FULL, ipMasq: false });
  await node.sh(`ip -n outside route add 10.22.0.0/16 via 203.0.113.1`);
  t.equal(await sourceSeen(red, outside, "203.0.113.2"), addressOf(again, 4), "not without ipMasq");
});

t.test("hairpinMode: the bridge sends a pod's broadcast back to it, else it does not", async (t) => {
  const node = await startNode(t);
  const marker = await node.pod("marker");
  const last = (await attach(node, marker, bridgeConf())).interfaces[2]?.mac ?? "";
  for (const hairpinMode of [true, false]) {
    const pod = await node.pod("pod");
    const own = (await attach(node, pod, bridgeConf({ hairpinMode }))).interfaces[2]?.mac ?? "";
    const heard = pod.spawn(["python3", "-c", HEAR]);
    await heard.prints(/listening/);
    await pod.runOk(["python3", "-c", FORGE(own)]);
    await marker.runOk(["python3", "-c", FORGE(last)]);
    await heard.prints(new RegExp(`from ${last}`));
    if (hairpinMode) await heard.prints(new RegExp(`from ${own}`));
    t.equal(heard.output.includes(`from ${own}`), hairpinMode, `hairpinMode ${hairpinMode}`);
  }
});

t.test("promiscMode sets the bridge", async (t) => {
  const node = await startNode(t);
  await attach(node, await node.pod("pod"), bridgeConf({ promiscMode: true }));
  t.match(await node.sh("ip -d link show cni0"), /PROMISC/);
});

t.test("portIsolation: pods reach the gateway, but not each other", async (t) => {
  const node = await startNode(t);
  const [red, blue] = [await node.pod("red"), await node.pod("blue")];
  const conf = bridgeConf({ portIsolation: true });
  await attach(node, red, conf);
  const answer = await attach(node, blue, conf);
  for (const family of [4, 6] as const) {
    t.ok(await red.cannotPing(addressOf(answer, family)), `IPv${family}`);
    t.ok(await red.pings(family === 4 ? "10.22.0.1" : "fd00:22::1"), `gateway, IPv${family}`);
  }
});

t.test("macspoofchk: frames with another source MAC address are dropped, also after DEL and ADD", async (t) => {
  const node = await startNode(t);
  const hear = await node.pod("hear");
  await attach(node, hear, bridgeConf());
  const heard = hear.spawn(["python3", "-c", HEAR]);
  await heard.prints(/listening/);
  for (const [macspoofchk, forged] of [
    [true, 0],
    [false, 5],
    [true, 0],
  ] as const) {
    const pod = await node.pod("pod");
    const own = (await attach(node, pod, bridgeConf({ macspoofchk }))).interfaces[2]?.mac ?? "";
    const before = heard.output.length;
    await pod.runOk(["python3", "-c", FORGE(own)]);
    await heard.prints(new RegExp(`from ${own}`));
    const forgeries = () => heard.output.slice(before).match(/02:66/g)?.length ?? 0;
    await eventually(() => forgeries() >= forged, "also what another processor handed over");
    t.equal(forgeries(), forged, `macspoofchk ${macspoofchk}`);
    await detach(node, pod, bridgeConf({ macspoofchk }));
  }
  t.notMatch(await node.sh("nft list ruleset"), /pw[0-9a-f]{12}/);
});

/** A router advertisement: lifetime, and a prefix for addresses (RFC 4861, 4.2 and 4.6.2). */
const ADVERTISE = `
import socket, struct
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
index = socket.if_nametoindex("eth0")
prefix = struct.pack("!BBBBIII", 3, 4, 64, 0xc0, 86400, 14400, 0) + socket.inet_pton(socket.AF_INET6, "2001:db8:bad::")
for _ in range(3): s.sendto(struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + prefix, ("ff02::1", 0, 0, index))
`;

t.test("S5: router advertisements of a pod change no route of the node or of other pods", async (t) => {
  const node = await startNode(t);
  const [evil, victim, gullible] = [await node.pod("evil"), await node.pod("victim"), await node.pod("gullible")];
  const conf = bridgeConf({ isDefaultGateway: false, ipam: { type: "host-local", ranges: [RANGE_4, RANGE_6] } });
  for (const pod of [evil, victim, gullible]) await attach(node, pod, conf);
  t.equal(
    (await node.sh("cat /proc/sys/net/ipv6/conf/all/forwarding")).trim(),
    "0",
    "the node is no router, and could believe",
  );
  await gullible.runOk(["sysctl", "-qw", "net.ipv6.conf.eth0.accept_ra=2"]);
  await gullible.runOk([
    "sh",
    "-c",
    "until ip -6 address show dev eth0 scope link | grep -q fe80 && ! ip -6 address | grep -q tentative; do :; done",
  ]);
  await evil.runOk([
    "sh",
    "-c",
    "until ip -6 address show dev eth0 scope link | grep -q fe80 && ! ip -6 address | grep -q tentative; do :; done",
  ]);
  await evil.runOk(["python3", "-c", ADVERTISE]);
  await eventually(
    async () => (await gullible.runOk(["ip", "-6", "route"])).includes("2001:db8:bad::"),
    "the forgery works where nothing guards",
  );
  for (const routes of [await node.sh("ip -6 route; ip -6 address"), await victim.runOk(["ip", "-6", "route"])]) {
    t.notMatch(routes, /db8:bad|default|proto ra/);
  }
  for (const what of ["accept_ra", "accept_redirects"]) {
    t.equal(await node.sh(`cat /proc/sys/net/ipv6/conf/cni0/${what}`), "0\n", `${what} of the bridge`);
    t.equal(await victim.runOk(["cat", `/proc/sys/net/ipv6/conf/eth0/${what}`]), "0\n");
  }
  t.match(await node.sh("cat /proc/sys/net/ipv6/conf/pw*/disable_ipv6"), /^(1\n)+$/, "host ends hear no IPv6");
});

/** The same from eth0 to a MAC address that bridges do not forward but keep (802.1Q, 8.6.3), with another prefix. */
const ADVERTISE_TO_THE_BRIDGE = `
import socket, struct
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("eth0", 0x86dd))
source, group = socket.inet_pton(socket.AF_INET6, "fe80::bad"), socket.inet_pton(socket.AF_INET6, "ff02::1")
prefix = struct.pack("!BBBBIII", 3, 4, 64, 0xc0, 86400, 14400, 0) + socket.inet_pton(socket.AF_INET6, "2001:db8:bad::")
body = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + prefix
words = struct.unpack("!%dH" % ((40 + len(body)) // 2), source + group + struct.pack("!II", len(body), 58) + body)
total = sum(words)
total = (total & 0xffff) + (total >> 16)
total = (total & 0xffff) + (total >> 16)
body = body[:2] + struct.pack("!H", 0xffff - total) + body[4:]
frame = bytes.fromhex("0180c200000e0200000000bb86dd") + struct.pack("!IHBB", 6 << 28, len(body), 58, 255) + source + group + body
for _ in range(3): s.send(frame)
`;

t.test("S5: a router advertisement that goes past the bridge is not read on the host's end", async (t) => {
  const node = await startNode(t);
  const [gullible, evil] = [await node.pod("gullible"), await node.pod("evil")];
  const conf = bridgeConf({ ipam: { type: "host-local", ranges: [RANGE_4] } });
  const [, port] = (await attach(node, gullible, conf)).interfaces;
  await node.sh(`cd /proc/sys/net/ipv6/conf/${port?.name} && echo 2 > accept_ra && echo 0 > disable_ipv6`);
  await eventually(async () => {
    await gullible.runOk(["python3", "-c", ADVERTISE_TO_THE_BRIDGE]);
    return (await node.sh("ip -6 route")).includes("2001:db8:bad::");
  }, "the forgery works where nothing guards");
  await detach(node, gullible, conf);
  t.notMatch(await node.sh("ip -6 route"), /db8:bad/);
  await attach(node, evil, conf);
  await evil.runOk(["python3", "-c", ADVERTISE_TO_THE_BRIDGE]);
  t.notMatch(await node.sh("ip -6 route; ip -6 address"), /db8:bad|default|proto ra/);
});

t.test("S15: foreign bridges, links and tables survive DEL and GC; a foreign bridge is used as it is", async (t) => {
  const node = await startNode(t);
  const conf = { ...FULL, bridge: "lan0" };
  const pod = await node.pod("pod");
  const [name] = (await attach(node, pod, conf)).interfaces.slice(1).map((each) => each.name);
  await detach(node, pod, conf);
  await collect(node, [], conf);
  await node.sh(`ip link add lan0 address 02:00:00:00:11:11 type bridge && ip link set lan0 up
    ip link add ${name} type veth peer name other && ip link set ${name} alias "somebody else's"
    ip link add pw000000000000 type veth peer name other2
    nft add table inet podwired; nft add table inet other; nft add table bridge other`);
  const refused = await node.cni("ADD", pod, conf);
  t.match(refused.json, { code: 4, msg: new RegExp(`${name}`) }, "a foreign link with our name is not touched");
  const other = await node.pod("other");
  const state = async () =>
    (await node.sh("ip -br link; nft list tables")).replace(/(lan0 +)(UP|DOWN) +|NO-CARRIER,|,LOWER_UP/g, "$1");
  const before = await state();
  await attach(node, other, conf);
  t.match(await node.sh("ip link show lan0"), "02:00:00:00:11:11");
  for (const each of [pod, other]) await detach(node, each, conf);
  t.match(await collect(node, [], conf), { code: 0 });
  t.equal(await state(), before);
});
