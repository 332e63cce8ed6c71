import { attrs, bool, u8, u16, u32, type Value } from "../../netlink/attrs.ts";

/** IFLA_BRPORT_*, <linux/if_link.h>: `bridge link set`, bridge(8). What a bridge holds of one port. */
export const bridgePort = attrs({
  /** BR_STATE_*: 3 is forwarding. */
  state: [1, u8],
  priority: [2, u16],
  cost: [3, u32],
  /** IFLA_BRPORT_MODE: frames may go back out of the port they came in by. */
  hairpin: [4, bool],
  guard: [5, bool],
  learning: [8, bool],
  /** Frames for unknown unicast MACs go out here. */
  flood: [9, bool],
  proxyArp: [10, bool],
  multicastFlood: [27, bool],
  neighSuppress: [32, bool],
  /** Talks only to ports that are not isolated. */
  isolated: [33, bool],
  broadcastFlood: [30, bool],
});
export type BridgePort = Value<typeof bridgePort>;
