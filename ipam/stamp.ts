/** How far back a stamp lies at least: a change that somebody is making now has a later time. */
const AGE_MS = 10_000;
/** 2000-01-01. A clock before that was never set. */
const CREDIBLE_MS = 946_684_800_000;
/** What the file systems that count in 32 bits can hold. */
const LAST_SECOND = 2 ** 31 - 1;

/**
 * A modification time for a folder, in seconds since 1970, by which whoever set it knows that nobody has changed the folder
 * since: a change sets the time of day, which is later, and no other of our processes hits on the same one among hundreds
 * of millions. An even second: every file system keeps it as it is. Without a credible clock it is any time at all, and the
 * moment that a change would have to hit is as unlikely.
 * @param now milliseconds since 1970
 * @param random in [0, 1)
 */
export function pickStamp(now: number, random: number): number {
  const limit = now < CREDIBLE_MS ? LAST_SECOND : Math.min(Math.floor((now - AGE_MS) / 1000), LAST_SECOND);
  return 2 * Math.floor((random * limit) / 2);
}
