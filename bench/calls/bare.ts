import { call, tryCall } from "../../kernel/ffi/libc.ts";
import { SystemError } from "../../kernel/ffi/system-error.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../../kernel/netlink/socket.ts";
import { inNetns, openNetns } from "../../kernel/netns.ts";
import { quantile } from "../measure.ts";
import { PEER_BIN, type Stand } from "./stand.ts";

/** <linux/rtnetlink.h>, <linux/if_link.h>, <linux/if_addr.h>, <linux/netlink.h>: only what stands below. */
const RTM = { newLink: 16, getLink: 18, setLink: 19, newAddress: 20, getAddress: 22, newRoute: 24 } as const;
const IFLA = {
  address: 1,
  name: 3,
  master: 10,
  info: 18,
  alias: 20,
  specifics: 26,
  group: 27,
  netnsFd: 28,
  extMask: 29,
} as const;
const NLM = { request: 1, ack: 4, echo: 8, dump: 0x300, excl: 0x200, create: 0x400 } as const;
const CREATE = NLM.create | NLM.excl;
/** Types of messages that end an exchange. */
const [NLMSG_ERROR, NLMSG_DONE] = [2, 3] as const;
/** <linux/ip.h> IPV4_DEVCONF_*; RTEXT_FILTER_SKIP_STATS of <linux/rtnetlink.h>. */
const [ACCEPT_REDIRECTS, ARP_NOTIFY, SKIP_STATS] = [4, 22, 8] as const;
const IFF_UP = 1;

/** The bridge of the bench's own node, and its subnet. */
const BRIDGE = "br-bare";
/** The ends' indexes, chosen here so that nothing has to be asked; the kernel takes the pod's only beside the host's. */
const POD_END = 2;
const HOST_END = 100_000;

/** Milliseconds of the messages of one ADD. */
export interface Bare {
  /** Sending and receiving alone, on sockets that are open. */
  readonly messages: readonly number[];
  /** The same with opening the pod's namespace and a socket in it. */
  readonly withSocket: readonly number[];
  /** What is sent, in words of ip(8). */
  readonly what: readonly string[];
}

const WHAT = [
  "link show BRIDGE",
  "link add HOST type veth (master, group, MAC) peer eth0 (netns, MAC), answered with the link",
  "link set HOST alias … up (IPv4 redirects off)",
  "address show dev BRIDGE",
  "pod, in one datagram: address add; link set eth0 up (IPv4 redirects off, ARP announced); route add default",
  "link show HOST (the kernel then lets it forward)",
  "pod: link set eth0 address (announces it)",
] as const;

/** Makes the bridge that {@link bareAdds} joins pods to. */
export async function prepareBare({ node }: Stand): Promise<void> {
  await node.sh(
    `ip link add ${BRIDGE} type bridge; ip address add 10.23.0.1/16 dev ${BRIDGE}; ip link set ${BRIDGE} up`,
  );
}

/**
 * Sends the messages of plugins/bridge's ADD for each pod, from this process, encoded beforehand, and deletes the links in
 * the end. What the kernel answers is received, and looked at only for errors.
 */
export async function bareAdds(stand: Stand, pods: readonly string[]): Promise<Bare> {
  const { node } = stand;
  const bridge = Number.parseInt(await node.sh(`ip -o link show ${BRIDGE}`), 10);
  using host = inNetns(node.netns, () => new NetlinkSocket(NETLINK_ROUTE));
  const [messages, withSocket]: [number[], number[]] = [[], []];
  for (const [i, pod] of pods.entries()) {
    await node.run(["env", "CNI_COMMAND=VERSION", `${PEER_BIN}/bridge`], { input: "{}" }); // caches as cold as between two calls
    const path = node.path(`/run/netns/${pod}`);
    const opening = performance.now();
    using netns = openNetns(path);
    using inside = inNetns(netns, () => new NetlinkSocket(NETLINK_ROUTE));
    const opened = performance.now();
    const orders = ordersOf(i, bridge, netns.fd);
    const start = performance.now();
    for (const [where, order] of orders) exchange(where === "node" ? host.fd : inside.fd, order);
    const end = performance.now();
    messages.push(end - start);
    withSocket.push(end - start + opened - opening);
  }
  await node.runOk(["ip", "link", "del", "group", "77"]);
  return { messages, withSocket, what: WHAT };
}

type Order = readonly ["node" | "pod", Buffer];

