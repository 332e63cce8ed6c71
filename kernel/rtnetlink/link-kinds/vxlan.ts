import { attrs, bool, type Codec, flag, ip, named, struct, u8, u16be, u32, type Value } from "../../netlink/attrs.ts";

/** struct ifla_vxlan_port_range: both ends in network byte order. */
const portRange: Codec<{ readonly low: number; readonly high: number }> = struct({ low: u16be, high: u16be });

/** VXLAN_DF_* */
const df = named(u8, { unset: 0, set: 1, inherit: 2 });

/** IFLA_VXLAN_*, <linux/if_link.h>: `ip link add … type vxlan`, ip-link(8). Absent fields are the kernel's defaults. */
export const vxlan = attrs({
  /** The VNI, 0..2^24-1; absent or 0 with collectMetadata. */
  id: [1, u32],
  /** Where frames for unknown MACs go: a unicast address or a multicast group. */
  remote: [[2, 16], ip],
  /** Index of the underlay device. */
  dev: [3, u32],
  /** Source of the outer packets; its family is the tunnel's. */
  local: [[4, 17], ip],
  /** 0 leaves it to the route. */
  ttl: [5, u8],
  tos: [6, u8],
  /** Learns MACs from what comes in: the kernel does, unless told; addLink says no for collectMetadata. */
  learning: [7, bool],
  /** Seconds until a learned MAC is forgotten. */
  ageing: [8, u32],
  /** Most entries in the forwarding table; 0 is no limit. */
  limit: [9, u32],
  /** UDP source ports of the outer packets. */
  portRange: [10, portRange],
  /** Answers ARP and ND from the table. */
  proxy: [11, bool],
  /** Route short circuit. */
  rsc: [12, bool],
  l2miss: [13, bool],
  l3miss: [14, bool],
  /** UDP destination port; the kernel's default is 8472, IANA's 4789 (4790 for GPE). Big-endian, unlike its neighbours. */
  port: [15, u16be],
  /** UDP checksums on an IPv4 underlay. */
  udpCsum: [18, bool],
  /** Sends without UDP checksums on an IPv6 underlay. */
  udpZeroCsum6Tx: [19, bool],
  /** Takes packets without UDP checksums on an IPv6 underlay. */
  udpZeroCsum6Rx: [20, bool],
  gbp: [23, flag],
  /** The key of a packet comes from its route (`encap ip`), so one device serves all peers: `external` in ip-link(8). */
  collectMetadata: [25, bool],
  /** Generic protocol extension: IP packets without an inner Ethernet header. Needs collectMetadata. */
  gpe: [27, flag],
  /** Takes the inner packet's TTL. */
  ttlInherit: [28, flag],
  /** The don't-fragment bit of the outer header. */
  df: [29, df],
});
export type Vxlan = Value<typeof vxlan>;
