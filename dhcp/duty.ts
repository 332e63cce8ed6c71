import type { Terms } from "./terms.ts";

/** What a lease needs next, and when: more time of its server, of any server, or to be given up. */
export interface Duty {
  readonly at: number;
  readonly what: "renew" | "rebind" | "expire";
}

/** RFC 2131 section 4.4.5: after half of the time that is left, but a minute at least. */
const SHORTEST_REST_MS = 60_000;

/**
 * The lease's next duty; undefined for one that never ends. All times on one clock, in milliseconds.
 * @param triedAt when the last try began that got nothing; undefined: none since it was granted
 */
export function dutyOf(
  { renewAt, rebindAt, expiresAt }: Pick<Terms, "renewAt" | "rebindAt" | "expiresAt">,
  triedAt: number | undefined,
): Duty | undefined {
  if (renewAt === undefined || rebindAt === undefined || expiresAt === undefined) return undefined;
  if (triedAt === undefined) return { at: renewAt, what: "renew" };
  if (triedAt < rebindAt) {
    const again = triedAt + Math.max((rebindAt - triedAt) / 2, SHORTEST_REST_MS);
    return again < rebindAt ? { at: again, what: "renew" } : { at: rebindAt, what: "rebind" };
  }
  const again = triedAt + Math.max((expiresAt - triedAt) / 2, SHORTEST_REST_MS);
  return again < expiresAt ? { at: again, what: "rebind" } : { at: expiresAt, what: "expire" };
}

/** What is to be done for a lease whose duty was not done in time: another one may be due by now. */
export function overdue(
  { what }: Duty,
  { rebindAt, expiresAt }: Pick<Terms, "rebindAt" | "expiresAt">,
  now: number,
): Duty["what"] {
  if (expiresAt !== undefined && now >= expiresAt) return "expire";
  if (what === "renew" && rebindAt !== undefined && now >= rebindAt) return "rebind";
  return what;
}
