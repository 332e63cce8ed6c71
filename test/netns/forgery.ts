import { type Address, addressToBytes, familyOf } from "../../net/address.ts";
import type { Sandbox } from "./sandbox.ts";

/** What goes before the inner packet, and how the outer one says so. */
export interface Wrapping {
  /** IP protocol number of the outer packet. */
  readonly protocol: number;
  /** Of a UDP tunnel. */
  readonly port?: number;
  header(inner: Buffer): Buffer;
}

export interface Forged {
  /** The UDP port that the inner packet goes to. */
  readonly id: number;
  readonly outer: { readonly src: Address; readonly dst: Address };
  readonly inner: { readonly src: Address; readonly dst: Address };
  readonly wrapping: Wrapping;
  /** In two fragments; the first has eight bytes, and so nothing of the inner packet. */
  readonly fragmented?: boolean;
}

const SEND = `
import socket, sys
def raw(family):
    return socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW)
sockets = {}
for line in sys.stdin:
    to, packet = line.split()
    family = socket.AF_INET6 if ":" in to else socket.AF_INET
    if family not in sockets: sockets[family] = raw(family)
    sockets[family].sendto(bytes.fromhex(packet), (to, 0))
`;

/** Sends the packets as they are, whatever their source. */
export function send(sandbox: Sandbox, netns: string, packets: readonly Forged[]): void {
  const lines = packets.flatMap((packet) => build(packet).map((each) => `${packet.outer.dst} ${each.toString("hex")}`));
  sandbox.sh(`ip netns exec ${netns} python3 -c '${SEND}'`, `${lines.join("\n")}\n`);
}

export const gpe: Wrapping["header"] = (inner) => Buffer.from([0x0c, 0, 0, isIpv4(inner) ? 1 : 2, 0, 0, 1, 0]); // RFC 7348 with I and P bits; VNI 1

export const vxlan =
  (vni: number, to: string, from: string): Wrapping["header"] =>
  (inner) =>
    Buffer.concat([Buffer.from([0x08, 0, 0, 0, 0, 0, vni, 0]), macBytes(to), macBytes(from), etherType(inner)]);

export const gre =
  (key?: number): Wrapping["header"] =>
  (inner) =>
    key === undefined
      ? Buffer.concat([Buffer.from([0, 0]), etherType(inner)])
      : Buffer.concat([Buffer.from([0x20, 0]), etherType(inner), Buffer.from([0, 0, 0, key])]);

export const bare: Wrapping["header"] = () => Buffer.alloc(0);

function build({ id, outer, inner, wrapping, fragmented = false }: Forged): Buffer[] {
  const packet = ip(inner.src, inner.dst, 17, udp(inner.src, inner.dst, id, Buffer.from("forged")));
  const tunnelled = Buffer.concat([wrapping.header(packet), packet]);
  const { protocol, port } = wrapping;
  const body = port === undefined ? tunnelled : udp(outer.src, outer.dst, port, tunnelled);
  if (!fragmented) return [ip(outer.src, outer.dst, protocol, body)];
  return [
    ip(outer.src, outer.dst, protocol, body.subarray(0, 8), { id, offset: 0, more: true }),
    ip(outer.src, outer.dst, protocol, body.subarray(8), { id, offset: 8, more: false }),
  ];
}

interface Fragment {
  readonly id: number;
  readonly offset: number;
  readonly more: boolean;
}

function ip(src: Address, dst: Address, protocol: number, body: Buffer, fragment?: Fragment): Buffer {
  const addresses = [addressToBytes(src), addressToBytes(dst)];
  if (familyOf(src) === 4) {
    const header = Buffer.concat([Buffer.alloc(12), ...addresses]);
    header.set([0x45, 0]);
    header.writeUInt16BE(20 + body.length, 2);
    if (fragment !== undefined) {
      header.writeUInt16BE(fragment.id, 4);
      header.writeUInt16BE((fragment.more ? 0x2000 : 0) | (fragment.offset / 8), 6);
    }
    header.set([64, protocol], 8);
    header.writeUInt16BE(checksum(header), 10);
    return Buffer.concat([header, body]);
  }
  const extension = fragment === undefined ? Buffer.alloc(0) : Buffer.alloc(8);
  if (fragment !== undefined) {
    extension.set([protocol]);
    extension.writeUInt16BE(fragment.offset | (fragment.more ? 1 : 0), 2);
    extension.writeUInt32BE(fragment.id, 4);
  }
  const header = Buffer.concat([Buffer.alloc(8), ...addresses]);
  header.set([0x60]);
  header.writeUInt16BE(extension.length + body.length, 4);
  header.set([fragment === undefined ? protocol : 44, 64], 6);
  return Buffer.concat([header, extension, body]);
}

function udp(src: Address, dst: Address, port: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt16BE(50000);
  header.writeUInt16BE(port, 2);
  header.writeUInt16BE(8 + payload.length, 4);
  const datagram = Buffer.concat([header, payload]);
  const pseudo = Buffer.concat([addressToBytes(src), addressToBytes(dst), Buffer.from([0, 0, 0, 17, 0, 0]), datagram]);
  pseudo.writeUInt16BE(datagram.length, pseudo.length - datagram.length - 2);
  datagram.writeUInt16BE(checksum(pseudo), 6);
  return datagram;
}

/** RFC 1071. */
function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i] ?? 0) * 256 + (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum >> 16) + (sum & 0xffff);
  return ~sum & 0xffff;
}

const isIpv4 = (packet: Buffer) => (packet[0] ?? 0) >> 4 === 4;
const etherType = (packet: Buffer) => Buffer.from(isIpv4(packet) ? [0x08, 0x00] : [0x86, 0xdd]);
const macBytes = (mac: string) => Buffer.from(mac.replaceAll(":", ""), "hex");
