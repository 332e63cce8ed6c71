import { attrs, string, struct, u8, u16be } from "../netlink/attrs.ts";
import { Reader } from "../netlink/bytes.ts";
import type { Message } from "../netlink/message.ts";
import { openNetlinkMonitor } from "../netlink/monitor.ts";
import { NETLINK_NETFILTER, NetlinkSocket } from "../netlink/socket.ts";
import { inNetns, type Netns } from "../netns.ts";

/** NFNLGRP_NFTABLES, <linux/netfilter/nfnetlink.h>. */
const GROUP = 7;
/** NFT_MSG_NEWGEN, <linux/netfilter/nf_tables.h>: the end of a transaction, which names no table. */
const NEW_GENERATION = 15;

/** struct nfgenmsg, <linux/netfilter/nfnetlink.h>. */
const header = struct({ family: u8, version: u8, resource: u16be });
/** The first attribute of everything that lies in a table: NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE, NFTA_SET_TABLE, … */
const inTable = attrs({ table: [1, string] });

export interface NftMonitorOptions {
  /** This thread's namespace when absent. */
  readonly netns?: Netns | string | undefined;
  /** Something in these tables changed (or they came or went). Empty after an overrun: any table may have. Our own changes are reported too. */
  readonly onChange: (tables: ReadonlySet<string>) => void;
}

/**
 * Tells of changes to the namespace's nft rules as they happen. A thread of libuv's pool blocks meanwhile; disposing ends
 * it. Keeps the process alive until then.
 */
export function openNftMonitor({ netns, onChange }: NftMonitorOptions): Disposable {
  const socket = inNetns(netns, () => new NetlinkSocket(NETLINK_NETFILTER));
  try {
    socket.join([GROUP]);
    const onMessages = (messages: readonly Message[]) => {
      const tables = new Set(messages.flatMap(tableOf));
      if (tables.size > 0) onChange(tables);
    };
    return openNetlinkMonitor({ socket, onMessages, onOverrun: () => onChange(new Set()) });
  } catch (error) {
    socket[Symbol.dispose]();
    throw error;
  }
}

function tableOf(message: Message): string[] {
  if ((message.type & 0xff) === NEW_GENERATION) return [];
  const from = new Reader(message.body);
  header.read(from);
  const { table } = inTable.read(from);
  return table === undefined ? [] : [table];
}
