import { type Address, isUnspecified } from "../net/address.ts";
import { prefixAddress } from "../net/prefix.ts";
import { type DhcpMessage, MessageType, Option, typeOf } from "./message.ts";
import { type Client, discover, extend, type Leased, type Outgoing, select } from "./request.ts";
import { readTerms, type Terms } from "./terms.ts";

/** How a conversation with servers ended. */
export type Outcome =
  | { readonly terms: Terms }
  /** `refused`: to ask again is of no use. */
  | { readonly problem: string; readonly refused: boolean };

/** One side of an exchange of messages. It has no clock and no socket: who drives it has both. Times in milliseconds. */
export interface Conversation {
  /** When {@link tick} wants to be called at the latest. */
  readonly due: number;
  readonly outcome: Outcome | undefined;
  /** What is to be sent now, if anything. */
  tick(now: number): Outgoing | undefined;
  /** Takes in what came; what is not for this conversation changes nothing. */
  hear(message: DhcpMessage, now: number): void;
}

export interface Timing {
  /** How long the confirmation of an offer is waited for before all begins anew. */
  readonly timeoutMs: number;
  /** The longest pause between two messages. */
  readonly resendMaxMs: number;
  /** For all together. */
  readonly limitMs: number;
}

/** From 0 up to 1. */
export type Random = () => number;

/** RFC 2131 section 4.1: four seconds, then twice as long each time, each a second more or less. */
const FIRST_PAUSE_MS = 4_000;
const JITTER_MS = 1_000;

/** Gets a lease: DISCOVER, OFFER, REQUEST, ACK (RFC 2131 section 3.1). The first offer that comes is taken. */
export class Acquisition implements Conversation {
  readonly #client: Client;
  readonly #timing: Timing;
  readonly #random: Random;
  readonly #startedAt: number;
  #xid: number;
  #due: number;
  #pauseMs = FIRST_PAUSE_MS;
  #offer: Leased | undefined;
  #offeredAt = 0;
  #sentAt: number;
  #sent = 0;
  #outcome: Outcome | undefined;
  /** What kept the last try from its end. */
  #problem: string | undefined;

  constructor(client: Client, timing: Timing, random: Random, now: number) {
    this.#client = client;
    this.#timing = timing;
    this.#random = random;
    this.#xid = newXid(random);
    this.#startedAt = now;
    this.#sentAt = now;
    this.#due = now;
  }

