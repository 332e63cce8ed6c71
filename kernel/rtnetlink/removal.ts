import { randomInt } from "node:crypto";
import { callAsync } from "../ffi/libc.ts";
import { Reader } from "../netlink/bytes.ts";
import { isNetlinkError, NetlinkError } from "../netlink/error.ts";
import { DROP, type FilterStep, filterNotifications, native16 } from "../netlink/filter.ts";
import { Control, decodeOutcome, encodeMessage, Flag, type Message } from "../netlink/message.ts";
import { openNetlinkMonitor } from "../netlink/monitor.ts";
import { NETLINK_ROUTE, NetlinkSocket, type Request } from "../netlink/socket.ts";
import { inNetns, type Netns } from "../netns.ts";
import { linkHeader, linkMessage } from "./link-message.ts";
import { Af, Rtm } from "./message-types.ts";
import { RtnlGroup } from "./monitor.ts";
import type { RouteSocket } from "./socket.ts";

/** Removes links of one namespace, both ends of a veth. */
export interface LinkRemover extends Disposable {
  /**
   * Resolves when nothing lists the links any more, those that were gone already included. The others are removed also
   * when one cannot be.
   * @throws NetlinkError of the first that the kernel refuses to remove
   */
  remove(indexes: readonly number[]): Promise<void>;
}

export interface LinkRemoverOptions {
  /** This thread's namespace when absent. */
  readonly netns?: Netns | string | undefined;
  /**
   * How many removals may wait in the kernel at once, each in a thread of libuv's pool; one more thread of it waits for
   * the kernel's notifications meanwhile.
   */
  readonly threads?: number;
}

/**
 * How many links leave in one message at most. The kernel holds the rtnl lock for all of them together, half a
 * millisecond and more each, and nobody can attach a pod meanwhile.
 */
const LARGEST_BATCH = 64;
const THREADS = 8;
/** <errno.h> */
const EIO = 5;

/**
 * Groups for batches: thirty bits that begin 01. A network's group (by which a link is known to be ours before it has
 * its alias) begins 1; what people type is small.
 */
const BATCH_GROUPS = [0x20000000, 0x40000000] as const;

/**
 * Opens a remover that answers when the kernel announces the links' end (RTM_DELLINK), a millisecond after it was told to
 * remove them; the system call waits for RCU ten times longer, in a thread of its own. While the kernel is busy with one
 * removal others gather, and then leave together by one message.
 */
export function openLinkRemover({ netns, threads = THREADS }: LinkRemoverOptions = {}): LinkRemover {
  return new Remover(() => inNetns(netns, () => new NetlinkSocket(NETLINK_ROUTE)), threads);
}

/**
 * Removes the links and returns when the kernel has finished with them: many in not much more time than one.
 * @throws NetlinkError of the first that the kernel refuses to remove
 */
export function deleteLinks(rt: RouteSocket, indexes: readonly number[]): void {
  let refused: NetlinkError | undefined;
  const execute = (batch: readonly number[]): void => {
    const outcomes = rt.executeAll(batchRequests(batch));
    refused ??= refusal(batch, outcomes);
    for (const index of survivors(batch, outcomes)) execute([index]);
  };
  for (const batch of batches(indexes)) execute(batch);
  if (refused !== undefined) throw refused;
}

/** What the kernel said to each request, undefined where it obeyed. */
type Outcomes = readonly (NetlinkError | undefined)[];

/** Of AF_BRIDGE would be a port that only left its bridge. Offsets of struct nlmsghdr with struct ifinfomsg behind it. */
const ONLY_DELETED_LINKS: readonly FilterStep[] = [
  { load: 2, at: 4 },
  { differs: native16(Rtm.delLink), to: DROP },
  { load: 1, at: 16 },
  { differs: Af.unspec, to: DROP },
];

/** Why a batch of one could not be removed. */
function refusal(batch: readonly number[], [outcome]: Outcomes): NetlinkError | undefined {
  return batch.length > 1 || outcome === undefined || isGone(outcome) ? undefined : outcome;
}

