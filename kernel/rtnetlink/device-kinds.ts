import { isNetlinkError } from "../netlink/error.ts";
import { Flag } from "../netlink/message.ts";
import { deleteLink } from "./link.ts";
import { linkMessage } from "./link-message.ts";
import { Rtm } from "./message-types.ts";
import type { RouteSocket } from "./socket.ts";

/** What a kernel was built with that makes such devices; a module of it is loaded when the first is asked for. */
const KERNEL_OPTIONS = {
  dummy: "CONFIG_DUMMY",
  ifb: "CONFIG_IFB",
  ipvlan: "CONFIG_IPVLAN",
  macvlan: "CONFIG_MACVLAN",
  tap: "CONFIG_TUN",
  veth: "CONFIG_VETH",
  vlan: "CONFIG_VLAN_8021Q",
  vrf: "CONFIG_NET_VRF",
} as const;

/** A kind of device that pods' interfaces are of, and that a kernel may lack. Tunnels': backends/table.ts. */
export type DeviceKind = keyof typeof KERNEL_OPTIONS;

/** Says that the kernel has no such devices, and what it would have to be built with. */
export function lackingKind(kind: DeviceKind): string {
  return lackingDevices(kind, KERNEL_OPTIONS[kind]);
}

/** As {@link lackingKind}, for any kind. */
export function lackingDevices(kind: string, option: string): string {
  return `this kernel has no devices of kind ${kind}; use one that is built with ${option}`;
}

/** No device is ever called so. */
const PROBE = "podwire-probe";
/** A group address, which no device may have. */
const IMPOSSIBLE_ADDRESS = Uint8Array.of(1, 0, 0, 0, 0, 0);

/**
 * Whether the kernel can make links of the kind. It is asked for one that cannot be, with a group's MAC address and without
 * a lower device, and looks for the kind before it looks at these: nothing is made.
 */
export function hasLinkKind(rt: RouteSocket, kind: Exclude<DeviceKind, "tap">): boolean {
  const header = { family: 0, padding: 0, type: 0, index: 0, flags: 0, change: 0 };
  const attrs = { name: PROBE, address: IMPOSSIBLE_ADDRESS, info: { kind } };
  const label = `RTM_NEWLINK ${PROBE} type ${kind}`;
  try {
    const flags = Flag.create | Flag.excl;
    rt.execute({ type: Rtm.newLink, flags, body: (to) => linkMessage.write(to, { header, attrs }), label });
    deleteLink(rt, PROBE, { missingOk: true });
    return true;
  } catch (error) {
    return !isNetlinkError(error, "EOPNOTSUPP");
  }
}
