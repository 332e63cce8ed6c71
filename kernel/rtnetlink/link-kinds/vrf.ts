import { attrs, u32, type Value } from "../../netlink/attrs.ts";

/** IFLA_VRF_*, <linux/if_link.h>: `ip link add … type vrf`, ip-link(8). */
export const vrf = attrs({
  /** The routing table of the links that have it for a master; the kernel makes none without. */
  table: [1, u32],
});
export type Vrf = Value<typeof vrf>;
