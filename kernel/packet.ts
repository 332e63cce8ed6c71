import { type Mac, macFromBytes, macToBytes } from "../net/mac.ts";
import { attachFilter, call, tryCall } from "./ffi/libc.ts";
import { SystemError } from "./ffi/system-error.ts";
import { LITTLE_ENDIAN } from "./netlink/bytes.ts";

/** <sys/socket.h>, <linux/if_ether.h>, <linux/if_packet.h> */
const AF_PACKET = 17;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const SOCK_NONBLOCK = 0o4000;
const MSG_DONTWAIT = 0x40;
const ETH_P_IP = 0x0800;
const PACKET_OUTGOING = 4;
/** struct sockaddr_ll, and where its parts are. */
const [ADDRESS_BYTES, PROTOCOL, INDEX, PACKET_TYPE, MAC_LENGTH, MAC] = [20, 2, 4, 10, 11, 12];
const MAC_BYTES = 6;
/** <errno.h> */
const [EAGAIN, ENETDOWN, ENOBUFS] = [11, 100, 105];
/** More than an Ethernet frame holds. */
const LARGEST = 65536;

/** A packet that came, and who sent the frame. */
export interface ReceivedPacket {
  readonly packet: Uint8Array;
  readonly from: Mac;
}

/** IPv4 packets of a link, past routing, addresses and packet filters (packet(7)), for who has no address yet. */
export class PacketSocket {
  readonly fd: number;
  readonly #index: number;
  readonly #buffer = new Uint8Array(LARGEST);

  /**
   * In this thread's namespace, and in it for good. Who owns the socket closes {@link fd}.
   * @param index of the link
   * @param port UDP datagrams to this port are received, and nothing else
   * @throws SystemError EPERM without CAP_NET_RAW, ENODEV for no such link
   */
  constructor(index: number, port: number) {
    this.#index = index;
    this.fd = call("socket", [AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0], "packet"); // deaf until it is bound
    try {
      const filter = udpTo(port);
      attachFilter(this.fd, filter, filter.length / 8);
      const name = linkAddress(index);
      call("bind", [this.fd, name, name.length], `link ${index}`);
    } catch (error) {
      call("close", [this.fd]);
      throw error;
    }
  }

  /**
   * Sends an IPv4 packet in a frame to that address. One that finds no room is lost, as any packet may be.
   * @throws SystemError ENETDOWN while the link is down, ENXIO when it is gone
   */
  send(packet: Uint8Array, to: Mac): void {
    const name = linkAddress(this.#index, to);
    const result = tryCall("sendto", [this.fd, packet, packet.length, MSG_DONTWAIT, name, name.length]);
    if (result >= 0 || result === -ENOBUFS || result === -EAGAIN) return;
    throw new SystemError("sendto", -result, `link ${this.#index}`);
  }

  /** The next packet; undefined when there is none. */
  receive(): ReceivedPacket | undefined {
    for (;;) {
      const name = new Uint8Array(ADDRESS_BYTES);
      const size = new Uint8Array(Uint32Array.of(ADDRESS_BYTES).buffer);
      const length = tryCall("recvfrom", [this.fd, this.#buffer, LARGEST, MSG_DONTWAIT, name, size]);
      if (length === -EAGAIN || length === -ENETDOWN) return undefined; // the latter once, when the link goes down
      if (length < 0) throw new SystemError("recvfrom", -length, `link ${this.#index}`);
      if (name[PACKET_TYPE] === PACKET_OUTGOING || name[MAC_LENGTH] !== MAC_BYTES) continue;
      return { packet: this.#buffer.slice(0, length), from: macFromBytes(name.subarray(MAC, MAC + MAC_BYTES)) };
    }
  }
}

function linkAddress(index: number, to?: Mac): Uint8Array {
  const bytes = new Uint8Array(ADDRESS_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF_PACKET, LITTLE_ENDIAN);
  view.setUint16(PROTOCOL, ETH_P_IP);
  view.setInt32(INDEX, index, LITTLE_ENDIAN);
  if (to !== undefined) {
    view.setUint8(MAC_LENGTH, MAC_BYTES);
    bytes.set(macToBytes(to), MAC);
  }
  return bytes;
}

/**
 * Classic BPF over the IP header, <linux/filter.h>: protocol UDP, no fragment but a first one, destination port. Each step
 * is struct sock_filter: what to do, how many steps to go on if true and if false, and the value.
 */
function udpTo(port: number): Uint8Array {
  const [loadByte, loadHalf, loadHeaderLength, loadHalfBehind, equal, anyBit, give] = [
    0x30, 0x28, 0xb1, 0x48, 0x15, 0x45, 0x06,
  ];
  const steps = [
    [loadByte, 0, 0, 9],
    [equal, 0, 6, 17],
    [loadHalf, 0, 0, 6],
    [anyBit, 4, 0, 0x1fff],
    [loadHeaderLength, 0, 0, 0],
    [loadHalfBehind, 0, 0, 2],
    [equal, 0, 1, port],
    [give, 0, 0, 0xffffffff],
    [give, 0, 0, 0],
  ] as const;
  const view = new DataView(new ArrayBuffer(8 * steps.length));
  steps.forEach(([code, ifTrue, ifFalse, value], step) => {
    view.setUint16(8 * step, code, LITTLE_ENDIAN);
    view.setUint8(8 * step + 2, ifTrue);
    view.setUint8(8 * step + 3, ifFalse);
    view.setUint32(8 * step + 4, value, LITTLE_ENDIAN);
  });
  return new Uint8Array(view.buffer);
}
