import { closeSync, writeSync } from "node:fs";
import { call, callAsync } from "../ffi/libc.ts";
import { LITTLE_ENDIAN } from "./bytes.ts";
import type { Message } from "./message.ts";
import type { NetlinkSocket } from "./socket.ts";

/** <sys/eventfd.h>, <poll.h> */
const EFD_CLOEXEC = 0o2000000;
const EFD_NONBLOCK = 0o4000;
const POLLIN = 1;
const FOREVER = -1;
/** Datagrams read before timers and sockets get their turn again. */
const DATAGRAMS_A_TURN = 256;

export interface NetlinkMonitorOptions {
  /** Its groups joined; the monitor closes it. */
  readonly socket: NetlinkSocket;
  /** Gets what has come in, in order, on the thread that opened the monitor. */
  readonly onMessages: (messages: readonly Message[]) => void;
  /** The kernel dropped notifications: list everything again. */
  readonly onOverrun: () => void;
  /**
   * Milliseconds between two looks, 0 when absent. Somebody who need not know at once is woken once for what comes
   * together, instead of for each of the twenty messages that a new pod makes.
   */
  readonly restMs?: number | undefined;
}

/**
 * Hands notifications over as they come. One thread of libuv's pool (of four, unless UV_THREADPOOL_SIZE says otherwise)
 * blocks in poll(2) meanwhile; nothing ticks. Keeps the process alive until it is disposed, but lets process.exit through.
 */
export function openNetlinkMonitor({ socket, onMessages, onOverrun, restMs = 0 }: NetlinkMonitorOptions): Disposable {
  const stopFd = call("eventfd", [0, EFD_CLOEXEC | EFD_NONBLOCK]);
  const descriptors = pollDescriptors(socket.fd, stopFd);
  let stopping = false;
  let rest: NodeJS.Timeout | undefined;

  const stop = () => {
    if (stopping) return;
    stopping = true;
    process.removeListener("exit", stop);
    if (rest === undefined) {
      writeSync(stopFd, new Uint8Array(BigUint64Array.of(1n).buffer));
      return;
    }
    clearTimeout(rest);
    end();
  };
  const end = () => {
    closeSync(stopFd);
    socket[Symbol.dispose]();
  };
  const wait = () => {
    rest = undefined;
    callAsync("poll", [descriptors, 2, FOREVER], wake);
  };
  const wake = () => {
    if (stopping) {
      end();
      return;
    }
    try {
      deliver(socket, onMessages, onOverrun);
    } finally {
      if (restMs === 0) wait();
      else rest = setTimeout(wait, restMs);
    }
  };

  process.on("exit", stop); // else the exit would wait for the thread in poll(2) for ever
  wait();
  return { [Symbol.dispose]: stop };
}

function deliver(socket: NetlinkSocket, onMessages: NetlinkMonitorOptions["onMessages"], onOverrun: () => void): void {
  const messages: Message[] = [];
  let overrun = false;
  for (let datagrams = 0; datagrams < DATAGRAMS_A_TURN; datagrams++) {
    const received = socket.poll();
    if (received === undefined) break;
    if (received === "overrun") overrun = true;
    else messages.push(...received);
  }
  if (messages.length > 0) onMessages(messages);
  if (overrun) onOverrun();
}

/** Two of struct pollfd: int fd, short events, short revents. */
function pollDescriptors(...fds: readonly number[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(8 * fds.length));
  fds.forEach((fd, index) => {
    view.setInt32(8 * index, fd, LITTLE_ENDIAN);
    view.setInt16(8 * index + 4, POLLIN, LITTLE_ENDIAN);
  });
  return new Uint8Array(view.buffer);
}
