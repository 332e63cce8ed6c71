import { tryCall } from "../ffi/libc.ts";
import { SystemError } from "../ffi/system-error.ts";
import { Reader } from "../netlink/bytes.ts";
import { isNetlinkError, NetlinkError } from "../netlink/error.ts";
import { Control, decodeOutcome, encodeMessage, Flag, type Message } from "../netlink/message.ts";
import { NETLINK_NETFILTER, NetlinkSocket, type Request } from "../netlink/socket.ts";
import { inNetns, type Netns } from "../netns.ts";
import {
  createElements,
  deleteElements,
  getElements,
  type NftElement,
  type NftSetName,
  nftHeader,
  readElements,
  setText,
  transactionOf,
} from "./element-message.ts";

/** <errno.h> */
const EIO = 5;

/** What a transaction does. */
export interface NftElementChange {
  readonly create?: readonly NftElement[];
  readonly remove?: readonly NftElement[];
}

/**
 * Elements of sets by nf_tables' own messages. libnftables reads everything in the namespace that could matter before it
 * adds one element, so that its cost grows with the pods; and whoever closes a socket after a transaction that removed
 * something waits for RCU (12 ms), so these stay open where a process stays.
 */
export interface NftElements extends Disposable {
  /** One transaction. @throws NetlinkError EEXIST, ENOENT (an element, or its set), and then nothing has changed */
  change(change: NftElementChange): void;
  /** The element that the key matches (of a set of intervals: where the interval begins), undefined when there is none. */
  get(set: NftSetName, key: Uint8Array): NftElement | undefined;
  /** All elements of the sets; none for a set that does not exist. */
  list(sets: readonly NftSetName[]): readonly NftElement[];
  /** Those of {@link list} with exactly this comment. */
  commented(sets: readonly NftSetName[], comment: string): readonly NftElement[];
}

/** Opens it in the namespace (an open one or its path; this thread's when absent). @throws NotANamespaceError */
export function openNftElements(netns?: Netns | string): NftElements {
  const socket = inNetns(netns, () => new NetlinkSocket(NETLINK_NETFILTER));
  const list = (sets: readonly NftSetName[]) => sets.flatMap((set) => listElements(socket, set));
  return {
    change: (change) => changeElements(socket, change),
    get: (set, key) => getElement(socket, set, key),
    list,
    commented: (sets, comment) => list(sets).filter((element) => element.comment === comment),
    [Symbol.dispose]: () => socket[Symbol.dispose](),
  };
}

/** All elements of the set, none when it does not exist. */
export function listElements(socket: NetlinkSocket, set: NftSetName): NftElement[] {
  const decode = (message: Message) => (message.type === Control.done ? undefined : decodeElements(set, message));
  try {
    return socket.dump(getElements(set), decode).flat();
  } catch (error) {
    if (isNetlinkError(error, "ENOENT")) return [];
    throw error;
  }
}

/** The element that the key matches. */
export function getElement(socket: NetlinkSocket, set: NftSetName, key: Uint8Array): NftElement | undefined {
  try {
    return decodeElements(set, socket.ask(getElements(set, key)))[0];
  } catch (error) {
    if (isNetlinkError(error, "ENOENT")) return undefined;
    throw error;
  }
}

function decodeElements(set: NftSetName, message: Message): NftElement[] {
  const from = new Reader(message.body);
  nftHeader.read(from);
  return readElements(set, from);
}

/** Runs one transaction. */
export function changeElements(socket: NetlinkSocket, { create = [], remove = [] }: NftElementChange): void {
  const orders = [
    ...bySet(remove).map(([set, list]) => deleteElements(set, list)),
    ...bySet(create).map(([set, list]) => createElements(set, list)),
  ];
  if (orders.length > 0) transact(socket, orders);
}

function bySet(list: readonly NftElement[]): (readonly [NftSetName, readonly NftElement[]])[] {
  const sets = new Map<string, [NftSetName, NftElement[]]>();
  for (const element of list) {
    const name = setText(element.of);
    const known = sets.get(name);
    if (known === undefined) sets.set(name, [element.of, [element]]);
    else known[1].push(element);
  }
  return [...sets.values()];
}

/** Only the last order asks for an acknowledgement: what the kernel refuses it tells anyway. */
function transact(socket: NetlinkSocket, orders: readonly Request[]): void {
  const messages = transactionOf(orders);
  const datagram = Buffer.concat(
    messages.map(({ type, flags = 0, body }, sequence) => {
      const ack = sequence === orders.length ? Flag.ack : 0;
      return encodeMessage({ type, flags: Flag.request | flags | ack, sequence }, body);
    }),
  );
  const label = orders.map((order) => order.label).join(", ");
  const sent = tryCall("send", [socket.fd, datagram, datagram.length, 0]);
  if (sent < 0) throw new SystemError("send", -sent, label);
  const answers = readAnswers(socket);
  for (const { errno, sequence, extack } of answers) {
    if (errno !== 0) throw new NetlinkError(errno, messages[sequence]?.label ?? label, extack);
  }
  if (answers.length === 0) throw new NetlinkError(EIO, label, "no answer");
}

/** They are all there when the call that sends returns. */
function readAnswers(socket: NetlinkSocket): { errno: number; sequence: number; extack?: string }[] {
  const answers: { errno: number; sequence: number; extack?: string }[] = [];
  for (let messages = socket.poll(); messages !== undefined; messages = socket.poll()) {
    if (messages === "overrun") continue;
    for (const message of messages) {
      if (message.type === Control.error) answers.push({ sequence: message.sequence, ...decodeOutcome(message) });
    }
  }
  return answers;
}
