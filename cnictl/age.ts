const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const YEAR = 365 * DAY;

type Unit = readonly [suffix: string, milliseconds: number];

/** Below `limit`, a duration shows `unit` and, while it is small enough to matter, the next finer one. */
const STEPS: readonly { limit: number; unit: Unit; finer?: Unit }[] = [
  { limit: 2 * MINUTE, unit: ["s", SECOND] },
  { limit: 10 * MINUTE, unit: ["m", MINUTE], finer: ["s", SECOND] },
  { limit: 3 * HOUR, unit: ["m", MINUTE] },
  { limit: 8 * HOUR, unit: ["h", HOUR], finer: ["m", MINUTE] },
  { limit: 2 * DAY, unit: ["h", HOUR] },
  { limit: 8 * DAY, unit: ["d", DAY], finer: ["h", HOUR] },
  { limit: 2 * YEAR, unit: ["d", DAY] },
  { limit: 8 * YEAR, unit: ["y", YEAR], finer: ["d", DAY] },
  { limit: Number.POSITIVE_INFINITY, unit: ["y", YEAR] },
];

/** A duration in milliseconds as kubectl's columns show it: `45s`, `5m`, `3h20m`, `2d`. A negative one is `0s`. */
export function formatDuration(milliseconds: number): string {
  const duration = Math.max(0, milliseconds);
  const { unit, finer } = STEPS.find(({ limit }) => duration < limit) ?? { unit: ["s", SECOND] };
  const [suffix, size] = unit as Unit;
  const coarse = `${Math.floor(duration / size)}${suffix}`;
  if (finer === undefined) return coarse;
  const rest = Math.floor((duration % size) / finer[1]);
  return rest === 0 ? coarse : `${coarse}${rest}${finer[0]}`;
}

/** How long ago that was (both milliseconds since the epoch); `<unknown>` for 0, as kubectl says it. */
export function formatAge(since: number, now: number): string {
  return since === 0 ? "<unknown>" : formatDuration(now - since);
}

/** How long until then: `never` for 0, `expired` when it has passed. */
export function formatExpiry(at: number, now: number): string {
  if (at === 0) return "never";
  return at <= now ? "expired" : formatDuration(at - now);
}

/** Milliseconds since the epoch in RFC 3339 (UTC, whole seconds), as Kubernetes objects have it; undefined for 0. */
export function timestamp(milliseconds: number): string | undefined {
  return milliseconds === 0 ? undefined : new Date(milliseconds).toISOString().replace(/\.\d+Z$/, "Z");
}
