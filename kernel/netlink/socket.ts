import { call, tryCall } from "../ffi/libc.ts";
import { SystemError } from "../ffi/system-error.ts";
import { LITTLE_ENDIAN, Writer } from "./bytes.ts";
import { debugMessages } from "./debug.ts";
import { NetlinkError } from "./error.ts";
import { Control, decodeMessages, decodeOutcome, Flag, HEADER_BYTES, type Message, writeMessage } from "./message.ts";

/** <sys/socket.h> */
const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;
const SO_RCVBUFFORCE = 33;
const MSG_TRUNC = 0x20;
const MSG_DONTWAIT = 0x40;
/** <linux/netlink.h> */
const SOL_NETLINK = 270;
export const NETLINK_ROUTE = 0;
export const NETLINK_NETFILTER = 12;
const NETLINK_ADD_MEMBERSHIP = 1;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;
/** <errno.h> */
const EINTR = 4;
const EAGAIN = 11;
const ENOBUFS = 105;
const ETIMEDOUT = 110;

/** The kernel packs dumps into at most 32 KiB; single messages stay far below. */
const RECEIVE_BYTES = 65536;
const SOCKADDR_BYTES = 12;
/** nl_pid of struct sockaddr_nl, in words. */
const SENDER_PORT = 1;
/** The kernel answers in the call that asks; this bounds the wait for an answer that it could not queue. */
const ANSWER_TIMEOUT_SECONDS = 10;
const DUMP_ATTEMPTS = 20;
/** Room for bursts of notifications: some 5,000 links that come or go at once. */
const NOTIFICATION_BYTES = 8 << 20;
/** How many refusals surely fit into a socket's default receive buffer. */
const BATCH_MESSAGES = 64;

/** What one receive needs. Calls are synchronous and copy what came, so all sockets of a thread share it. */
interface Receiver {
  readonly buffer: Uint8Array;
  /** struct sockaddr_nl of who sent it, in words. */
  readonly sender: Uint32Array;
  readonly senderLength: Uint32Array;
  readonly arguments: readonly [buffer: Uint8Array, sender: Uint8Array, senderLength: Uint8Array];
}
let receiver: Receiver | undefined;

/** One order or question. */
export interface Request {
  readonly type: number;
  /** Flags beyond NLM_F_REQUEST and those that the way of sending needs. */
  readonly flags?: number;
  /** Writes what follows the header. */
  readonly body: (to: Writer) => void;
  /** What is asked, in words, for errors: `RTM_NEWLINK vx0`. */
  readonly label: string;
}

/** A netlink socket of one family. Calls are synchronous: the kernel does the work inside them. */
export class NetlinkSocket implements Disposable {
  readonly fd: number;
  readonly #writer = new Writer();
  readonly #secret: boolean;
  #sequence = 0;
  #open = true;

