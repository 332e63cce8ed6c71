import { call } from "./ffi/libc.ts";

/** <linux/time.h> */
const CLOCK_BOOTTIME = 7;

/**
 * Whole milliseconds since the machine started, time asleep included (clock_gettime(2)): the same for all processes, and nobody
 * sets it.
 */
export function bootTime(): number {
  const time = new BigInt64Array(2); // struct timespec of a 64-bit machine
  call("clock_gettime", [CLOCK_BOOTTIME, new Uint8Array(time.buffer)]);
  const [seconds = 0n, nanoseconds = 0n] = time;
  return Number(seconds) * 1000 + Math.floor(Number(nanoseconds) / 1e6);
}