/** Which of a batch of many have to be removed each by itself: the kernel removes all of a group or nothing. */
function survivors(batch: readonly number[], outcomes: Outcomes): readonly number[] {
  if (batch.length === 1) return [];
  const failed = (error: NetlinkError | undefined) => error !== undefined && !isGone(error);
  return failed(outcomes.at(-1)) ? batch : batch.filter((_, i) => failed(outcomes[i]));
}

function batches(indexes: readonly number[]): number[][] {
  const distinct = [...new Set(indexes)];
  const count = Math.ceil(distinct.length / LARGEST_BATCH);
  return Array.from({ length: count }, (_, i) => distinct.slice(i * LARGEST_BATCH, (i + 1) * LARGEST_BATCH));
}

/** One link is removed as it is; more are put into a group of their own, and that is removed. */
function batchRequests(indexes: readonly number[]): readonly Request[] {
  const [first] = indexes;
  if (first !== undefined && indexes.length === 1) return [oneLink(first)];
  const group = randomInt(...BATCH_GROUPS);
  return [
    ...indexes.map((index) => linkRequest(Rtm.setLink, `RTM_SETLINK ${index}`, { index, group })),
    linkRequest(Rtm.delLink, `RTM_DELLINK group ${group} of ${indexes.length}`, { group }),
  ];
}

function oneLink(index: number): Request {
  return linkRequest(Rtm.delLink, `RTM_DELLINK ${index}`, { index });
}

function linkRequest(type: number, label: string, { index = 0, group }: { index?: number; group?: number }): Request {
  const header = { family: Af.unspec, padding: 0, type: 0, index, flags: 0, change: 0 };
  return { type, label, body: (to) => linkMessage.write(to, { header, attrs: { group } }) };
}

function isGone(error: NetlinkError): boolean {
  return isNetlinkError(error, "ENODEV");
}

/** A link that somebody waits for. */
interface Removal {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

class Remover implements LinkRemover {
  readonly #openSocket: () => NetlinkSocket;
  readonly #threads: number;
  /** Sockets that nobody uses at the moment: each removal in the kernel has one to itself. */
  readonly #idle: NetlinkSocket[] = [];
  /** By index, from the call that asks until it is answered. */
  readonly #removals = new Map<number, Removal>();
  /** Indexes that the kernel has not been told of yet. */
  #waiting: number[] = [];
  /** How many system calls have not returned. */
  #inKernel = 0;
  /** Links that the kernel was told of last and has not announced: until then it holds the rtnl lock. */
  #unannounced = new Set<number>();
  #monitor: Disposable | undefined;
  #scheduled = false;
  #open = true;

  constructor(openSocket: () => NetlinkSocket, threads: number) {
    this.#openSocket = openSocket;
    this.#threads = threads;
  }

