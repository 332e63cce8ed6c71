import { CLIENT_PORT } from "../../dhcp/datagram.ts";
import type { LeaseRecord } from "../../dhcp/record.ts";
import { inNetns, type Netns, openNetns } from "../../kernel/netns.ts";
import { PacketSocket } from "../../kernel/packet.ts";
import { getLink, type Link, setLink } from "../../kernel/rtnetlink/link.ts";
import { RtnlGroup } from "../../kernel/rtnetlink/monitor.ts";
import { openRoute, type RouteSocket } from "../../kernel/rtnetlink/socket.ts";
import type { Mac } from "../../net/mac.ts";
import { awaitForwarding } from "../interface/announce.ts";
import { until } from "../node/until.ts";

/** The kernel notices a carrier within a second at worst. */
const CARRIER_LIMIT_MS = 1_500;

/** A pod's interface to speak DHCP over. */
export interface PodLink extends Disposable {
  readonly netns: Netns;
  readonly rt: RouteSocket;
  readonly index: number;
  readonly mac: Mac;
  readonly up: boolean;
}

/**
 * The interface in an open namespace; undefined when there is none, or none with an Ethernet address. Disposing closes the
 * socket, not the namespace.
 */
export function findPodLink(netns: Netns, ifName: string): PodLink | undefined {
  const rt = openRoute(netns);
  const link = getLink(rt, ifName);
  if (link?.mac === undefined) {
    rt[Symbol.dispose]();
    return undefined;
  }
  return { netns, rt, index: link.index, mac: link.mac, up: link.up, [Symbol.dispose]: () => rt[Symbol.dispose]() };
}

/** The interface that a lease was got for; undefined when it is not there any more, or the path is another namespace's. */
export function reopenPodLink({ netns: path, netnsInode, ifName, client }: LeaseRecord): PodLink | undefined {
  let netns: Netns;
  try {
    netns = openNetns(path);
  } catch {
    return undefined; // whatever the reason, there is nobody to speak for
  }
  const link = netns.inode === netnsInode ? findPodLink(netns, ifName) : undefined;
  if (link?.mac !== client.mac) {
    link?.[Symbol.dispose]();
    netns[Symbol.dispose]();
    return undefined;
  }
  const close = () => {
    link[Symbol.dispose]();
    netns[Symbol.dispose]();
  };
  return { ...link, [Symbol.dispose]: close };
}

/** A socket that hears what servers say to the interface. */
export function openClientSocket({ netns, index }: PodLink): PacketSocket {
  return inNetns(netns, () => new PacketSocket(index, CLIENT_PORT));
}

/**
 * Does the work while the interface is up, and leaves it as it was: what main plugins do before they switch it on (rules,
 * router advertisements refused) is then in force before anybody can make use of it.
 */
export async function whileUp<T>(link: PodLink, work: () => Promise<T>): Promise<T> {
  if (link.up) return await work();
  setLink(link.rt, link.index, { up: true });
  try {
    await awaitCarrier(link);
    return await work();
  } finally {
    if (getLink(link.rt, link.index) !== undefined) setLink(link.rt, link.index, { up: false });
  }
}

/** Until frames go out, and through the bridge on the other side; then no first message is lost, and none waited for. */
async function awaitCarrier({ netns, rt, index }: PodLink): Promise<void> {
  let link = getLink(rt, index);
  const running = () => {
    link = getLink(rt, index);
    return link === undefined || (link.lowerUp && (link.operState === "up" || link.operState === "unknown"));
  };
  await until({ netns, groups: [RtnlGroup.link], limitMs: CARRIER_LIMIT_MS }, running);
  if (link?.kind !== "veth" || link.peerIndex === undefined) return;
  using node = openRoute();
  const peer = getLink(node, link.peerIndex);
  if (!isOtherEnd(peer, link) || peer.master === undefined) return;
  const bridge = getLink(node, peer.master);
  if (bridge !== undefined) await awaitForwarding(node, bridge, peer);
}

/** Indexes are a namespace's own: what has the other end's may be any link, if that end is not in this namespace. */
function isOtherEnd(peer: Link | undefined, { index }: Link): peer is Link {
  return peer?.kind === "veth" && peer.peerIndex === index;
}
