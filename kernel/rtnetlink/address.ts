import type { Address, Family } from "../../net/address.ts";
import { makePrefix, type Prefix, prefixAddress, prefixFamily, prefixLength } from "../../net/prefix.ts";
import { type Attrs, attrs, ip, string, struct, u8, u32 } from "../netlink/attrs.ts";
import { Reader, type Writer } from "../netlink/bytes.ts";
import { isNetlinkError } from "../netlink/error.ts";
import { Flag, type Message } from "../netlink/message.ts";
import type { Request } from "../netlink/socket.ts";
import { Af, familyNumber, Rtm } from "./message-types.ts";
import { type Scope, scope } from "./route-message.ts";
import type { RouteSocket } from "./socket.ts";

/** struct ifaddrmsg, <linux/if_addr.h>. */
const header = struct({ family: u8, length: u8, flags: u8, scope, index: u32 });

/** IFA_*, <linux/if_addr.h>. */
const fields = {
  /** The peer's address on a point-to-point link, else our own. */
  address: [1, ip],
  local: [2, ip],
  label: [3, string],
  broadcast: [4, ip],
  multicast: [7, ip],
  flags: [8, u32],
} as const;
const addressAttrs = attrs(fields);

/** IFA_F_*, <linux/if_addr.h>. */
const AddressFlag = {
  secondary: 0x1,
  noDad: 0x2,
  dadFailed: 0x8,
  tentative: 0x40,
  permanent: 0x80,
  noPrefixRoute: 0x200,
} as const;

/** An address on a link, and the order to put it there. */
export interface InterfaceAddress {
  readonly index: number;
  /** The address with its host bits and the length of its subnet. */
  readonly address: Prefix;
  /** IFA_F_NODAD: usable at once, no duplicate address detection. */
  readonly noDad?: boolean | undefined;
  /** IFA_F_NOPREFIXROUTE: the kernel adds no route to the subnet. */
  readonly noPrefixRoute?: boolean | undefined;
  readonly scope?: Scope | undefined;
  /** The other end of a point-to-point link. */
  readonly peer?: Address | undefined;
  readonly broadcast?: Address | undefined;
  readonly label?: string | undefined;
}

/** An address that the kernel holds. */
export interface ListedAddress extends InterfaceAddress {
  readonly scope: Scope;
  readonly flags: number;
  /** IFA_F_TENTATIVE: duplicate address detection is still running. */
  readonly tentative: boolean;
  /** IFA_F_DADFAILED. */
  readonly dadFailed: boolean;
  /** IFA_F_PERMANENT: not from a router advertisement or DHCP. */
  readonly permanent: boolean;
  /** IFA_F_SECONDARY. */
  readonly secondary: boolean;
}

/** Addresses of a link, of a family, or all of the namespace: `ip address show`. */
export function listAddresses(
  rt: RouteSocket,
  filter: { index?: number | undefined; family?: Family | undefined } = {},
): ListedAddress[] {
  const { index = 0, family } = filter;
  const body = (to: Writer) =>
    header.write(to, { family: family ? familyNumber(family) : 0, length: 0, flags: 0, scope: 0, index });
  const addresses = rt.dump({ type: Rtm.getAddress, body, label: "RTM_GETADDR" }, decodeAddress);
  return index === 0 ? addresses : addresses.filter((address) => address.index === index);
}

/** The IPv6 groups that a link has joined: `ip -6 maddress show dev LINK`. */
export function listGroups(rt: RouteSocket, { index }: { readonly index: number }): Address[] {
  const body = (to: Writer) => header.write(to, { family: Af.inet6, length: 0, flags: 0, scope: 0, index });
  return rt.dump({ type: Rtm.getMulticast, body, label: "RTM_GETMULTICAST" }, (message) => {
    const from = new Reader(message.body);
    return header.read(from).index === index ? addressAttrs.read(from).multicast : undefined;
  });
}

/** `ip address add`. @throws NetlinkError EEXIST when the link has it already */
export function addAddress(rt: RouteSocket, address: InterfaceAddress): void {
  rt.execute(addAddressRequest(address));
}

/** `ip address replace`: no error when it is there already. */
export function replaceAddress(rt: RouteSocket, address: InterfaceAddress): void {
  execute(rt, Rtm.newAddress, Flag.create | Flag.replace, address);
}

/** `ip address del`. @throws NetlinkError EADDRNOTAVAIL (no such address) or ENODEV (no such link) unless missingOk */
export function deleteAddress(
  rt: RouteSocket,
  address: Pick<InterfaceAddress, "index" | "address" | "peer">,
  options: { missingOk?: boolean } = {},
): void {
  try {
    execute(rt, Rtm.delAddress, 0, address);
  } catch (error) {
    if (!(options.missingOk && isNetlinkError(error, "EADDRNOTAVAIL", "ENODEV"))) throw error;
  }
}

/** What {@link addAddress} sends, for a batch. */
export function addAddressRequest(address: InterfaceAddress): Request {
  return change(Rtm.newAddress, Flag.create | Flag.excl, address);
}

function execute(rt: RouteSocket, type: number, flags: number, address: InterfaceAddress): void {
  rt.execute(change(type, flags, address));
}

function change(type: number, flags: number, address: InterfaceAddress): Request {
  const verb = type === Rtm.newAddress ? "RTM_NEWADDR" : "RTM_DELADDR";
  const label = `${verb} ${address.address} dev ${address.index}`;
  return { type, flags, body: (to) => writeAddress(to, address), label };
}

function writeAddress(
  to: Writer,
  { index, address, noDad, noPrefixRoute, peer, broadcast, label, scope = 0 }: InterfaceAddress,
): void {
  const local = prefixAddress(address);
  const flags = (noDad ? AddressFlag.noDad : 0) | (noPrefixRoute ? AddressFlag.noPrefixRoute : 0);
  header.write(to, {
    family: familyNumber(prefixFamily(address)),
    length: prefixLength(address),
    flags: 0,
    scope,
    index,
  });
  addressAttrs.write(to, { local, address: peer ?? local, broadcast, label, flags: flags === 0 ? undefined : flags });
}

/** What an RTM_NEWADDR or RTM_DELADDR says; undefined for what is no address of an IP family. */
export function decodeAddress(message: Message): ListedAddress | undefined {
  const from = new Reader(message.body);
  const { family, length, index, scope, flags: shortFlags } = header.read(from);
  if (family !== Af.inet && family !== Af.inet6) return undefined; // MCTP, Phonet: other addresses altogether
  const read: Attrs<typeof fields> = addressAttrs.read(from);
  const own = read.local ?? read.address;
  if (own === undefined) return undefined;
  const flags = read.flags ?? shortFlags;
  const has = (bit: number) => (flags & bit) !== 0;
  return {
    index,
    address: makePrefix(own, length),
    scope,
    ...(read.address !== undefined && read.address !== own ? { peer: read.address } : {}),
    ...(read.broadcast === undefined ? {} : { broadcast: read.broadcast }),
    ...(read.label === undefined ? {} : { label: read.label }),
    flags,
    noDad: has(AddressFlag.noDad),
    noPrefixRoute: has(AddressFlag.noPrefixRoute),
    tentative: has(AddressFlag.tentative),
    dadFailed: has(AddressFlag.dadFailed),
    permanent: has(AddressFlag.permanent),
    secondary: has(AddressFlag.secondary),
  };
}
