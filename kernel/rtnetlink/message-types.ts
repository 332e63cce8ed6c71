/** RTM_*, <linux/rtnetlink.h>. */
export const Rtm = {
  newLink: 16,
  delLink: 17,
  getLink: 18,
  setLink: 19,
  newAddress: 20,
  delAddress: 21,
  getAddress: 22,
  newRoute: 24,
  delRoute: 25,
  getRoute: 26,
  newNeighbour: 28,
  delNeighbour: 29,
  getNeighbour: 30,
  newRule: 32,
  delRule: 33,
  getRule: 34,
  newQdisc: 36,
  delQdisc: 37,
  getQdisc: 38,
  newClass: 40,
  delClass: 41,
  getClass: 42,
  newFilter: 44,
  delFilter: 45,
  getFilter: 46,
  getMulticast: 58,
} as const;

const OBJECTS = ["LINK", "ADDR", "ROUTE", "NEIGH", "RULE", "QDISC", "TCLASS", "TFILTER"];
const VERBS = ["NEW", "DEL", "GET", "SET"];

/** The kernel's name of a message type: RTM_NEWLINK for 16. */
export function messageTypeName(type: number): string {
  const object = OBJECTS[(type - Rtm.newLink) >> 2];
  return object === undefined ? `RTM_${type}` : `RTM_${VERBS[type & 3]}${object}`;
}

/** AF_*, <sys/socket.h>. */
export const Af = { unspec: 0, inet: 2, bridge: 7, inet6: 10 } as const;

/** The kernel's number of an address family. */
export function familyNumber(family: 4 | 6): number {
  return family === 4 ? Af.inet : Af.inet6;
}
