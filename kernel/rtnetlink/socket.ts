import { NETLINK_ROUTE, NetlinkSocket } from "../netlink/socket.ts";
import { inNetns, type Netns } from "../netns.ts";

/**
 * What the functions of this folder need of a NETLINK_ROUTE socket, so that a test can be the kernel. A real one stays in
 * the namespace that it was opened in, wherever the thread goes.
 */
export type RouteSocket = Pick<NetlinkSocket, "execute" | "executeAll" | "ask" | "dump" | typeof Symbol.dispose>;

/** Opens a socket in the namespace (an open one or its path; this thread's when absent). @throws NotANamespaceError */
export function openRoute(netns?: Netns | string): RouteSocket {
  return inNetns(netns, () => new NetlinkSocket(NETLINK_ROUTE));
}
