import { type Address, addressFromBytes, addressToBytes } from "../net/address.ts";

export const CLIENT_PORT = 68;
export const SERVER_PORT = 67;

/** A UDP datagram in an IPv4 packet. */
export interface Datagram {
  readonly from: Address;
  readonly fromPort: number;
  readonly to: Address;
  readonly toPort: number;
  readonly payload: Uint8Array;
}

const UDP = 17;
const [IP_BYTES, UDP_BYTES] = [20, 8];
const VERSION_AND_LENGTH = 0x45;
const DO_NOT_FRAGMENT = 0x4000;
const TTL = 64;

/** The packet as it goes behind an Ethernet header: RFC 791 and RFC 768, both checksums set. */
export function encodeDatagram({ from, fromPort, to, toPort, payload }: Datagram): Uint8Array {
  const bytes = new Uint8Array(IP_BYTES + UDP_BYTES + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, VERSION_AND_LENGTH);
  view.setUint16(2, bytes.length);
  view.setUint16(6, DO_NOT_FRAGMENT);
  view.setUint8(8, TTL);
  view.setUint8(9, UDP);
  bytes.set(addressToBytes(from), 12);
  bytes.set(addressToBytes(to), 16);
  view.setUint16(10, fold(sumOf(bytes.subarray(0, IP_BYTES))));
  view.setUint16(20, fromPort);
  view.setUint16(22, toPort);
  view.setUint16(24, UDP_BYTES + payload.length);
  bytes.set(payload, IP_BYTES + UDP_BYTES);
  // The pseudo header: both addresses, the protocol and the length.
  const pseudo = sumOf(bytes.subarray(12, IP_BYTES)) + UDP + UDP_BYTES + payload.length;
  view.setUint16(26, fold(pseudo + sumOf(bytes.subarray(IP_BYTES))) || 0xffff);
  return bytes;
}

/**
 * Reads a packet; undefined for what is no whole UDP datagram. The UDP checksum is not looked at: the kernel leaves it to
 * the device, so what a server on the same machine sends has none yet.
 */
export function decodeDatagram(packet: Uint8Array): Datagram | undefined {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
  const [first = 0] = packet;
  const header = (first & 0xf) * 4;
  if (first >> 4 !== 4 || header < IP_BYTES || packet.length < header + UDP_BYTES || packet[9] !== UDP)
    return undefined;
  if ((view.getUint16(6) & 0x3fff) !== 0) return undefined; // a fragment
  const length = view.getUint16(header + 4);
  const total = view.getUint16(2);
  if (length < UDP_BYTES || total > packet.length || header + length > total) return undefined;
  return {
    from: addressFromBytes(packet.subarray(12, 16)),
    to: addressFromBytes(packet.subarray(16, 20)),
    fromPort: view.getUint16(header),
    toPort: view.getUint16(header + 2),
    payload: packet.subarray(header + UDP_BYTES, header + length),
  };
}

/** Of 16-bit words, the last byte filled up with zero (RFC 1071). */
function sumOf(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0);
  return sum;
}

function fold(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded & 0xffff) + Math.floor(folded / 0x10000);
  return ~folded & 0xffff;
}
