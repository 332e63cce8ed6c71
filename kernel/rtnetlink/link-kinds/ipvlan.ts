import { attrs, named, u16, type Value } from "../../netlink/attrs.ts";

/** IPVLAN_MODE_*, <linux/if_link.h>. */
const mode = named(u16, { l2: 0, l3: 1, l3s: 2 });

/** IFLA_IPVLAN_*, <linux/if_link.h>: `ip link add … link LOWER type ipvlan`, ip-link(8). Absent fields are the kernel's defaults. */
export const ipvlan = attrs({
  /** One lower device has one mode: a new link's changes that of all others. l3 unless told. */
  mode: [1, mode],
});
export type Ipvlan = Value<typeof ipvlan>;