  get due(): number {
    return Math.min(this.#due, this.#startedAt + this.#timing.limitMs);
  }

  get outcome(): Outcome | undefined {
    return this.#outcome;
  }

  tick(now: number): Outgoing | undefined {
    if (this.#outcome !== undefined || now < this.due) return undefined;
    if (now >= this.#startedAt + this.#timing.limitMs) {
      this.#outcome = { problem: this.#explain(now), refused: false };
      return undefined;
    }
    if (this.#offer !== undefined && now - this.#offeredAt >= this.#timing.timeoutMs) {
      this.#restart(`server ${this.#offer.server} offered ${this.#offer.address} and did not confirm it`);
    }
    this.#sent += 1;
    this.#sentAt = now;
    this.#due = this.#next(now);
    const transaction = { xid: this.#xid, secs: Math.floor((now - this.#startedAt) / 1000) };
    if (this.#offer === undefined) return discover(this.#client, transaction);
    return select(this.#client, transaction, this.#offer);
  }

  hear(message: DhcpMessage, now: number): void {
    if (this.#outcome !== undefined || !isAnswer(message, this.#client, this.#xid)) return;
    try {
      if (this.#offer === undefined) this.#hearOffer(message, now);
      else this.#hearConfirmation(message, this.#offer, now);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.#outcome = { problem: error.message, refused: true };
    }
  }

  #hearOffer(message: DhcpMessage, now: number): void {
    if (typeOf(message) !== MessageType.offer) return;
    const { address, server } = readTerms(message, now);
    this.#offer = { address: prefixAddress(address), server };
    this.#offeredAt = now;
    this.#pauseMs = FIRST_PAUSE_MS;
    this.#due = now;
  }

  #hearConfirmation(message: DhcpMessage, { address, server }: Leased, now: number): void {
    const type = typeOf(message);
    if (type === MessageType.ack) this.#outcome = { terms: readTerms(message, this.#sentAt) };
    if (type !== MessageType.nak) return;
    this.#restart(`server ${server} took ${address} back${reasonOf(message)}`);
    this.#due = this.#next(now);
  }

  #restart(problem: string): void {
    this.#problem = problem;
    this.#offer = undefined;
    this.#xid = newXid(this.#random);
  }

  /** When the next message is sent if nothing comes. */
  #next(now: number): number {
    const pause = Math.min(this.#pauseMs, this.#timing.resendMaxMs) + (2 * this.#random() - 1) * JITTER_MS;
    this.#pauseMs *= 2;
    return now + Math.max(pause, 0);
  }

  #explain(now: number): string {
    const tries = `${this.#sent} message${this.#sent === 1 ? "" : "s"} in ${Math.round((now - this.#startedAt) / 1000)} s`;
    return this.#problem === undefined ? `no DHCP server answered ${tries}` : `${this.#problem}, after ${tries}`;
  }
}

/** Asks for more time, once: the server, or without one any (RFC 2131 section 4.4.5). */
export class Extension implements Conversation {
  readonly #client: Client;
  readonly #address: Address;
  readonly #outgoing: Outgoing;
  readonly #startedAt: number;
  readonly #endsAt: number;
  #sent = false;
  #outcome: Outcome | undefined;

  constructor(
    client: Client,
    { address, server }: { readonly address: Address; readonly server: Address | undefined },
    { timeoutMs, random, now }: { readonly timeoutMs: number; readonly random: Random; readonly now: number },
  ) {
    this.#client = client;
    this.#address = address;
    this.#outgoing = extend(client, { xid: newXid(random), secs: 0 }, { address, server });
    this.#startedAt = now;
    this.#endsAt = now + timeoutMs;
  }

  get due(): number {
    return this.#sent ? this.#endsAt : this.#startedAt;
  }

  get outcome(): Outcome | undefined {
    return this.#outcome;
  }

  tick(now: number): Outgoing | undefined {
    if (!this.#sent) {
      this.#sent = true;
      return this.#outgoing;
    }
    if (now >= this.#endsAt) this.#outcome ??= { problem: "no DHCP server answered", refused: false };
    return undefined;
  }

  hear(message: DhcpMessage): void {
    if (this.#outcome !== undefined || !isAnswer(message, this.#client, this.#outgoing.message.xid)) return;
    const type = typeOf(message);
    if (type === MessageType.ack) this.#outcome = this.#judge(message);
    if (type === MessageType.nak) {
      this.#outcome = { problem: `a server says that ${this.#address} is not ours${reasonOf(message)}`, refused: true };
    }
  }

  #judge(message: DhcpMessage): Outcome {
    const { yiaddr } = message;
    if (!isUnspecified(yiaddr) && yiaddr !== this.#address) {
      return { problem: `a server gives ${yiaddr} instead of ${this.#address}`, refused: true };
    }
    try {
      return { terms: readTerms({ ...message, yiaddr: this.#address }, this.#startedAt) };
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      return { problem: error.message, refused: false };
    }
  }
}

function isAnswer({ op, xid, chaddr }: DhcpMessage, { mac }: Client, ours: number): boolean {
  return op === "reply" && xid === ours && chaddr === mac;
}

/** What the server says about it (option 56). */
function reasonOf({ options }: DhcpMessage): string {
  const text = options.get(Option.message);
  return text === undefined ? "" : ` (${JSON.stringify(String.fromCharCode(...text))})`;
}

/** A transaction's number. */
export function newXid(random: Random): number {
  return Math.floor(random() * 0x1_0000_0000);
}
