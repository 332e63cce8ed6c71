import type { Address, Family } from "../net/address.ts";
import { attrs, ip, struct, u8, u16be, u32, u32be } from "./netlink/attrs.ts";
import { Reader, type Writer } from "./netlink/bytes.ts";
import { isNetlinkError } from "./netlink/error.ts";
import { Control, type Message } from "./netlink/message.ts";
import { NETLINK_NETFILTER, NetlinkSocket, type Request } from "./netlink/socket.ts";
import { inNetns, type Netns } from "./netns.ts";

/** NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET, _DELETE: <linux/netfilter/nfnetlink.h>, nfnetlink_conntrack.h. */
const GET = (1 << 8) | 1;
const DELETE = (1 << 8) | 2;
/** NFPROTO_IPV4, NFPROTO_IPV6 */
const FAMILY_NUMBERS = { 4: 2, 6: 10 } as const;
/** Of net/netfilter/nf_internals.h, which no header for programs has: CTA_FILTER_F_CTA_PROTO_NUM and _DST_PORT. */
const FILTER_PROTOCOL_AND_PORT = (1 << 3) | (1 << 5);

/** struct nfgenmsg, <linux/netfilter/nfnetlink.h>. */
const header = struct({ family: u8, version: u8, resource: u16be });
/** CTA_IP_*, CTA_PROTO_*, CTA_TUPLE_* */
const addresses = attrs({ source: [[1, 3], ip], destination: [[2, 4], ip] });
const ports = attrs({ protocol: [1, u8], source: [2, u16be], destination: [3, u16be] });
const tuple = attrs({ addresses: [1, addresses], ports: [2, ports] });
/** CTA_FILTER_ORIG_FLAGS, CTA_FILTER_REPLY_FLAGS; kernels before 5.8 do not look at them. */
const filter = attrs({ original: [1, u32], reply: [2, u32] });
/** CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_ID, CTA_ZONE, CTA_FILTER */
const entry = attrs({
  original: [1, tuple],
  reply: [2, tuple],
  id: [12, u32be],
  zone: [18, u16be],
  filter: [25, filter],
});

/** What connection tracking knows of a flow. */
export interface TrackedFlow {
  /** Where its first packet went, before anything translated it. */
  readonly destination: Address;
  readonly destinationPort: number;
  /** Who answers. */
  readonly answeredBy: Address;
  readonly answeringPort: number;
}

export interface FlowsToPort {
  readonly family: Family;
  /** The number of <linux/in.h>. */
  readonly protocol: number;
  readonly port: number;
}

/**
 * Makes the kernel forget the tracked flows to the port that `chosen` picks: their next packet is looked at as if it were
 * the first. The kernel compares protocol and port while it walks its table, and hands out what matches alone. Equivalent
 * to `conntrack -D -p PROTOCOL --orig-port-dst PORT`. In the thread's own namespace unless another one is given.
 * @returns how many
 * @throws NetlinkError, such as EINVAL where the kernel has no ctnetlink
 */
export function forgetFlows(
  which: FlowsToPort,
  chosen: (flow: TrackedFlow) => boolean,
  netns?: Netns | string,
): number {
  using socket = inNetns(netns, () => new NetlinkSocket(NETLINK_NETFILTER));
  const stale = socket.dump(listing(which), (message) => decode(message, which)).filter(({ flow }) => chosen(flow));
  return stale.filter(({ removal }) => executed(socket, removal)).length;
}

function listing({ family, protocol, port }: FlowsToPort): Request {
  const body = (to: Writer) => {
    header.write(to, { family: FAMILY_NUMBERS[family], version: 0, resource: 0 });
    entry.write(to, {
      original: { ports: { protocol, destination: port } },
      filter: { original: FILTER_PROTOCOL_AND_PORT, reply: 0 },
    });
  };
  return { type: GET, body, label: `IPCTNL_MSG_CT_GET protocol ${protocol} port ${port}` };
}

function decode(message: Message, { family, protocol, port }: FlowsToPort) {
  if (message.type === Control.done) return undefined;
  const from = new Reader(message.body);
  header.read(from);
  const { original, reply, id, zone } = entry.read(from);
  const [to, answer] = [original?.addresses?.destination, reply?.addresses?.source];
  if (original?.ports?.protocol !== protocol || original.ports.destination !== port) return undefined;
  if (to === undefined || answer === undefined) return undefined;
  const flow: TrackedFlow = {
    destination: to,
    destinationPort: port,
    answeredBy: answer,
    answeringPort: reply?.ports?.source ?? 0,
  };
  const body = (writer: Writer) => {
    header.write(writer, { family: FAMILY_NUMBERS[family], version: 0, resource: 0 });
    entry.write(writer, { original, id, zone: zone || undefined });
  };
  return { flow, removal: { type: DELETE, body, label: `IPCTNL_MSG_CT_DELETE protocol ${protocol} port ${port}` } };
}

/** False when the flow ended by itself meanwhile. */
function executed(socket: NetlinkSocket, removal: Request): boolean {
  try {
    socket.execute(removal);
    return true;
  } catch (error) {
    if (isNetlinkError(error, "ENOENT")) return false;
    throw error;
  }
}
