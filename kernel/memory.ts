import { call } from "./ffi/libc.ts";

/** <malloc.h> */
const M_ARENA_MAX = -8;

/**
 * Lets all threads share so many heaps of malloc(3) instead of eight a core: a program of many threads that mostly wait
 * keeps megabytes less. Threads that have a heap already keep it, so this belongs at the start.
 */
export function limitHeaps(count: number): void {
  call("mallopt", [M_ARENA_MAX, count], "M_ARENA_MAX");
}
