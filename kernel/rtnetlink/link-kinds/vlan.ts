import { attrs, u16, u16be, type Value } from "../../netlink/attrs.ts";

/** IFLA_VLAN_*, <linux/if_link.h>: `ip link add … link LOWER type vlan`, ip-link(8). Absent fields are the kernel's defaults. */
export const vlan = attrs({
  /** 0..4094; 0 is priority-tagged. */
  id: [1, u16],
  /** ETH_P_8021Q (0x8100) unless told. */
  protocol: [5, u16be],
});
export type Vlan = Value<typeof vlan>;
