import { attrs, string, u32 } from "./attrs.ts";
import { Reader, TruncatedError, Writer } from "./bytes.ts";

/** NLM_F_*, <linux/netlink.h>. */
export const Flag = {
  request: 0x001,
  multi: 0x002,
  ack: 0x004,
  dumpInterrupted: 0x010,
  dump: 0x300,
  replace: 0x100,
  excl: 0x200,
  create: 0x400,
  append: 0x800,
  /** Of orders: tell the sender too what everybody is told. */
  echo: 0x008,
  /** On answers: the request is not repeated; attributes follow. */
  capped: 0x100,
  ackTlvs: 0x200,
} as const;

/** NLMSG_*, <linux/netlink.h>. */
export const Control = { noop: 1, error: 2, done: 3, overrun: 4 } as const;

export const HEADER_BYTES = 16;

/** A message of a family, header and body apart. */
export interface Message {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly port: number;
  readonly body: Uint8Array;
}

/** Writes header (struct nlmsghdr) and body of one message, padded, after what the writer holds. */
export function writeMessage(to: Writer, message: Omit<Message, "body" | "port">, body: (to: Writer) => void): void {
  const start = to.length;
  to.integer(4, 0);
  to.integer(2, message.type);
  to.integer(2, message.flags);
  to.integer(4, message.sequence);
  to.integer(4, 0); // to the kernel
  body(to);
  to.patch(start, 4, to.length - start);
  to.align();
}

/** One message alone. */
export function encodeMessage(message: Omit<Message, "body" | "port">, body: (to: Writer) => void): Uint8Array {
  const to = new Writer();
  writeMessage(to, message, body);
  return to.finish();
}

/** The messages of one datagram. @throws TruncatedError when one is longer than the rest */
export function decodeMessages(datagram: Uint8Array): Message[] {
  const messages: Message[] = [];
  const from = new Reader(datagram);
  while (from.remaining >= HEADER_BYTES) {
    const length = from.integer(4);
    const type = from.integer(2);
    const flags = from.integer(2);
    const sequence = from.integer(4);
    const port = from.integer(4);
    if (length < HEADER_BYTES) throw new TruncatedError(`message ${type} has length ${length}`);
    messages.push({ type, flags, sequence, port, body: from.bytes(length - HEADER_BYTES) });
    from.skipPadding(length);
  }
  return messages;
}

/** NLMSGERR_ATTR_* */
const errorAttrs = attrs({ message: [1, string], offset: [2, u32] });

/** What an NLMSG_ERROR or NLMSG_DONE says: errno (0 is success) and the kernel's sentence. */
export function decodeOutcome({ type, flags, body }: Message): { errno: number; extack?: string } {
  const from = new Reader(body);
  if (type === Control.done && from.remaining < 4) return { errno: 0 };
  const errno = -from.integer(4, { signed: true });
  if (!(flags & Flag.ackTlvs)) return { errno };
  if (type === Control.error) {
    const requestLength = from.integer(4);
    from.bytes(HEADER_BYTES - 4);
    if (!(flags & Flag.capped)) from.bytes(requestLength - HEADER_BYTES);
  }
  const { message } = errorAttrs.read(from);
  return message === undefined ? { errno } : { errno, extack: message };
}
