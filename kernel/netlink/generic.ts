import { attrs, string, struct, u8, u16 } from "./attrs.ts";
import { Reader, type Writer } from "./bytes.ts";
import { NetlinkSocket } from "./socket.ts";

/** <linux/netlink.h> */
const NETLINK_GENERIC = 16;

/** struct genlmsghdr, <linux/genetlink.h>. */
export const genericHeader = struct({ command: u8, version: u8, reserved: u16 });

/** CTRL_ATTR_*, <linux/genetlink.h>. */
const controlAttrs = attrs({ familyId: [1, u16], familyName: [2, string] });
const GENL_ID_CTRL = 0x10;
const CTRL_CMD_GETFAMILY = 3;
const CTRL_VERSION = 2;

/** What {@link familyId} needs of a socket. */
export type GenericSocket = Pick<NetlinkSocket, "ask" | "execute" | "dump">;

/**
 * Opens a generic netlink socket in the thread's namespace.
 * @param secret its messages carry keys: debugging never prints what is in them
 */
export function openGeneric(options: { readonly secret?: boolean } = {}): NetlinkSocket {
  return new NetlinkSocket(NETLINK_GENERIC, options);
}

/**
 * The message type by which a family goes in this boot; the kernel loads its module when it has one.
 * @throws NetlinkError ENOENT when the kernel has no such family
 */
export function familyId(socket: GenericSocket, name: string): number {
  const answer = socket.ask({
    type: GENL_ID_CTRL,
    body: (to) => {
      writeGenericHeader(to, CTRL_CMD_GETFAMILY, CTRL_VERSION);
      controlAttrs.write(to, { familyName: name });
    },
    label: `CTRL_CMD_GETFAMILY ${name}`,
  });
  const from = new Reader(answer.body);
  genericHeader.read(from);
  const { familyId: id } = controlAttrs.read(from);
  if (id === undefined) throw new RangeError(`the kernel's answer about the netlink family ${name} has no number`);
  return id;
}

export function writeGenericHeader(to: Writer, command: number, version: number): void {
  genericHeader.write(to, { command, version, reserved: 0 });
}
