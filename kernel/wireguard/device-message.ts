import { type Address, addressFromBytes, addressToBytes, type Family, familyOf } from "../../net/address.ts";
import { makePrefix, type Prefix, prefixAddress, prefixFamily, prefixLength } from "../../net/prefix.ts";
import { attrs, bytes, type Codec, list, string, struct, u8, u16, u32, u64, type Value } from "../netlink/attrs.ts";
import { genericHeader } from "../netlink/generic.ts";

/** AF_INET and AF_INET6, <sys/socket.h>. */
const ADDRESS_FAMILY = { 4: 2, 6: 10 } as const;

/** Where a peer's packets go: an address and a UDP port. */
export interface Endpoint {
  readonly address: Address;
  readonly port: number;
}

/** struct sockaddr_in or sockaddr_in6, <netinet/in.h>. */
const endpoint: Codec<Endpoint> = {
  write(to, { address, port }) {
    const family = familyOf(address);
    to.integer(2, ADDRESS_FAMILY[family]);
    to.integer(2, port, { bigEndian: true });
    if (family === 6) to.integer(4, 0); // flow label
    to.bytes(addressToBytes(address));
    to.bytes(new Uint8Array(family === 6 ? 4 : 8)); // scope, or padding
  },
  read(from) {
    const family: Family = from.integer(2) === ADDRESS_FAMILY[6] ? 6 : 4;
    const port = from.integer(2, { bigEndian: true });
    if (family === 6) from.integer(4);
    return { port, address: addressFromBytes(from.bytes(family === 6 ? 16 : 4)) };
  },
};

/** WGALLOWEDIP_A_*, <linux/wireguard.h>. */
const allowedIpAttrs = attrs({ family: [1, u16], address: [2, bytes], length: [3, u8] });
const allowedIp: Codec<Prefix> = {
  nested: true,
  write(to, prefix) {
    const family = ADDRESS_FAMILY[prefixFamily(prefix)];
    const address = addressToBytes(prefixAddress(prefix));
    allowedIpAttrs.write(to, { family, address, length: prefixLength(prefix) });
  },
  read(from) {
    const { address, length } = allowedIpAttrs.read(from);
    if (address === undefined || length === undefined)
      throw new RangeError("an allowed IP lacks its address or length");
    return makePrefix(addressFromBytes(address), length);
  },
};

/** struct __kernel_timespec, <linux/time_types.h>; all zero is never. */
const timespec = struct({ seconds: u64, nanoseconds: u64 });

/** WGPEER_F_*, <linux/wireguard.h>. */
export const PeerFlag = { remove: 1, replaceAllowedIps: 2, updateOnly: 4 } as const;

/** WGPEER_A_*, <linux/wireguard.h>, in the order in which wg(8) writes them. */
export const peerAttrs = attrs({
  publicKey: [1, bytes],
  /** Zeros: none. */
  presharedKey: [2, bytes],
  endpoint: [4, endpoint],
  /** Seconds; 0: off. */
  persistentKeepalive: [5, u16],
  flags: [3, u32],
  lastHandshake: [6, timespec],
  receivedBytes: [7, u64],
  sentBytes: [8, u64],
  allowedIps: [9, list(allowedIp)],
});
export type PeerAttrs = Value<typeof peerAttrs>;

/** WGDEVICE_F_*, <linux/wireguard.h>. */
export const DeviceFlag = { replacePeers: 1 } as const;

/** WGDEVICE_A_*, <linux/wireguard.h>. */
export const deviceAttrs = attrs({
  index: [1, u32],
  name: [2, string],
  /** Zeros: none. */
  privateKey: [3, bytes],
  publicKey: [4, bytes],
  flags: [5, u32],
  listenPort: [6, u16],
  /** Mark of the encrypted packets (SO_MARK); 0: none. */
  firewallMark: [7, u32],
  peers: [8, list(peerAttrs)],
});
export type DeviceAttrs = Value<typeof deviceAttrs>;

/** A whole message of the family. */
export const deviceMessage: Codec<{ readonly header: Value<typeof genericHeader>; readonly attrs: DeviceAttrs }> = {
  write(to, message) {
    genericHeader.write(to, message.header);
    deviceAttrs.write(to, message.attrs);
  },
  read: (from) => ({ header: genericHeader.read(from), attrs: deviceAttrs.read(from) }),
};
