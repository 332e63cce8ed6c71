import { attrs, string } from "../netlink/attrs.ts";
import { Reader } from "../netlink/bytes.ts";
import type { Message } from "../netlink/message.ts";
import { NETLINK_NETFILTER, NetlinkSocket } from "../netlink/socket.ts";
import { inNetns, type Netns } from "../netns.ts";
import {
  NFTABLES,
  type NftElement,
  NftMessage,
  type NftSetName,
  nftFamily,
  nftHeader,
  readElements,
  setText,
} from "./element-message.ts";
import { changeElements, getElement, listElements, type NftElements } from "./elements.ts";

/** NFNLGRP_NFTABLES, <linux/netfilter/nfnetlink.h>. */
const GROUP = 7;

/** The first two attributes of sets and elements: NFTA_SET_TABLE and _NAME, NFTA_SET_ELEM_LIST_TABLE and _SET; of tables NFTA_TABLE_NAME. */
const names = attrs({ table: [1, string], set: [2, string] });

/**
 * As openNftElements, for a process that stays: elements are found by comment without listing the sets, however many
 * there are. They are listed once; from then on the kernel's notifications tell of every change, whoever made it. The
 * kernel sends those before the transaction's maker goes on, so an answer is never older than the question. A lost
 * notification means listing again.
 */
export function openNftElementIndex(sets: readonly NftSetName[], netns?: Netns | string): NftElements {
  const socket = inNetns(netns, () => new NetlinkSocket(NETLINK_NETFILTER));
  try {
    const events = inNetns(netns, () => new NetlinkSocket(NETLINK_NETFILTER));
    return new ElementIndex(sets, socket, events);
  } catch (error) {
    socket[Symbol.dispose]();
    throw error;
  }
}

class ElementIndex implements NftElements {
  readonly #socket: NetlinkSocket;
  readonly #events: NetlinkSocket;
  readonly #sets: ReadonlyMap<string, IndexedSet>;
  #listed = false;

  constructor(sets: readonly NftSetName[], socket: NetlinkSocket, events: NetlinkSocket) {
    this.#socket = socket;
    this.#events = events;
    this.#sets = new Map(sets.map((set) => [setText(set), new IndexedSet(set)]));
    events.join([GROUP]);
  }

  change(change: Parameters<NftElements["change"]>[0]): void {
    changeElements(this.#socket, change);
    if (this.#listed) this.#catchUp(); // now, so that they do not pile up
  }

  get(set: NftSetName, key: Uint8Array): NftElement | undefined {
    return getElement(this.#socket, set, key);
  }

  list(sets: readonly NftSetName[]): readonly NftElement[] {
    return this.#current(sets).flatMap((set) => set.all());
  }

  commented(sets: readonly NftSetName[], comment: string): readonly NftElement[] {
    return this.#current(sets).flatMap((set) => set.commented(comment));
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
    this.#events[Symbol.dispose]();
  }

  #current(sets: readonly NftSetName[]): readonly IndexedSet[] {
    if (this.#listed) this.#catchUp();
    if (!this.#listed) this.#list();
    return sets.map((set) => {
      const indexed = this.#sets.get(setText(set));
      if (indexed === undefined) throw new Error(`${setText(set)} is not indexed`);
      return indexed;
    });
  }

  /** Notifications of what the listing shows already change nothing when they are read after it. */
  #list(): void {
    while (this.#events.poll() !== undefined);
    for (const set of this.#sets.values()) {
      set.clear();
      for (const element of listElements(this.#socket, set.name)) set.put(element);
    }
    this.#listed = true;
    this.#catchUp();
  }

  #catchUp(): void {
    try {
      for (let messages = this.#events.poll(); messages !== undefined; messages = this.#events.poll()) {
        if (messages === "overrun") this.#listed = false;
        else for (const message of messages) this.#apply(message);
      }
    } catch (error) {
      this.#listed = false; // half of a datagram may be missing
      throw error;
    }
  }

  #apply({ type, body }: Message): void {
    const what = type & 0xff;
    if (type >> 8 !== NFTABLES || !MATTER.has(what)) return;
    const from = new Reader(body);
    const family = nftFamily(nftHeader.read(from).family);
    const { table = "", set = "" } = names.read(from);
    if (family === undefined) return;
    if (what === NftMessage.delTable) {
      for (const each of this.#sets.values()) if (each.isIn(family, table)) each.clear();
      return;
    }
    const indexed = this.#sets.get(setText({ family, table, set }));
    if (indexed === undefined) return;
    if (what === NftMessage.delSet) indexed.clear();
    else for (const element of elementsOf(indexed.name, body)) indexed.apply(what, element);
  }
}

const MATTER: ReadonlySet<number> = new Set([
  NftMessage.newElement,
  NftMessage.delElement,
  NftMessage.delSet,
  NftMessage.delTable,
]);

function elementsOf(set: NftSetName, body: Uint8Array): NftElement[] {
  const from = new Reader(body);
  nftHeader.read(from);
  return readElements(set, from);
}

/** What a set holds, by key and by comment. */
class IndexedSet {
  readonly name: NftSetName;
  readonly #byKey = new Map<string, NftElement>();
  readonly #byComment = new Map<string, Map<string, NftElement>>();

  constructor(name: NftSetName) {
    this.name = name;
  }

  isIn(family: string, table: string): boolean {
    return this.name.family === family && this.name.table === table;
  }

  all(): NftElement[] {
    return [...this.#byKey.values()];
  }

  commented(comment: string): NftElement[] {
    return [...(this.#byComment.get(comment)?.values() ?? [])];
  }

  clear(): void {
    this.#byKey.clear();
    this.#byComment.clear();
  }

  apply(what: number, element: NftElement): void {
    if (what === NftMessage.newElement) this.put(element);
    else this.#remove(keyText(element));
  }

  put(element: NftElement): void {
    const key = keyText(element);
    this.#remove(key); // it may have had another comment
    this.#byKey.set(key, element);
    const comment = element.comment ?? "";
    const group = this.#byComment.get(comment);
    if (group === undefined) this.#byComment.set(comment, new Map([[key, element]]));
    else group.set(key, element);
  }

  #remove(key: string): void {
    const comment = this.#byKey.get(key)?.comment ?? "";
    this.#byKey.delete(key);
    const group = this.#byComment.get(comment);
    group?.delete(key);
    if (group?.size === 0) this.#byComment.delete(comment);
  }
}

function keyText({ key, keyEnd = new Uint8Array() }: NftElement): string {
  return Buffer.concat([key, keyEnd]).toString("latin1");
}
