import { closeSync, readSync, writeSync } from "node:fs";
import { call, callAsync } from "./ffi/libc.ts";
import { LITTLE_ENDIAN } from "./netlink/bytes.ts";

/** <sys/eventfd.h>, <poll.h> */
const EFD_CLOEXEC = 0o2000000;
const EFD_NONBLOCK = 0o4000;
const POLLIN = 1;
const FOREVER = -1;

/**
 * Tells when one of many descriptors can be read. One thread of libuv's pool blocks in poll(2) for all of them together,
 * and none while there are none. Keeps the process alive while something is watched, but lets process.exit through.
 */
export class Poller {
  readonly #watched = new Map<number, () => void>();
  /** To be closed as soon as no thread polls them. */
  #closing: number[] = [];
  /** An eventfd that ends the thread's poll(2); there while a thread is in it. */
  #wakeFd: number | undefined;
  /** What that poll(2) reads and writes. Nobody else keeps it from being collected meanwhile. */
  #polled: Uint8Array | undefined;

  /**
   * Takes the descriptor over; disposing closes it, and nothing is called any more.
   * @param readable reads until nothing is left, without blocking; called now and then for nothing
   */
  watch(fd: number, readable: () => void): Disposable {
    this.#watched.set(fd, readable);
    this.#change();
    return {
      [Symbol.dispose]: () => {
        if (this.#watched.get(fd) !== readable) return;
        this.#watched.delete(fd);
        this.#closing.push(fd);
        this.#change();
      },
    };
  }

  #change(): void {
    if (this.#wakeFd === undefined || this.#polled === undefined) this.#wait();
    else writeSync(this.#wakeFd, new Uint8Array(BigUint64Array.of(1n).buffer));
  }

  #wait(): void {
    for (const fd of this.#closing.splice(0)) closeSync(fd);
    if (this.#watched.size === 0) {
      if (this.#wakeFd !== undefined) this.#end(this.#wakeFd);
      return;
    }
    if (this.#wakeFd === undefined) {
      this.#wakeFd = call("eventfd", [0, EFD_CLOEXEC | EFD_NONBLOCK]);
      process.on("exit", this.#interrupt); // else the exit would wait for the thread in poll(2) for ever
    }
    const descriptors = pollDescriptors([this.#wakeFd, ...this.#watched.keys()]);
    this.#polled = descriptors;
    callAsync("poll", [descriptors, descriptors.length / 8, FOREVER], () => this.#wake());
  }

  #wake(): void {
    try {
      if (this.#wakeFd !== undefined) drain(this.#wakeFd);
      for (const [fd, readable] of [...this.#watched]) if (this.#watched.get(fd) === readable) readable();
    } finally {
      this.#wait();
    }
  }

  #end(wakeFd: number): void {
    process.removeListener("exit", this.#interrupt);
    closeSync(wakeFd);
    this.#wakeFd = undefined;
    this.#polled = undefined;
  }

  readonly #interrupt = (): void => {
    if (this.#wakeFd !== undefined) writeSync(this.#wakeFd, new Uint8Array(BigUint64Array.of(1n).buffer));
  };
}

function drain(wakeFd: number): void {
  try {
    readSync(wakeFd, new Uint8Array(8));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error; // nobody woke it: a descriptor can be read
  }
}

/** struct pollfd: int fd, short events, short revents. */
function pollDescriptors(fds: readonly number[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(8 * fds.length));
  fds.forEach((fd, index) => {
    view.setInt32(8 * index, fd, LITTLE_ENDIAN);
    view.setInt16(8 * index + 4, POLLIN, LITTLE_ENDIAN);
  });
  return new Uint8Array(view.buffer);
}
