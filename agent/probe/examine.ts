import { randomInt } from "node:crypto";
import { setTimeout as sleep, setImmediate as turn } from "node:timers/promises";
import { Echo } from "../../kernel/datagram.ts";
import type { Address } from "../../net/address.ts";
import type { ask, Reply } from "./ask.ts";
import { smallestPacket } from "./packet.ts";
import type { Target } from "./targets.ts";
import { type Evidence, type Outcome, sizesBetween } from "./verdict.ts";

/** How long each of the first questions waits for an answer, in milliseconds: a loaded node is slow, not broken. */
const PATIENCE = [1000, 1000, 2000] as const;
const ROUND_MS = 1000;
/** Each kind of question that tells why is asked as often as that. */
const ROUNDS = 2;
/** At once, in the search for the largest packet that passes. */
const SIZES_AT_ONCE = 15;

/** What asks the kernel and the peer; a test has its own. */
export interface Means {
  readonly ask: typeof ask;
  /** What the kernel believes to fit on the way to the address, in bytes. */
  readonly pathMtu: (address: Address) => number | undefined;
  /** Sends pings; resolves after `ms` with whether each was answered. */
  readonly ping: (pings: readonly Ping[], ms: number) => Promise<boolean[]>;
}

export interface Ping {
  readonly from: Address | undefined;
  readonly to: Address;
}

/** The size that this node's kernel would send to the target: what does not fit in its eyes, it tells pods of. */
function fullSize({ mtu, remote }: Target, means: Means): number {
  return Math.min(mtu, means.pathMtu(remote) ?? mtu);
}

/** Whether a packet of full size is answered; asked again before it is not. */
export async function passes(target: Target, means: Means): Promise<Reply> {
  let reply: Reply = { outcome: "silent" };
  for (const patience of PATIENCE) {
    reply = await means.ask({ ...ends(target), size: fullSize(target, means), checksum: true, patience });
    if (reply.outcome === "answered" || reply.outcome === "refused") return reply;
    // Unsendable comes back at once; too large means that the kernel has learned the way's MTU just now.
    if (reply.outcome !== "silent") await sleep(ROUND_MS);
  }
  return reply;
}

/** Asks all that tells why packets get lost. The strongest outcome of each kind counts. */
export async function investigate(target: Target, underlay: Address | undefined, means: Means): Promise<Evidence> {
  const small = smallestPacket(target.family);
  const full = fullSize(target, means);
  const kinds = [
    { size: full, checksum: true },
    { size: small, checksum: true },
    { size: full, checksum: false },
    { size: small, checksum: false },
  ];
  const pings: Ping[] = [{ from: target.local, to: target.remote }];
  if (underlay !== undefined) pings.push({ from: undefined, to: underlay });
  const replies: Reply[][] = kinds.map(() => []);
  const pongs = pings.map(() => false);
  for (let round = 0; round < ROUNDS; round++) {
    const [asked, pinged] = await Promise.all([
      Promise.all(kinds.map((kind) => means.ask({ ...ends(target), ...kind, patience: ROUND_MS }))),
      means.ping(pings, ROUND_MS),
    ]);
    for (const [i, reply] of asked.entries()) replies[i]?.push(reply);
    for (const [i, answered] of pinged.entries()) pongs[i] ||= answered;
  }
  const [fullReplies, smallReplies, fullPlain, smallPlain] = replies.map(strongest);
  const all = replies.flat();
  return {
    full: fullReplies ?? "silent",
    small: smallReplies ?? "silent",
    fullWithoutChecksum: fullPlain ?? "silent",
    smallWithoutChecksum: smallPlain ?? "silent",
    echo: pongs[0] ?? false,
    underlayEcho: pongs[1],
    sendError: all.every(({ outcome }) => outcome === "unsendable") ? all[0]?.code : undefined,
  };
}

const STRENGTH: readonly Outcome[] = ["answered", "refused", "silent", "too-large", "unsendable"];

function strongest(replies: readonly Reply[]): Outcome {
  return STRENGTH.find((outcome) => replies.some((reply) => reply.outcome === outcome)) ?? "silent";
}

/**
 * The largest packet that passes, where small ones do and full ones do not.
 * @param before what it was the last time; confirmed by two questions when it still is
 */
export async function largestPassing(target: Target, means: Means, before?: number): Promise<number> {
  const answered = async (size: number) =>
    (await means.ask({ ...ends(target), size, checksum: true, patience: ROUND_MS })).outcome === "answered";
  if (before !== undefined) {
    const [passes, fails] = await Promise.all([answered(before), answered(before + 1)]);
    if (passes && !fails) return before;
  }
  let low = smallestPacket(target.family);
  let high = fullSize(target, means);
  while (high - low > 1) {
    const sizes = sizesBetween(low, high, SIZES_AT_ONCE);
    const outcomes = await Promise.all(sizes.map(answered));
    const best = outcomes.lastIndexOf(true);
    low = sizes[best] ?? low;
    high = sizes[best + 1] ?? high;
  }
  return low;
}

/** Pings by raw sockets; what could not be sent was not answered. */
export async function ping(pings: readonly Ping[], ms: number): Promise<boolean[]> {
  const echoes = pings.map(({ from, to }) => {
    try {
      return new Echo(from, to, randomInt(0x10000));
    } catch {
      return undefined;
    }
  });
  try {
    await sleep(ms);
    await turn();
    return echoes.map((echo) => echo?.answered() ?? false);
  } finally {
    for (const echo of echoes) echo?.[Symbol.dispose]();
  }
}

function ends({ local, remote }: Target): { local: Address; remote: Address } {
  return { local, remote };
}
