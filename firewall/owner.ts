import { type AttachmentName, attachmentKey } from "../kernel/mark.ts";
import type { NftElement } from "../kernel/nftables/element-message.ts";
import { nameHash } from "./nft-text.ts";

/**
 * The comment on elements of an attachment where nothing else about them tells the network: GC removes those of one
 * network and needs nothing but this.
 */
export function ownerComment(name: AttachmentName): string {
  return `${attachmentKey(name)} ${nameHash(name.network)}`;
}

/** The attachment's key (kernel/mark.ts) in an {@link ownerComment}. */
export function ownerKey(comment: string): string {
  return comment.split(" ")[0] ?? "";
}

/** Those of the network whose attachment is not among the valid ones. */
export function staleOwned(
  elements: readonly NftElement[],
  network: string,
  validKeys: ReadonlySet<string>,
): NftElement[] {
  const hash = nameHash(network);
  return elements.filter(({ comment = "" }) => {
    const [key = "", its] = comment.split(" ");
    return its === hash && !validKeys.has(key);
  });
}
