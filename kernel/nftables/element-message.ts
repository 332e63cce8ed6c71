import {
  type Attrs,
  attrs,
  bytes,
  type Codec,
  string,
  struct,
  u8,
  u16be,
  u32be,
  type Value,
} from "../netlink/attrs.ts";
import type { Reader, Writer } from "../netlink/bytes.ts";
import { Flag } from "../netlink/message.ts";
import type { Request } from "../netlink/socket.ts";
import type { NftFamily } from "./probe.ts";

/** NFNL_SUBSYS_NFTABLES and NFNL_MSG_BATCH_*, <linux/netfilter/nfnetlink.h>. */
export const NFTABLES = 10;
const Batch = { begin: 16, end: 17 } as const;
/** NFT_MSG_*, <linux/netfilter/nf_tables.h>. */
export const NftMessage = { delTable: 2, delSet: 11, newElement: 12, getElement: 13, delElement: 14 } as const;
/** NFT_JUMP and NFT_GOTO, -3 and -4 in network byte order. */
const JUMP = 0xfffffffd;
const GOTO = 0xfffffffc;
/** NFTNL_UDATA_SET_ELEM_COMMENT of libnftnl's <udata.h>: type and length are a byte each. */
const COMMENT = 0;
const FAMILY_NUMBERS: Readonly<Record<NftFamily, number>> = { inet: 1, bridge: 7 };

/** A set or map, by where it is. */
export interface NftSetName {
  readonly family: NftFamily;
  readonly table: string;
  readonly set: string;
}

/** An element of a set, or of a verdict map. */
export interface NftElement {
  readonly of: NftSetName;
  /** As the kernel compares it: network byte order, names padded to 16 bytes, parts of a concatenation to four. */
  readonly key: Uint8Array;
  /** Where a set of intervals has ranges in each part of a concatenation: the upper ends, themselves included. */
  readonly keyEnd?: Uint8Array | undefined;
  readonly comment?: string | undefined;
  /** What a map gives, in the same form as a key. */
  readonly value?: Uint8Array | undefined;
  /** A verdict map's: the chain that packets go to, */
  readonly goto?: string | undefined;
  /** or to and back again. */
  readonly jump?: string | undefined;
}

/** struct nfgenmsg, <linux/netfilter/nfnetlink.h>. */
export const nftHeader = struct({ family: u8, version: u8, resource: u16be });

/** NFTA_VERDICT_*, NFTA_DATA_*, NFTA_SET_ELEM_*. */
const verdict = attrs({ code: [1, u32be], chain: [2, string] });
const data = attrs({ value: [1, bytes], verdict: [2, verdict] });
const elementFields = { key: [1, data], keyEnd: [10, data], data: [2, data], userData: [6, bytes] } as const;
type Element = Attrs<typeof elementFields>;
const element: Codec<Element> = attrs(elementFields);

/** NFTA_LIST_ELEM, as often as there are elements. */
const elementList: Codec<readonly Element[]> = {
  nested: true,
  write(to, elements) {
    const one = attrs({ element: [1, element] });
    for (const each of elements) one.write(to, { element: each });
  },
  read(from) {
    const list: Element[] = [];
    from.attributes([undefined, element], (codec) => list.push(codec.read(from)));
    return list;
  },
};

/** NFTA_SET_ELEM_LIST_* */
const elements = attrs({ table: [1, string], set: [2, string], elements: [3, elementList] });

/** The messages of one transaction: what is between begin and end happens at once or not at all. */
export function transactionOf(orders: readonly Request[]): readonly Request[] {
  const frame = (type: number, label: string): Request => ({
    type,
    label,
    body: (to) => nftHeader.write(to, { family: 0, version: 0, resource: NFTABLES }),
  });
  return [frame(Batch.begin, "NFNL_MSG_BATCH_BEGIN"), ...orders, frame(Batch.end, "NFNL_MSG_BATCH_END")];
}

/** `nft create element …` of elements of one set; refused with EEXIST when one is there. */
export function createElements(set: NftSetName, list: readonly NftElement[]): Request {
  return { ...request(NftMessage.newElement, "NEWSETELEM", set, list), flags: Flag.create | Flag.excl };
}

/** `nft delete element …`; refused with ENOENT when one is missing. */
export function deleteElements(set: NftSetName, list: readonly NftElement[]): Request {
  const keys = list.map(({ of, key, keyEnd }) => ({ of, key, keyEnd }));
  return request(NftMessage.delElement, "DELSETELEM", set, keys);
}

/** `nft get element …`, or without a key all that a dump gives. */
export function getElements(set: NftSetName, key?: Uint8Array): Request {
  return request(NftMessage.getElement, "GETSETELEM", set, key && [{ of: set, key }]);
}

function request(type: number, name: string, set: NftSetName, list: readonly NftElement[] | undefined): Request {
  const body = (to: Writer) => {
    nftHeader.write(to, { family: FAMILY_NUMBERS[set.family], version: 0, resource: 0 });
    elements.write(to, { table: set.table, set: set.set, elements: list?.map(encode) });
  };
  return { type: (NFTABLES << 8) | type, body, label: `NFT_MSG_${name} ${setText(set)}` };
}

function encode({ key, keyEnd, comment, value, goto, jump }: NftElement): Value<typeof element> {
  const chain = goto ?? jump;
  return {
    key: { value: key },
    ...(keyEnd === undefined ? {} : { keyEnd: { value: keyEnd } }),
    ...(value === undefined ? {} : { data: { value } }),
    ...(chain === undefined ? {} : { data: { verdict: { code: goto === undefined ? JUMP : GOTO, chain } } }),
    ...(comment === undefined ? {} : { userData: commentBytes(comment) }),
  };
}

function commentBytes(comment: string): Uint8Array {
  const text = Buffer.from(`${comment}\0`);
  if (text.length > 0xff) throw new RangeError(`the comment "${comment}" is longer than 254 bytes`);
  return Buffer.concat([Uint8Array.of(COMMENT, text.length), text]);
}

/** The elements that a notification or an answer tells of. */
export function readElements(of: NftSetName, from: Reader): NftElement[] {
  const { elements: list = [] } = elements.read(from);
  return list.map(({ key, keyEnd, data: given, userData }) => {
    const comment = userData && readComment(userData);
    const { code, chain } = given?.verdict ?? {};
    return {
      of,
      key: key?.value?.slice() ?? new Uint8Array(), // not a view: it would keep the whole datagram
      ...(keyEnd?.value === undefined ? {} : { keyEnd: keyEnd.value.slice() }),
      ...(given?.value === undefined ? {} : { value: given.value.slice() }),
      ...(comment === undefined ? {} : { comment }),
      ...(chain === undefined ? {} : code === JUMP ? { jump: chain } : { goto: chain }),
    };
  });
}

function readComment(userData: Uint8Array): string | undefined {
  for (let at = 0; at + 2 <= userData.length; ) {
    const [type, length = 0] = userData.subarray(at, at + 2);
    const value = userData.subarray(at + 2, at + 2 + length);
    if (type === COMMENT) return Buffer.from(value.subarray(0, -1)).toString();
    at += 2 + length;
  }
  return undefined;
}

/** In nft's words: `inet podwire egress4`. */
export function setText({ family, table, set }: NftSetName): string {
  return `${family} ${table} ${set}`;
}

/** The family with that number, undefined for those in which nothing is ours. */
export function nftFamily(number: number): NftFamily | undefined {
  return number === FAMILY_NUMBERS.inet ? "inet" : number === FAMILY_NUMBERS.bridge ? "bridge" : undefined;
}
