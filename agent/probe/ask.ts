import { randomBytes } from "node:crypto";
import { createSocket } from "node:dgram";
import { closeSync } from "node:fs";
import { openUdp } from "../../kernel/datagram.ts";
import { type Address, familyOf } from "../../net/address.ts";
import { encodeQuestion, isAnswer, NONCE_BYTES, PROBE_PORT } from "./packet.ts";
import type { Outcome } from "./verdict.ts";

/** Who asks whom, and how. */
export interface Question {
  readonly local: Address;
  readonly remote: Address;
  /** Of the whole IP packet, in bytes. */
  readonly size: number;
  readonly checksum: boolean;
  /** How long to wait for an answer, in milliseconds. */
  readonly patience: number;
}

export interface Reply {
  readonly outcome: Outcome;
  /** The kernel's word, when it was refused or could not be sent. */
  readonly code?: string;
}

/**
 * Sends one question and waits for its answer. The socket is connected: the kernel lets nobody else answer, and hands
 * over the errors that ICMP brings.
 */
export function ask({ local, remote, size, checksum, patience }: Question): Promise<Reply> {
  const family = familyOf(remote);
  const nonce = randomBytes(NONCE_BYTES);
  let fd: number;
  try {
    fd = openUdp(local, 0, { checksum });
  } catch (error) {
    return Promise.resolve(failed(error));
  }
  return new Promise((resolve) => {
    const socket = createSocket(family === 4 ? "udp4" : "udp6");
    let owned = false;
    const end = (reply: Reply) => {
      clearTimeout(timer);
      if (owned) {
        owned = false;
        socket.close();
      }
      resolve(reply);
    };
    // What came in while this thread was busy is read before it counts as silence.
    const timer = setTimeout(() => setImmediate(() => setImmediate(() => end({ outcome: "silent" }))), patience);
    socket.on("error", (error) => end(failed(error)));
    socket.on("message", (message) => {
      if (isAnswer(message, nonce)) end({ outcome: "answered" });
    });
    socket.on("connect", () => {
      socket.send(encodeQuestion(nonce, family, size), (error) => error && end(failed(error)));
    });
    try {
      socket.bind({ fd });
      owned = true;
      socket.connect(PROBE_PORT, remote);
    } catch (error) {
      if (!owned) closeSync(fd);
      end(failed(error));
    }
  });
}

/** ICMP's "port unreachable" and a firewall's rejection come from the other side: something went there and back. */
const FROM_THE_OTHER_SIDE = new Set(["ECONNREFUSED", "EHOSTUNREACH", "EACCES"]);

function failed(error: unknown): Reply {
  const { code = String(error), syscall } = error as NodeJS.ErrnoException;
  if (code === "EMSGSIZE") return { outcome: "too-large", code };
  return { outcome: FROM_THE_OTHER_SIDE.has(code) && syscall !== "send" ? "refused" : "unsendable", code };
}
