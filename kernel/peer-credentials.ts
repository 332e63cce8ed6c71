import type { Socket } from "node:net";
import { call } from "./ffi/libc.ts";

/** <sys/socket.h> */
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
/** struct ucred: pid, uid, gid. */
const UCRED_BYTES = 12;

/** Who connected a unix socket, as the kernel noted it then (SO_PEERCRED, unix(7)). */
export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** @throws SystemError; Error when Node.js does not tell the socket's descriptor */
export function peerCredentials(socket: Socket): PeerCredentials {
  const { _handle: handle } = socket as unknown as { readonly _handle?: { readonly fd?: number } | null };
  const fd = handle?.fd;
  if (fd === undefined || fd < 0) throw new Error("the connection has no descriptor (any more)");
  const credentials = new Uint32Array(UCRED_BYTES / 4);
  const bytes = new Uint8Array(credentials.buffer);
  const length = new Uint8Array(Uint32Array.of(UCRED_BYTES).buffer);
  call("getsockopt", [fd, SOL_SOCKET, SO_PEERCRED, bytes, length], "SO_PEERCRED");
  const [pid = 0, uid = 0xffffffff, gid = 0xffffffff] = credentials;
  return { pid, uid, gid };
}