  /**
   * Opens it in the thread's current namespace, where it stays.
   * @param options secret: its messages carry keys, and debugging never prints what is in them
   */
  constructor(protocol: number, { secret = false }: { readonly secret?: boolean } = {}) {
    this.#secret = secret;
    this.fd = call("socket", [AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol], "AF_NETLINK");
    const seconds = new BigInt64Array([BigInt(ANSWER_TIMEOUT_SECONDS), 0n]);
    this.#setOption(SOL_SOCKET, SO_RCVTIMEO, new Uint8Array(seconds.buffer));
    // Kernels before 4.12, 4.19 and 4.20 lack these: errors then come without a sentence, dumps without filters.
    this.#setOption(SOL_NETLINK, NETLINK_EXT_ACK, int(1));
    this.#setOption(SOL_NETLINK, NETLINK_CAP_ACK, int(1));
    this.#setOption(SOL_NETLINK, NETLINK_GET_STRICT_CHK, int(1));
  }

  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    call("close", [this.fd]);
  }

  /**
   * Sends an order and waits for its acknowledgement.
   * @returns with {@link Flag.echo}, what the kernel tells everybody about it; undefined from kernels that do not (links:
   * before 6.3) and without the flag
   * @throws NetlinkError
   */
  execute(request: Request): Message | undefined {
    return this.#exchange(request, Flag.ack)[0];
  }

  /** Sends a question that has one message for an answer. @throws NetlinkError */
  ask(request: Request): Message {
    const [answer] = this.#exchange(request, 0);
    if (answer !== undefined) return answer;
    throw new NetlinkError(ETIMEDOUT, request.label, "the kernel acknowledged without an answer");
  }

  /**
   * Sends a question that has many messages for an answer, and decodes each; those decoded to undefined are left out. A
   * dump that a change interrupted (NLM_F_DUMP_INTR) is asked for again.
   * @throws NetlinkError
   */
  dump<T>(request: Request, decode: (message: Message) => T | undefined): T[] {
    // All of it is read before anything is decoded: half a dump would be in the way of the next request.
    const messages = readConsistently(() => this.#exchange(request, Flag.dump));
    const items = messages.filter((message) => message.type !== Control.done).map(decode);
    return items.filter((item) => item !== undefined);
  }

  /**
   * Sends many orders with few system calls. Every one is executed, also after one that fails.
   * @returns for each request undefined, or why the kernel refused it
   */
  executeAll(requests: readonly Request[]): (NetlinkError | undefined)[] {
    const outcomes: (NetlinkError | undefined)[] = [];
    for (let at = 0; at < requests.length; at += BATCH_MESSAGES) {
      outcomes.push(...this.#executeBatch(requests.slice(at, at + BATCH_MESSAGES)));
    }
    return outcomes;
  }

  /** The kernel takes them in order and tells of every refusal, so the last one's acknowledgement stands for all. */
  #executeBatch(requests: readonly Request[]): (NetlinkError | undefined)[] {
    const outcomes: (NetlinkError | undefined)[] = requests.map(() => undefined);
    const last = requests.length - 1;
    const label = `${requests[0]?.label}${last > 0 ? ` and ${last} more` : ""}`;
    this.#writer.clear();
    requests.forEach((request, index) => {
      this.#write(request, index === last ? Flag.ack : 0);
    });
    const first = this.#sequence - last;
    this.#send(label);
    for (;;) {
      for (const message of this.#receive(label)) {
        const index = (message.sequence - first) >>> 0;
        const request = requests[index];
        if (request === undefined || message.type !== Control.error) continue;
        const { errno, extack } = decodeOutcome(message);
        if (errno !== 0) outcomes[index] = new NetlinkError(errno, request.label, extack);
        if (index === last) return outcomes;
      }
    }
  }

  /** Joins multicast groups: notifications arrive from now on, read by {@link poll}. */
  join(groups: readonly number[]): void {
    this.#setOption(SOL_SOCKET, SO_RCVBUFFORCE, int(NOTIFICATION_BYTES));
    // Without an address of its own a socket gets no notifications: the kernel takes it for itself.
    const address = new Uint8Array(SOCKADDR_BYTES);
    new DataView(address.buffer).setUint16(0, AF_NETLINK, LITTLE_ENDIAN);
    call("bind", [this.fd, address, SOCKADDR_BYTES], "AF_NETLINK");
    for (const group of groups) {
      const value = int(group);
      call("setsockopt", [this.fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, value, value.length], `netlink group ${group}`);
    }
  }

  /** The notifications that are there, without waiting; "overrun" when the kernel dropped some, undefined when there are none. */
  poll(): Message[] | "overrun" | undefined {
    const length = this.#receiveDatagram(MSG_DONTWAIT);
    if (length === -EAGAIN) return undefined;
    if (length === -ENOBUFS) return "overrun";
    if (length < 0) throw new SystemError("recvfrom", -length, "netlink notifications");
    return this.#decode(length);
  }

  /** The messages that answer the request, up to the acknowledgement, the end of the dump, or (without both) the first. */
  #exchange(request: Request, way: number): Message[] {
    this.#writer.clear();
    this.#write(request, way);
    const sequence = this.#sequence;
    this.#send(request.label);
    const answers: Message[] = [];
    for (;;) {
      for (const message of this.#receive(request.label)) {
        if (message.sequence !== sequence) continue; // left over from an exchange that was given up
        if (message.type === Control.error || message.type === Control.done) {
          const { errno, extack } = decodeOutcome(message);
          if (errno !== 0) throw new NetlinkError(errno, request.label, extack);
          if (message.type === Control.done) answers.push(message);
          return answers;
        }
        answers.push(message);
        if (way === 0) return answers;
      }
    }
  }

  #write({ type, flags = 0, body, label }: Request, way: number): void {
    this.#sequence = (this.#sequence + 1) % 2 ** 32;
    try {
      writeMessage(this.#writer, { type, flags: Flag.request | way | flags, sequence: this.#sequence }, body);
    } catch (cause) {
      if (cause instanceof RangeError) throw new RangeError(`${label}: ${cause.message}`, { cause });
      throw cause;
    }
  }

  /** Sends what the writer holds. */
  #send(label: string): void {
    const datagram = this.#writer.finish();
    this.#debug("->", () => decodeMessages(datagram));
    let sent = tryCall("send", [this.fd, datagram, datagram.length, 0]);
    while (sent === -EINTR) sent = tryCall("send", [this.fd, datagram, datagram.length, 0]);
    if (sent < 0) throw new SystemError("send", -sent, label);
  }

  #receive(label: string): Message[] {
    let length = this.#receiveDatagram(0);
    while (length === -EINTR) length = this.#receiveDatagram(0);
    if (length === -EAGAIN) throw new NetlinkError(ETIMEDOUT, label, `no answer within ${ANSWER_TIMEOUT_SECONDS} s`);
    if (length < 0) throw new NetlinkError(-length, label);
    return this.#decode(length);
  }

  #receiveDatagram(flags: number): number {
    receiver ??= makeReceiver();
    const [buffer, sender, senderLength] = receiver.arguments;
    receiver.senderLength[0] = SOCKADDR_BYTES;
    return tryCall("recvfrom", [this.fd, buffer, RECEIVE_BYTES, flags | MSG_TRUNC, sender, senderLength]);
  }

  #decode(length: number): Message[] {
    if (length > RECEIVE_BYTES)
      throw new RangeError(`a netlink datagram of ${length} bytes does not fit into ${RECEIVE_BYTES}`);
    if (receiver === undefined || receiver.sender[SENDER_PORT] !== 0) return []; // not from the kernel
    const messages = decodeMessages(receiver.buffer.slice(0, length));
    this.#debug("<-", () => messages);
    return messages;
  }

  #debug(direction: "->" | "<-", messages: () => readonly Message[]): void {
    debugMessages(direction, () => (this.#secret ? messages().map(withheld) : messages()));
  }

  #setOption(level: number, option: number, value: Uint8Array): void {
    tryCall("setsockopt", [this.fd, level, option, value, value.length]);
  }
}

