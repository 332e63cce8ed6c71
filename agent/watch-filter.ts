import { ROUTE_PROTOCOL } from "../kernel/mark.ts";
import { ACCEPT, DROP, type FilterStep, native16 } from "../kernel/netlink/filter.ts";
import { LinkFlag } from "../kernel/rtnetlink/link.ts";
import { Af, Rtm } from "../kernel/rtnetlink/message-types.ts";

/** Offsets in a message: struct nlmsghdr, and behind it ifinfomsg, ifaddrmsg, rtmsg or ndmsg (<linux/rtnetlink.h>, …). */
const TYPE = 4;
const FAMILY = 16;
const LINK = { flags: 24, change: 28, changeHigh: 31, attributes: 32 } as const;
const ADDRESS = { scope: 19 } as const;
const ROUTE = { length: 17, protocol: 21 } as const;
const NEIGHBOUR = { state: 24, attributes: 28 } as const;
/** struct nlattr */
const ATTRIBUTE_HEADER = 4;
/** IFLA_IFNAME; NDA_DST, NDA_PROTOCOL; RT_SCOPE_LINK; NUD_PERMANENT. */
const IFNAME = 3;
const [NDA_DST, NDA_PROTOCOL] = [1, 12] as const;
const SCOPE_LINK = 253;
const PERMANENT = 0x80;
/** "pw" and twelve digits, with the final zero: hostVethName of kernel/mark.ts. */
const POD_LINK = { begins: 0x7077, bytes: 15 } as const;

const types = (...numbers: readonly number[]) => numbers.map(native16);

/**
 * What of the kernel's notifications the agent is woken for: all that relevanceOf finds relevant, and little else. A pod
 * that comes or goes makes twenty messages on a node; two of them pass: its link came up, its link is gone.
 */
export const WATCH_FILTER: readonly FilterStep[] = [
  { load: 2, at: TYPE },
  { equals: types(Rtm.newLink, Rtm.delLink), to: "link" },
  { equals: types(Rtm.newAddress, Rtm.delAddress), to: "address" },
  { equals: types(Rtm.newRoute, Rtm.delRoute), to: "route" },
  { equals: types(Rtm.newNeighbour, Rtm.delNeighbour), to: "neighbour" },
  { goTo: ACCEPT },

  { label: "link" },
  { find: IFNAME, from: LINK.attributes },
  { equals: [0], to: ACCEPT },
  { loadFound: 2, at: 0 },
  { differs: native16(ATTRIBUTE_HEADER + POD_LINK.bytes), to: ACCEPT },
  { loadFound: 2, at: ATTRIBUTE_HEADER },
  { differs: POD_LINK.begins, to: ACCEPT },
  { load: 1, at: FAMILY },
  { differs: Af.unspec, to: DROP }, // news of its bridge
  { load: 2, at: TYPE },
  { equals: types(Rtm.delLink), to: ACCEPT },
  { load: 1, at: LINK.flags },
  { lacksBit: LinkFlag.up, to: DROP },
  { load: 1, at: LINK.change },
  { lacksBit: LinkFlag.up, to: DROP },
  { load: 1, at: LINK.changeHigh },
  { equals: [0xff], to: DROP }, // all bits: it was just made
  { goTo: ACCEPT },

  { label: "address" },
  { load: 1, at: ADDRESS.scope },
  { differs: SCOPE_LINK, to: ACCEPT },
  { load: 1, at: FAMILY },
  { equals: [Af.inet6], to: DROP },
  { goTo: ACCEPT },

  { label: "route" },
  { load: 1, at: ROUTE.protocol },
  { equals: [ROUTE_PROTOCOL], to: ACCEPT },
  { load: 1, at: ROUTE.length },
  { differs: 0, to: DROP },
  { goTo: ACCEPT },

  { label: "neighbour" },
  { load: 1, at: FAMILY },
  { equals: [Af.bridge], to: "fdb" },
  { load: 2, at: NEIGHBOUR.state },
  { hasBit: native16(PERMANENT), to: ACCEPT },
  { find: NDA_PROTOCOL, from: NEIGHBOUR.attributes },
  { equals: [0], to: DROP },
  { loadFound: 1, at: ATTRIBUTE_HEADER },
  { differs: ROUTE_PROTOCOL, to: DROP },
  { goTo: ACCEPT },

  { label: "fdb" },
  { find: NDA_DST, from: NEIGHBOUR.attributes },
  { equals: [0], to: DROP },
];
