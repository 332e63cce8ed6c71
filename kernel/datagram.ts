import { type Address, addressToBytes, type Family, familyOf } from "../net/address.ts";
import { call, tryCall } from "./ffi/libc.ts";
import { SystemError } from "./ffi/system-error.ts";
import { LITTLE_ENDIAN } from "./netlink/bytes.ts";

/** <sys/socket.h>, <linux/in.h>, <linux/in6.h>, <linux/udp.h> */
const AF = { 4: 2, 6: 10 } as const;
const SOCK_DGRAM = 2;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const SOCK_NONBLOCK = 0o4000;
const MSG_DONTWAIT = 0x40;
const [SOL_SOCKET, SOL_IP, SOL_UDP, SOL_IPV6] = [1, 0, 17, 41];
const SO_NO_CHECK = 11;
const IP_MTU_DISCOVER = 10;
const IP_TRANSPARENT = 19;
const IPV6_MTU_DISCOVER = 23;
const IPV6_V6ONLY = 26;
const IPV6_DONTFRAG = 62;
const IPV6_TRANSPARENT = 75;
const PMTUDISC_DO = 2;
const UDP_NO_CHECK6_TX = 101;
const UDP_NO_CHECK6_RX = 102;
const IPPROTO_ICMP = { 4: 1, 6: 58 } as const;
const ICMP_ECHO = { 4: 8, 6: 128 } as const;
const ICMP_ECHO_REPLY = { 4: 0, 6: 129 } as const;
/** <errno.h> */
const EAGAIN = 11;

const ECHO_BYTES = 8;
/** Of one read; a flood from the other side is cut there. */
const MOST_DATAGRAMS = 64;
const RECEIVE_BYTES = 2048;

/** How a UDP socket sends. */
export interface UdpOptions {
  /** Without: the checksum field says that there is none (RFC 768; RFC 6935 for IPv6). */
  readonly checksum: boolean;
}

/**
 * A UDP socket bound to the address, whether or not a device bears it yet (IP_TRANSPARENT, ip(7)): whatever routes it
 * here counts. Its packets are never fragmented on this node or on the way (IP_MTU_DISCOVER), and packets without a
 * checksum are taken. The caller closes the descriptor, or gives it to node:dgram.
 * @param port 0: a free one
 * @throws SystemError EADDRINUSE; EPERM without CAP_NET_ADMIN
 */
export function openUdp(address: Address, port: number, { checksum }: UdpOptions): number {
  const family = familyOf(address);
  const fd = call("socket", [AF[family], SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0], "UDP");
  try {
    if (family === 4) {
      setOption(fd, SOL_IP, IP_TRANSPARENT, 1);
      setOption(fd, SOL_IP, IP_MTU_DISCOVER, PMTUDISC_DO);
      setOption(fd, SOL_SOCKET, SO_NO_CHECK, checksum ? 0 : 1);
    } else {
      setOption(fd, SOL_IPV6, IPV6_V6ONLY, 1);
      setOption(fd, SOL_IPV6, IPV6_TRANSPARENT, 1);
      setOption(fd, SOL_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_DO);
      setOption(fd, SOL_IPV6, IPV6_DONTFRAG, 1);
      setOption(fd, SOL_UDP, UDP_NO_CHECK6_TX, checksum ? 0 : 1);
      setOption(fd, SOL_UDP, UDP_NO_CHECK6_RX, 1);
    }
    const name = socketAddress(address, port);
    call("bind", [fd, name, name.length], `${address} port ${port}`);
    return fd;
  } catch (error) {
    call("close", [fd]);
    throw error;
  }
}

/** One ICMP echo request (RFC 792, RFC 4443), and whether its answer has come. */
export class Echo implements Disposable {
  readonly #fd: number;
  readonly #family: Family;
  readonly #identifier: number;

  /**
   * Sends it at once.
   * @param from the source; undefined: the kernel's choice
   * @param identifier of the request, 0..65535
   * @throws SystemError when it cannot be sent
   */
  constructor(from: Address | undefined, to: Address, identifier: number) {
    const family = familyOf(to);
    this.#family = family;
    this.#identifier = identifier;
    this.#fd = call("socket", [AF[family], SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_ICMP[family]], "ICMP");
    try {
      if (from !== undefined) {
        if (family === 4) setOption(this.#fd, SOL_IP, IP_TRANSPARENT, 1);
        else setOption(this.#fd, SOL_IPV6, IPV6_TRANSPARENT, 1);
        const own = socketAddress(from, 0);
        call("bind", [this.#fd, own, own.length], from);
      }
      const name = socketAddress(to, 0);
      call("connect", [this.#fd, name, name.length], to);
      const request = echoRequest(family, identifier);
      call("send", [this.#fd, request, request.length, MSG_DONTWAIT], to);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** Whether an answer lies in the socket. Reads it. */
  answered(): boolean {
    const buffer = new Uint8Array(RECEIVE_BYTES);
    for (let i = 0; i < MOST_DATAGRAMS; i++) {
      const length = tryCall("recvfrom", [this.#fd, buffer, buffer.length, MSG_DONTWAIT, null, null]);
      if (length === -EAGAIN) return false;
      if (length > 0 && this.#isReply(buffer.subarray(0, length))) return true;
    }
    return false;
  }

  [Symbol.dispose](): void {
    call("close", [this.#fd]);
  }

  /** A raw IPv4 socket gives the IP header too (raw(7)), an IPv6 one does not. */
  #isReply(datagram: Uint8Array): boolean {
    const start = this.#family === 4 ? ((datagram[0] ?? 0) & 0xf) * 4 : 0;
    if (datagram.length < start + ECHO_BYTES) return false;
    const view = new DataView(datagram.buffer, datagram.byteOffset + start);
    return view.getUint8(0) === ICMP_ECHO_REPLY[this.#family] && view.getUint16(4) === this.#identifier;
  }
}

function echoRequest(family: Family, identifier: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(ECHO_BYTES));
  view.setUint8(0, ICMP_ECHO[family]);
  view.setUint16(4, identifier);
  const sum = (ICMP_ECHO[family] << 8) + identifier;
  // The kernel fills in that of ICMPv6, which covers the addresses.
  if (family === 4) view.setUint16(2, ~((sum & 0xffff) + (sum >> 16)) & 0xffff);
  return new Uint8Array(view.buffer);
}

/** struct sockaddr_in or sockaddr_in6. */
function socketAddress(address: Address, port: number): Uint8Array {
  const family = familyOf(address);
  const bytes = new Uint8Array(family === 4 ? 16 : 28);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF[family], LITTLE_ENDIAN);
  view.setUint16(2, port);
  bytes.set(addressToBytes(address), family === 4 ? 4 : 8);
  return bytes;
}

function setOption(fd: number, level: number, option: number, value: number): void {
  const bytes = new Uint8Array(Int32Array.of(value).buffer);
  const result = tryCall("setsockopt", [fd, level, option, bytes, bytes.length]);
  if (result < 0) throw new SystemError("setsockopt", -result, `level ${level}, option ${option}`);
}