/**
 * Reads a dump until no change fell into it (NLM_F_DUMP_INTR on any of its messages), or {@link DUMP_ATTEMPTS} times where
 * changes never end: the last one is then as good as any.
 */
export function readConsistently(readAll: () => readonly Message[]): readonly Message[] {
  for (let attempt = 1; ; attempt++) {
    const messages = readAll();
    const interrupted = messages.some((message) => message.flags & Flag.dumpInterrupted);
    if (!interrupted || attempt === DUMP_ATTEMPTS) return messages;
  }
}

/** What debugging shows of a message that may carry keys: whether it was an error, and which. */
function withheld(message: Message): Message {
  const { type, flags, body } = message;
  if (type > Control.overrun) return { ...message, body: new Uint8Array() };
  if (type !== Control.error || flags & Flag.capped) return message;
  return { ...message, flags: flags & ~Flag.ackTlvs, body: body.subarray(0, 4 + HEADER_BYTES) }; // it repeats the request
}

function makeReceiver(): Receiver {
  const buffer = new Uint8Array(RECEIVE_BYTES);
  const sender = new Uint32Array(SOCKADDR_BYTES / 4);
  const senderLength = new Uint32Array(1);
  return {
    buffer,
    sender,
    senderLength,
    arguments: [buffer, new Uint8Array(sender.buffer), new Uint8Array(senderLength.buffer)],
  };
}

function int(value: number): Uint8Array {
  return new Uint8Array(Int32Array.of(value).buffer);
}
