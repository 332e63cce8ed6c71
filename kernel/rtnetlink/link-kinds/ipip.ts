import { attrs, flag, ip, u8, u32, type Value } from "../../netlink/attrs.ts";

/** IFLA_IPTUN_*, <linux/if_tunnel.h>: `ip link add … type ipip`, ip-link(8). Absent fields are the kernel's defaults. */
export const ipip = attrs({
  /** Index of the underlay device. */
  dev: [1, u32],
  /** Source of the outer packets. */
  local: [2, ip],
  remote: [3, ip],
  /** 0 is the inner packet's. */
  ttl: [4, u8],
  tos: [5, u8],
  /** IPPROTO_* of what is inside: 4, IPv4, when absent; 0 is any. */
  protocol: [9, u8],
  /** 1, the default: the outer header says don't fragment. */
  pathMtuDiscovery: [10, u8],
  /** The tunnel's ends come from the route (`encap ip`), so one device serves all peers: `external` in ip-link(8). */
  collectMetadata: [19, flag],
});
export type Ipip = Value<typeof ipip>;
