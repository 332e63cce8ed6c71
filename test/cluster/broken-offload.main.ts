// A wire between two devices of this namespace that behaves as a network card whose checksum offload knows no tunnels:
// checksums of plain TCP and UDP are finished, those inside of packets to the tunnel port are left as the kernel gave them.
//   broken-offload.main.ts DEVICE DEVICE TUNNEL_PORT
import { call, tryCall } from "../../kernel/ffi/libc.ts";
import { getLink } from "../../kernel/rtnetlink/link.ts";
import { openRoute } from "../../kernel/rtnetlink/socket.ts";

const AF_PACKET = 17;
const SOCK_RAW = 3;
const ETH_P_ALL = 3;
const PACKET_OUTGOING = 4;
const POLLIN = 1;
const MSG_DONTWAIT = 0x40;
const TCP = 6;
const UDP = 17;
const CHECKSUM_OFFSET: Readonly<Record<number, number>> = { [TCP]: 16, [UDP]: 6 };

const [left = "", right = "", port = ""] = process.argv.slice(2);
const sockets = [left, right].map(openDevice);
const frame = new Uint8Array(65536);
const sender = new Uint8Array(20);
const senderLength = new Uint8Array(Uint32Array.of(20).buffer);
const descriptors = new DataView(new ArrayBuffer(8 * sockets.length));
for (const [i, fd] of sockets.entries()) {
  descriptors.setInt32(8 * i, fd, true);
  descriptors.setInt16(8 * i + 4, POLLIN, true);
}
process.stdout.write("wired\n");
for (;;) {
  call("poll", [new Uint8Array(descriptors.buffer), sockets.length, -1]);
  for (const [i, fd] of sockets.entries()) {
    const length = tryCall("recvfrom", [fd, frame, frame.length, MSG_DONTWAIT, sender, senderLength]);
    if (length <= 0 || sender[10] === PACKET_OUTGOING) continue;
    const bytes = frame.subarray(0, length);
    finishChecksum(bytes);
    tryCall("send", [sockets[1 - i] ?? fd, bytes, bytes.length, MSG_DONTWAIT]);
  }
}

function openDevice(name: string): number {
  using rt = openRoute();
  const link = getLink(rt, name);
  if (link === undefined) throw new Error(`there is no device "${name}"`);
  const fd = call("socket", [AF_PACKET, SOCK_RAW, ETH_P_ALL << 8]);
  const address = new DataView(new ArrayBuffer(20));
  address.setUint16(0, AF_PACKET, true);
  address.setUint16(2, ETH_P_ALL);
  address.setInt32(4, link.index, true);
  call("bind", [fd, new Uint8Array(address.buffer), 20]);
  return fd;
}

/** Of the outermost TCP or UDP header, unless it is a tunnel's or says that there is none. */
function finishChecksum(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const type = view.getUint16(12);
  const isV4 = type === 0x0800;
  if (!isV4 && type !== 0x86dd) return;
  const start = 14 + (isV4 ? (view.getUint8(14) & 0xf) * 4 : 40);
  const end = 14 + (isV4 ? view.getUint16(16) : 40 + view.getUint16(18));
  const protocol = view.getUint8(isV4 ? 23 : 20);
  const field = start + (CHECKSUM_OFFSET[protocol] ?? Number.NaN);
  if (Number.isNaN(field) || end > bytes.length) return;
  if (protocol === UDP && (view.getUint16(start + 2) === Number(port) || view.getUint16(field) === 0)) return;
  view.setUint16(field, 0);
  let sum = protocol + (end - start);
  for (let at = isV4 ? 26 : 22; at < start; at += 2) sum += view.getUint16(at);
  for (let at = start; at < end; at += 2) sum += at + 1 < end ? view.getUint16(at) : view.getUint8(at) << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  view.setUint16(field, ~sum & 0xffff || 0xffff);
}
