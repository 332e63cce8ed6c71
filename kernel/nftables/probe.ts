import { attrs, string, struct, u8, u16be } from "../netlink/attrs.ts";
import type { Writer } from "../netlink/bytes.ts";
import { isNetlinkError } from "../netlink/error.ts";
import { Control, type Message } from "../netlink/message.ts";
import { NETLINK_NETFILTER, NetlinkSocket, type Request } from "../netlink/socket.ts";
import { inNetns, type Netns } from "../netns.ts";

/** NFNL_SUBSYS_NFTABLES, <linux/netfilter/nfnetlink.h>. */
const SUBSYSTEM = 10;
/** NFT_MSG_*, <linux/netfilter/nf_tables.h>. */
const Get = { table: 1, chain: 4, rule: 7 } as const;
/** NFPROTO_*, <linux/netfilter.h>. */
const FAMILIES = { inet: 1, bridge: 7 } as const;
export type NftFamily = keyof typeof FAMILIES;

/** struct nfgenmsg, <linux/netfilter/nfnetlink.h>. */
const header = struct({ family: u8, version: u8, resource: u16be });
/** NFTA_TABLE_NAME; NFTA_CHAIN_TABLE and NFTA_CHAIN_NAME; NFTA_RULE_TABLE and NFTA_RULE_CHAIN. */
const NAMES = {
  table: attrs({ table: [1, string] }),
  chain: attrs({ table: [1, string], chain: [3, string] }),
  rule: attrs({ table: [1, string], chain: [2, string] }),
} as const;

/** Small questions to nf_tables itself: no library is loaded for them, and nothing is listed that was not asked for. */
export interface NftProbe extends Disposable {
  /** `nft list table` would find it. @throws NetlinkError, such as EINVAL where the kernel has no nf_tables */
  hasTable(family: NftFamily, table: string): boolean;
  hasChain(family: NftFamily, table: string, chain: string): boolean;
  /** How many rules the chain has; 0 when there is no such chain. */
  countRules(family: NftFamily, table: string, chain: string): number;
}

/** Opens it in the namespace (an open one or its path; this thread's when absent). @throws NotANamespaceError */
export function openNftProbe(netns?: Netns | string): NftProbe {
  const socket = inNetns(netns, () => new NetlinkSocket(NETLINK_NETFILTER));
  return {
    hasTable: (family, table) => exists(socket, request("table", family, { table })),
    hasChain: (family, table, chain) => exists(socket, request("chain", family, { table, chain })),
    countRules: (family, table, chain) => count(socket, request("rule", family, { table, chain })),
    [Symbol.dispose]: () => socket[Symbol.dispose](),
  };
}

function request(what: keyof typeof NAMES, family: NftFamily, names: { table: string; chain?: string }): Request {
  const body = (to: Writer) => {
    header.write(to, { family: FAMILIES[family], version: 0, resource: 0 });
    NAMES[what].write(to, names);
  };
  const label = `NFT_MSG_GET${what.toUpperCase()} ${[family, ...Object.values(names)].join(" ")}`;
  return { type: (SUBSYSTEM << 8) | Get[what], body, label };
}

function exists(socket: NetlinkSocket, question: Request): boolean {
  try {
    socket.ask(question);
    return true;
  } catch (error) {
    if (isNetlinkError(error, "ENOENT")) return false;
    throw error;
  }
}

function count(socket: NetlinkSocket, question: Request): number {
  const isRule = (message: Message) => (message.type === Control.done ? undefined : message);
  try {
    return socket.dump(question, isRule).length;
  } catch (error) {
    if (isNetlinkError(error, "ENOENT")) return 0;
    throw error;
  }
}
