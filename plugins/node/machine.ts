import type { Netns } from "../../kernel/netns.ts";
import { type NftElements, openNftElements } from "../../kernel/nftables/elements.ts";
import { type Nft, openNft } from "../../kernel/nftables/nft.ts";
import { type NftProbe, openNftProbe } from "../../kernel/nftables/probe.ts";
import { deleteLinks } from "../../kernel/rtnetlink/removal.ts";
import { openRoute, type RouteSocket } from "../../kernel/rtnetlink/socket.ts";

/**
 * What the plugin uses of the node it runs on. A call that is a process of its own opens and closes these; a host that
 * stays keeps them open, and disposing gives them back.
 */
export interface NodeMachine {
  /** A socket in the node's own namespace. */
  openNode(): RouteSocket;
  openNft(): Nft;
  openNftProbe(): NftProbe;
  openNftElements(): NftElements;
  /**
   * Removes links of the node's own namespace, those that are gone already included. Resolves when nothing lists them
   * any more.
   */
  deleteLinks(indexes: readonly number[]): Promise<void>;
  /** The same in another namespace. */
  deleteLinksIn(netns: Netns, indexes: readonly number[]): Promise<void>;
}

/** For a process that makes one call and ends. */
export const thisMachine: NodeMachine = {
  openNode: () => openRoute(),
  openNft: () => openNft(),
  openNftProbe: () => openNftProbe(),
  openNftElements: () => openNftElements(),
  async deleteLinks(indexes) {
    using node = openRoute();
    deleteLinks(node, indexes);
  },
  async deleteLinksIn(netns, indexes) {
    using pod = openRoute(netns);
    deleteLinks(pod, indexes);
  },
};
