const MILLISECONDS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const;

/** Timers of Node.js hold no more than this many milliseconds (2^31 - 1). */
const LONGEST = 2_147_483_647;

/**
 * Reads a time such as `500ms`, `5s`, `1m30s` or `2h` into milliseconds.
 * @throws RangeError naming the text when it is none, is zero, or is longer than a timer can be (24 days).
 */
export function parseDuration(text: string): number {
  if (!/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(text)) {
    throw new RangeError(`"${text}" is not a time such as 500ms, 5s, 1m30s or 2h`);
  }
  const parts = text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g);
  let total = 0;
  for (const [, count, unit] of parts) total += Number(count) * MILLISECONDS[unit as keyof typeof MILLISECONDS];
  if (total < 1 || total > LONGEST) throw new RangeError(`"${text}" is not between 1ms and 24 days`);
  return Math.round(total);
}
