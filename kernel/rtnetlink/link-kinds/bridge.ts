import { attrs, bool, bool32, scaled, u8, u16, u32, type Value } from "../../netlink/attrs.ts";

/** The kernel counts in USER_HZ, hundredths of a second. */
const seconds = scaled(u32, 100);

/** IFLA_BR_*, <linux/if_link.h>: `ip link add … type bridge`, ip-link(8). Absent fields are the kernel's defaults. */
export const bridge = attrs({
  /** Seconds. */
  forwardDelay: [1, seconds],
  /** Seconds. */
  helloTime: [2, seconds],
  /** Seconds. */
  maxAge: [3, seconds],
  /** Seconds until a learned MAC is forgotten. */
  ageing: [4, seconds],
  /** IFLA_BR_STP_STATE: the spanning tree protocol is on. */
  stp: [5, bool32],
  priority: [6, u16],
  vlanFiltering: [7, bool],
  groupForwardMask: [9, u16],
  multicastRouter: [22, u8],
  multicastSnooping: [23, bool],
  multicastQuerier: [25, bool],
  vlanDefaultPvid: [39, u16],
});
export type Bridge = Value<typeof bridge>;