  async remove(indexes: readonly number[]): Promise<void> {
    const outcomes = await Promise.allSettled(indexes.map((index) => this.#enqueue(index)));
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
  }

  /** What the kernel has been told already comes to its end. */
  [Symbol.dispose](): void {
    this.#open = false;
    for (const index of this.#waiting.splice(0)) this.#settle(index, new Error("the link remover was closed"));
    for (const socket of this.#idle.splice(0)) socket[Symbol.dispose]();
    this.#rest();
  }

  async #enqueue(index: number): Promise<void> {
    if (index <= 0) throw new RangeError(`${index} is not a link's index`);
    if (!this.#open) throw new Error("the link remover is closed");
    const known = this.#removals.get(index);
    if (known !== undefined) return known.promise;
    const removal = withResolvers();
    this.#removals.set(index, removal);
    this.#waiting.push(index);
    this.#schedule();
    return removal.promise;
  }

  /** Not at once: all calls that have come in by now are to leave together. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      if (this.#waiting.length === 0 || this.#unannounced.size > 0 || this.#inKernel >= this.#threads) return;
      this.#start(this.#waiting.splice(0, LARGEST_BATCH));
    });
  }

  #start(batch: readonly number[]): void {
    try {
      this.#monitor ??= this.#openMonitor();
      this.#send(batchRequests(batch), (outcomes) => this.#returned(batch, outcomes));
      for (const index of batch) this.#unannounced.add(index);
    } catch (error) {
      for (const index of batch) this.#settle(index, error);
      this.#rest();
    }
  }

  /** Sends the requests in one system call on a thread of the pool, and then reads what the kernel said. */
  #send(requests: readonly Request[], done: (outcomes: Outcomes) => void): void {
    const socket = this.#idle.pop() ?? this.#openSocket();
    const datagram = encodeAll(requests);
    this.#inKernel++;
    callAsync("send", [socket.fd, datagram, datagram.length, 0], (sent) => {
      this.#inKernel--;
      const outcomes = readOutcomes(socket, requests, sent);
      if (this.#open) this.#idle.push(socket);
      else socket[Symbol.dispose]();
      done(outcomes);
    });
  }

  /** The kernel has finished: a link that it did not announce was gone before, or the notification got lost. */
  #returned(batch: readonly number[], outcomes: Outcomes): void {
    for (const index of batch) this.#unannounced.delete(index);
    const alone = survivors(batch, outcomes);
    for (const index of batch) {
      if (!this.#removals.has(index)) continue; // announced
      if (alone.includes(index)) this.#start([index]);
      else this.#settle(index, refusal(batch, outcomes));
    }
    this.#schedule();
    this.#rest();
  }

  #openMonitor(): Disposable {
    const socket = this.#openSocket();
    filterNotifications(socket, ONLY_DELETED_LINKS);
    socket.join([RtnlGroup.link]);
    // A lost notification costs time only: that the system call returns says the same, later.
    return openNetlinkMonitor({ socket, onMessages: (messages) => this.#announced(messages), onOverrun() {} });
  }

  #announced(messages: readonly Message[]): void {
    for (const message of messages) {
      if (message.type !== Rtm.delLink) continue;
      const { family, index } = linkHeader.read(new Reader(message.body));
      if (family !== Af.unspec) continue;
      this.#unannounced.delete(index);
      this.#settle(index);
    }
    this.#schedule();
  }

  #settle(index: number, error?: unknown): void {
    const removal = this.#removals.get(index);
    this.#removals.delete(index);
    if (error === undefined) removal?.resolve();
    else removal?.reject(error);
  }

  /** Listens only while there is something to hear. */
  #rest(): void {
    if (this.#inKernel > 0 || (this.#open && this.#waiting.length > 0)) return;
    this.#monitor?.[Symbol.dispose]();
    this.#monitor = undefined;
  }
}

/** Only the last asks for an acknowledgement. Of the others the kernel tells errors alone, so the answers are few. */
function encodeAll(requests: readonly Request[]): Uint8Array {
  const messages = requests.map(({ type, body }, i) => {
    const flags = Flag.request | (i === requests.length - 1 ? Flag.ack : 0);
    return encodeMessage({ type, flags, sequence: i }, body);
  });
  return Buffer.concat(messages);
}

/** The kernel answers before the call returns; a last answer that is missing counts as a refusal. */
function readOutcomes(socket: NetlinkSocket, requests: readonly Request[], sent: number): Outcomes {
  const outcomes: (NetlinkError | undefined)[] = requests.map(() => undefined);
  const last = requests.length - 1;
  outcomes[last] = new NetlinkError(EIO, requests[last]?.label ?? "", sent < 0 ? "send failed" : "no answer");
  for (let messages = socket.poll(); messages !== undefined; messages = socket.poll()) {
    if (messages === "overrun") continue;
    for (const message of messages) {
      if (message.type !== Control.error) continue;
      const { errno, extack } = decodeOutcome(message);
      const label = requests[message.sequence]?.label ?? "";
      outcomes[message.sequence] = errno === 0 ? undefined : new NetlinkError(errno, label, extack);
    }
  }
  return outcomes;
}

/** As Promise.withResolvers, which Node.js 20 lacks. */
function withResolvers(): Removal {
  let resolve = () => {};
  let reject: (error: unknown) => void = () => {};
  const promise = new Promise<void>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
