import { attrs, type Codec, flag, ip, named, u8, u16be, u32, u32be, type Value } from "../../netlink/attrs.ts";

/** GRE_KEY, <linux/if_tunnel.h>: packets carry a key, and only those with ours are taken. */
const keyed = named(u16be, { key: 0x2000 });

/** IP6_TNL_F_IGN_ENCAP_LIMIT, <linux/ip6_tunnel.h>. The kernel keeps notes of its own in the higher bits. */
const NO_ENCAP_LIMIT = 0x1;
const noEncapLimit: Codec<boolean> = {
  write: (to, value) => u32.write(to, value ? NO_ENCAP_LIMIT : 0),
  read: (from) => (u32.read(from) & NO_ENCAP_LIMIT) !== 0,
};

/** IFLA_GRE_*, <linux/if_tunnel.h>: `ip link add … type gre` and `type ip6gre`, ip-link(8). Absent fields are the kernel's defaults. */
export const gre = attrs({
  /** Index of the underlay device. */
  dev: [1, u32],
  inputFlags: [2, keyed],
  outputFlags: [3, keyed],
  /** Counts only with the flag. */
  inputKey: [4, u32be],
  outputKey: [5, u32be],
  /** Source of the outer packets. */
  local: [6, ip],
  remote: [7, ip],
  /** 0 is the inner packet's. */
  ttl: [8, u8],
  tos: [9, u8],
  /** 1, the default: the outer header says don't fragment. Of gre alone. */
  pathMtuDiscovery: [10, u8],
  /** Of ip6gre. */
  encapLimit: [11, u8],
  /** Sends no tunnel encapsulation limit (RFC 2473), a destination option of eight bytes. Of ip6gre. */
  noEncapLimit: [13, noEncapLimit],
  /** The tunnel's ends come from the route (`encap ip`), so one device serves all peers: `external` in ip-link(8). */
  collectMetadata: [18, flag],
});
export type Gre = Value<typeof gre>;
