import type { Put } from "../reconcile/step.ts";

/**
 * Puts many objects with few system calls. What can't be said to the kernel at all (its device is not there) fails alone.
 * @param translate gives what the kernel is told of an item; throws when it can't be told
 * @param send puts them all, and gives for each undefined, or why it was refused
 * @returns for each put undefined, or why it could not be put
 */
export function putTogether<T, K>(
  puts: readonly Put<T>[],
  translate: (item: T) => K,
  send: (items: readonly K[]) => readonly unknown[],
): unknown[] {
  const outcomes: unknown[] = [];
  const ready: { readonly at: number; readonly item: K }[] = [];
  for (const [at, { item }] of puts.entries()) {
    try {
      ready.push({ at, item: translate(item) });
    } catch (error) {
      outcomes[at] = error;
    }
  }
  const refused = send(ready.map(({ item }) => item));
  for (const [i, { at }] of ready.entries()) outcomes[at] = refused[i];
  return outcomes;
}
