import { createHash } from "node:crypto";
import { NFT_TABLE_PREFIX } from "../kernel/mark.ts";
import type { NftElements } from "../kernel/nftables/elements.ts";
import type { NftProbe } from "../kernel/nftables/probe.ts";

/** What a look at the rules in force needs; it costs the same however many elements there are. */
export type NftView = Pick<NftProbe, "countRules"> & Pick<NftElements, "get">;

/** Our one table in the inet and in the bridge family; nothing else of nft's is ever touched. */
export const TABLE = NFT_TABLE_PREFIX;

/** NFTNL_UDATA_COMMENT_MAXLEN of libnftnl, without the final NUL. */
const MAX_COMMENT_BYTES = 127;

/** 16 hex digits that stand for a name of any length and letters in the names of chains and sets. */
export function nameHash(name: string): string {
  return createHash("sha256").update(name).digest("hex").slice(0, 16);
}

/** The text as an nft string, shortened to what a comment holds. What nft can't quote becomes "?". */
export function quoteComment(text: string): string {
  return `"${text.replace(/[^ !#-[\]-~]/g, "?").slice(0, MAX_COMMENT_BYTES)}"`;
}

/** Lines of nft text as one transaction. */
export function transaction(...lines: readonly (string | readonly string[])[]): string {
  const flat = lines.flat();
  return flat.length === 0 ? "" : `${flat.join("\n")}\n`;
}
