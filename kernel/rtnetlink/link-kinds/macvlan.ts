import { attrs, named, u32, type Value } from "../../netlink/attrs.ts";

/** MACVLAN_MODE_*, <linux/if_link.h>. */
const mode = named(u32, { private: 1, vepa: 2, bridge: 4, passthru: 8, source: 16 });

/** IFLA_MACVLAN_*, <linux/if_link.h>: `ip link add … link LOWER type macvlan`, ip-link(8). Absent fields are the kernel's defaults. */
export const macvlan = attrs({
  /** What the links of one lower device may say to each other: vepa unless told. */
  mode: [1, mode],
  /** How many broadcast packets may wait; the lower device has the largest of its links'. */
  broadcastQueueLength: [7, u32],
});
export type Macvlan = Value<typeof macvlan>;