function ordersOf(i: number, bridge: number, netnsFd: number): readonly Order[] {
  const hostName = `bare${i}`;
  const [hostMac, podMac] = [Buffer.from([2, 0, 0, 0, i >> 8, i & 255]), Buffer.from([2, 0, 0, 1, i >> 8, i & 255])];
  const address = Buffer.from([10, 23, (i + 2) >> 8, (i + 2) & 255]);
  const peer = Buffer.concat([
    link({ index: POD_END }),
    attribute(IFLA.name, text("eth0")),
    attribute(IFLA.address, podMac),
    attribute(IFLA.netnsFd, u32(netnsFd)),
  ]);
  const [kind, data] = [attribute(1, text("veth")), attribute(2, attribute(1, peer))];
  const info = attribute(IFLA.info, Buffer.concat([kind, data]));
  const name = attribute(IFLA.name, text(hostName));
  const made = [attribute(IFLA.master, u32(bridge)), attribute(IFLA.group, u32(77)), attribute(IFLA.address, hostMac)];
  const alias = attribute(IFLA.alias, Buffer.from(`podwire veth net=bench cid=pod-${i} if=eth0`));
  const up = { flags: IFF_UP, change: IFF_UP };
  const assigned = [Buffer.from([2, 16, 0, 0]), u32(POD_END), attribute(2, address), attribute(1, address)];
  const gateway = attribute(5, Buffer.from([10, 23, 0, 1]));
  const route = [Buffer.from([2, 0, 0, 0, 254, 3, 0, 1]), u32(0), gateway, attribute(4, u32(POD_END))];
  const mask = attribute(IFLA.extMask, u32(SKIP_STATS));
  const inPod = [
    message(RTM.newAddress, CREATE, ...assigned),
    message(RTM.setLink, 0, link({ index: POD_END, ...up }), ipv4Conf(ACCEPT_REDIRECTS, 0, ARP_NOTIFY, 1)),
    message(RTM.newRoute, NLM.create | NLM.ack, ...route),
  ];
  const ofBridge = [Buffer.from([2, 0, 0, 0]), u32(bridge)];
  const host = link({ index: HOST_END + i });
  return [
    ["node", message(RTM.getLink, 0, link({}), attribute(IFLA.name, text(BRIDGE)), mask)],
    ["node", message(RTM.newLink, CREATE | NLM.echo | NLM.ack, host, name, ...made, info)],
    ["node", message(RTM.setLink, NLM.ack, link({ index: HOST_END + i, ...up }), alias, ipv4Conf(ACCEPT_REDIRECTS, 0))],
    ["node", message(RTM.getAddress, NLM.dump, ...ofBridge)],
    ["pod", Buffer.concat(inPod)],
    ["node", message(RTM.getLink, 0, host, mask)],
    ["pod", message(RTM.setLink, NLM.ack, link({ index: POD_END }), attribute(IFLA.address, podMac))],
  ];
}

/** IFLA_AF_SPEC with IFLA_INET_CONF of AF_INET: keys and values in turn. */
function ipv4Conf(...pairs: readonly number[]): Buffer {
  const values = pairs.flatMap((value, i) => (i % 2 === 0 ? [attribute(value, u32(pairs[i + 1] ?? 0))] : []));
  return attribute(IFLA.specifics, attribute(2, attribute(1, Buffer.concat(values))));
}

/** struct ifinfomsg */
function link({ index = 0, flags = 0, change = 0 }: { index?: number; flags?: number; change?: number }): Buffer {
  return Buffer.concat([u32(0), u32(index), u32(flags), u32(change)]);
}

function message(type: number, flags: number, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  const header = Buffer.alloc(16);
  header.writeUInt32LE(16 + body.length, 0);
  header.writeUInt16LE(type, 4);
  header.writeUInt16LE(NLM.request | flags, 6);
  return Buffer.concat([header, body]);
}

function attribute(type: number, value: Buffer): Buffer {
  const header = Buffer.alloc(4);
  header.writeUInt16LE(4 + value.length, 0);
  header.writeUInt16LE(type, 2);
  return Buffer.concat([header, value, Buffer.alloc(-value.length & 3)]);
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function text(value: string): Buffer {
  return Buffer.from(`${value}\0`);
}

const answer = Buffer.alloc(32768);

/** Sends a datagram and receives what answers it. @throws SystemError when the kernel refuses */
function exchange(fd: number, order: Buffer): void {
  call("send", [fd, order, order.length, 0]);
  const lone = (order.readUInt16LE(6) & (NLM.ack | NLM.dump)) === 0 && order.readUInt16LE(4) === RTM.getLink;
  for (;;) {
    const length = tryCall("recvfrom", [fd, answer, answer.length, 0, null, null]);
    if (length < 16) throw new SystemError("recvfrom", -length, `message of type ${order.readUInt16LE(4)}`);
    for (let at = 0; at < length; at += (answer.readUInt32LE(at) + 3) & ~3) {
      const type = answer.readUInt16LE(at + 4);
      const errno = type === NLMSG_ERROR ? answer.readInt32LE(at + 16) : 0;
      if (errno !== 0) throw new SystemError("netlink", -errno, `message of type ${order.readUInt16LE(4)}`);
      if (lone || type === NLMSG_ERROR || type === NLMSG_DONE) return;
    }
  }
}

export function summarizeBare({ messages, withSocket, what }: Bare) {
  return { median: quantile(messages), medianWithSocket: quantile(withSocket), what };
}
