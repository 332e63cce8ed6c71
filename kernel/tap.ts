import { closeSync, constants, openSync } from "node:fs";
import { call } from "./ffi/libc.ts";
import { LITTLE_ENDIAN } from "./netlink/bytes.ts";
import { inNetns, type Netns } from "./netns.ts";

/** <linux/if_tun.h> */
const TUNSETIFF = 0x400454ca;
const TUNSETPERSIST = 0x400454cb;
const TUNSETOWNER = 0x400454cc;
const TUNSETGROUP = 0x400454ce;
const IFF_TAP = 0x0002;
const IFF_MULTI_QUEUE = 0x0100;
const IFF_NO_PI = 0x1000;
/** An interface that is there already is an error (EBUSY). */
const IFF_TUN_EXCL = 0x8000;
/** struct ifreq, <linux/if.h>: the name, then a union in which the flags come first. */
const IFREQ_BYTES = 40;
const NAME_BYTES = 16;

const CLONE_DEVICE = "/dev/net/tun";

/** Whether the kernel makes such devices; its module is loaded when it can be. */
export function canOpenTap(): boolean {
  try {
    closeSync(openSync(CLONE_DEVICE, constants.O_RDWR | constants.O_NONBLOCK));
    return true;
  } catch {
    return false;
  }
}

export interface TapOptions {
  readonly name: string;
  /** Several programs, or threads of one, may each have a queue. */
  readonly multiQueue: boolean;
  /** The user and the group who may attach to it beside root; anybody with CAP_NET_ADMIN when both are absent. */
  readonly owner: number | undefined;
  readonly group: number | undefined;
}

/** A tap device that goes with its descriptor, unless it is told to stay. */
export interface NewTap extends Disposable {
  /** It outlives its descriptor from now on. */
  persist(): void;
}

/**
 * Makes a tap device in the namespace, as `ip tuntap add mode tap` does, except that it is gone when this process ends
 * before `persist`. It is down.
 * @throws SystemError EBUSY when the name is taken; the error of open(2) where {@link canOpenTap} says no
 */
export function openTap(netns: Netns, { name, multiQueue, owner, group }: TapOptions): NewTap {
  // The descriptor belongs to the namespace that it is opened in, and so does what it makes.
  const fd = inNetns(netns, () => openSync(CLONE_DEVICE, constants.O_RDWR | constants.O_NONBLOCK));
  try {
    const request = Buffer.alloc(IFREQ_BYTES);
    if (Buffer.byteLength(name) >= NAME_BYTES) throw new RangeError(`"${name}" is too long for a network device`);
    request.write(name);
    const flags = IFF_TAP | IFF_NO_PI | IFF_TUN_EXCL | (multiQueue ? IFF_MULTI_QUEUE : 0);
    new DataView(request.buffer, request.byteOffset).setUint16(NAME_BYTES, flags, LITTLE_ENDIAN);
    call("ioctlOf", [fd, TUNSETIFF, request], `TUNSETIFF ${name}`);
    if (owner !== undefined) call("ioctl", [fd, TUNSETOWNER, owner], `TUNSETOWNER ${owner}`);
    if (group !== undefined) call("ioctl", [fd, TUNSETGROUP, group], `TUNSETGROUP ${group}`);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  return {
    persist: () => void call("ioctl", [fd, TUNSETPERSIST, 1], `TUNSETPERSIST ${name}`),
    [Symbol.dispose]: () => closeSync(fd),
  };
}
