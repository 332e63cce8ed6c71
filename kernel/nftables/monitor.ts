import { attrs, string } from "../netlink/attrs.ts";
import { Reader } from "../netlink/bytes.ts";
import type { Message } from "../netlink/message.ts";
import { openNetlinkMonitor } from "../netlink/monitor.ts";
import { NETLINK_NETFILTER, NetlinkSocket } from "../netlink/socket.ts";
import { inNetns, type Netns } from "../netns.ts";

/** NFNLGRP_NFTABLES, <linux/netfilter/nfnetlink.h>. */
const GROUP = 7;
/** NFT_MSG_NEWGEN, <linux/netfilter/nf_tables.h>: the end of a transaction, which names no table. */
const NEW_GENERATION = 15;
/** NFT_MSG_NEWSETELEM, NFT_MSG_DELSETELEM */
const [NEW_ELEMENT, DELETED_ELEMENT] = [12, 14] as const;

/** struct nfgenmsg, <linux/netfilter/nfnetlink.h>. */
const HEADER_BYTES = 4;
/** The first attribute of everything that lies in a table: NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE, NFTA_SET_TABLE, … */
const inTable = attrs({ table: [1, string] });
/** NFTA_SET_ELEM_LIST_SET */
const inSet = attrs({ set: [2, string] });

export interface NftMonitorOptions {
  /** This thread's namespace when absent. */
  readonly netns?: Netns | string | undefined;
  /** Something in these tables changed (or they came or went). Empty after an overrun: any table may have. Our own changes are reported too. */
  readonly onChange: (tables: ReadonlySet<string>) => void;
  /** Sets and maps whose elements may come and go without a word. */
  readonly quietSets?: ReadonlySet<string>;
  /** Milliseconds between two looks; see openNetlinkMonitor. */
  readonly restMs?: number;
}

/**
 * Tells of changes to the namespace's nft rules as they happen. A thread of libuv's pool blocks meanwhile; disposing ends
 * it. Keeps the process alive until then.
 */
export function openNftMonitor({ netns, onChange, quietSets = new Set(), restMs }: NftMonitorOptions): Disposable {
  const socket = inNetns(netns, () => new NetlinkSocket(NETLINK_NETFILTER));
  try {
    socket.join([GROUP]);
    const onMessages = (messages: readonly Message[]) => {
      const tables = new Set(messages.flatMap((message) => tableOf(message, quietSets)));
      if (tables.size > 0) onChange(tables);
    };
    return openNetlinkMonitor({ socket, onMessages, onOverrun: () => onChange(new Set()), restMs });
  } catch (error) {
    socket[Symbol.dispose]();
    throw error;
  }
}

function tableOf({ type, body }: Message, quietSets: ReadonlySet<string>): string[] {
  const what = type & 0xff;
  if (what === NEW_GENERATION) return [];
  const attributes = body.subarray(HEADER_BYTES);
  if (quietSets.size > 0 && (what === NEW_ELEMENT || what === DELETED_ELEMENT)) {
    const { set } = inSet.read(new Reader(attributes));
    if (set !== undefined && quietSets.has(set)) return [];
  }
  const { table } = inTable.read(new Reader(attributes));
  return table === undefined ? [] : [table];
}
