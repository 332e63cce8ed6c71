import { ATTACHMENT_SETS } from "../../firewall/attachment-sets.ts";
import { NetlinkError } from "../../kernel/netlink/error.ts";
import { openNftElementIndex } from "../../kernel/nftables/element-index.ts";
import type { NftElements } from "../../kernel/nftables/elements.ts";
import { type Nft, openNft } from "../../kernel/nftables/nft.ts";
import { type NftProbe, openNftProbe } from "../../kernel/nftables/probe.ts";
import { openLinkRemover } from "../../kernel/rtnetlink/removal.ts";
import { openRoute, type RouteSocket } from "../../kernel/rtnetlink/socket.ts";
import type { NodeMachine } from "./machine.ts";

export interface ResidentOptions {
  /** How many removals of links may wait in the kernel at once, each in a thread of libuv's pool. */
  readonly removalThreads?: number;
}

/**
 * For a host that stays: sockets and the nftables context are kept open (closing one that asked nf_tables waits for RCU
 * after a removal, 12 ms), an attachment's elements are found without listing, and DELs of the same moment remove their
 * links together. All in the namespace of the thread that opens it; disposing gives everything back.
 */
export function makeResidentMachine({ removalThreads }: ResidentOptions = {}): NodeMachine & Disposable {
  const node = new Kept(openRoute);
  const nft = new Kept(openNft);
  const probe = new Kept(openNftProbe);
  const elements = new Kept(() => openNftElementIndex(ATTACHMENT_SETS));
  const remover = openLinkRemover(removalThreads === undefined ? {} : { threads: removalThreads });
  const shared = {
    node: shareRoute(node),
    nft: shareNft(nft),
    probe: shareProbe(probe),
    elements: shareElements(elements),
  };
  return {
    openNode: () => shared.node,
    openNft: () => shared.nft,
    openNftProbe: () => shared.probe,
    openNftElements: () => shared.elements,
    deleteLinks: (indexes) => remover.remove(indexes),
    async deleteLinksIn(netns, indexes) {
      using elsewhere = openLinkRemover({ netns, threads: 1 });
      await elsewhere.remove(indexes);
    },
    [Symbol.dispose]() {
      for (const kept of [node, nft, probe, elements, remover]) kept[Symbol.dispose]();
    },
  };
}

/** Opened at first use. After an error that is not simply the kernel's answer it is closed, and the next use starts afresh. */
class Kept<T extends Disposable> implements Disposable {
  readonly #open: () => T;
  #opened: T | undefined;

  constructor(open: () => T) {
    this.#open = open;
  }

  use<R>(work: (opened: T) => R): R {
    this.#opened ??= this.#open();
    try {
      return work(this.#opened);
    } catch (error) {
      if (!(error instanceof NetlinkError)) this[Symbol.dispose]();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#opened?.[Symbol.dispose]();
    this.#opened = undefined;
  }
}

/** Who borrows it may dispose it: that closes nothing. */
const BORROWED = { [Symbol.dispose]() {} };

function shareRoute(kept: Kept<RouteSocket>): RouteSocket {
  return {
    execute: (request) => kept.use((rt) => rt.execute(request)),
    executeAll: (requests) => kept.use((rt) => rt.executeAll(requests)),
    ask: (request) => kept.use((rt) => rt.ask(request)),
    dump: (request, decode) => kept.use((rt) => rt.dump(request, decode)),
    ...BORROWED,
  };
}

function shareNft(kept: Kept<Nft>): Nft {
  return {
    run: (text) => kept.use((nft) => nft.run(text)),
    query: (command) => kept.use((nft) => nft.query(command)),
    listText: (command) => kept.use((nft) => nft.listText(command)),
    ...BORROWED,
  };
}

function shareProbe(kept: Kept<NftProbe>): NftProbe {
  return {
    hasTable: (family, table) => kept.use((probe) => probe.hasTable(family, table)),
    hasChain: (family, table, chain) => kept.use((probe) => probe.hasChain(family, table, chain)),
    countRules: (family, table, chain) => kept.use((probe) => probe.countRules(family, table, chain)),
    ...BORROWED,
  };
}

function shareElements(kept: Kept<NftElements>): NftElements {
  return {
    change: (change) => kept.use((elements) => elements.change(change)),
    get: (set, key) => kept.use((elements) => elements.get(set, key)),
    list: (sets) => kept.use((elements) => elements.list(sets)),
    commented: (sets, comment) => kept.use((elements) => elements.commented(sets, comment)),
    ...BORROWED,
  };
}
