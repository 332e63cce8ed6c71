import { type Nft, openNft } from "../../kernel/nftables/nft.ts";
import { type NftProbe, openNftProbe } from "../../kernel/nftables/probe.ts";
import { deleteLink } from "../../kernel/rtnetlink/link.ts";
import { openRoute, type RouteSocket } from "../../kernel/rtnetlink/socket.ts";

/**
 * What the plugin uses of the node it runs on. A call that is a process of its own opens and closes these; a host that
 * stays keeps them open, and disposing gives them back.
 */
export interface BridgeMachine {
  /** A socket in the node's own namespace. */
  openNode(): RouteSocket;
  openNft(): Nft;
  openNftProbe(): NftProbe;
  /**
   * Removes links of the node's own namespace, those that are gone already included. Resolves when nothing lists them
   * any more.
   */
  deleteLinks(indexes: readonly number[]): Promise<void>;
}

/** For a process that makes one call and ends. */
export const thisMachine: BridgeMachine = {
  openNode: () => openRoute(),
  openNft: () => openNft(),
  openNftProbe: () => openNftProbe(),
  async deleteLinks(indexes) {
    using node = openRoute();
    for (const index of indexes) deleteLink(node, index, { missingOk: true });
  },
};
