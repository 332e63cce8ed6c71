import { mkdirSync } from "node:fs";
import { CniError, Code, messageOf } from "../../cni/error.ts";
import { SERVING_CHAINS } from "../../firewall/attachment-sets.ts";
import { parseListing } from "../../firewall/listing.ts";
import { type NftView, TABLE } from "../../firewall/nft-text.ts";
import { openLock } from "../../kernel/flock.ts";
import { isNetlinkError } from "../../kernel/netlink/error.ts";
import type { NftElement } from "../../kernel/nftables/element-message.ts";
import type { NftElements } from "../../kernel/nftables/elements.ts";
import type { NftFamily, NftProbe } from "../../kernel/nftables/probe.ts";
import type { NodeMachine } from "./machine.ts";

const RUN_FOLDER = "/run/podwire";
/** How many times elements that others remove at the same moment are looked for. */
const ATTEMPTS = 5;

/** @throws CniError 50 that says why nftables cannot be used */
export function requireNftables(machine: NodeMachine): void {
  try {
    machine.openNft()[Symbol.dispose](); // the library
    probed(machine, (probe) => probe.hasTable("inet", TABLE)); // the kernel
  } catch (error) {
    throw new CniError(Code.notAvailable, `nftables cannot be used: ${messageOf(error)}`, { cause: error });
  }
}

/** What CHECK asks nftables through these two. */
export function viewOf(probe: NftProbe, elements: NftElements): NftView {
  return {
    countRules: (family, table, chain) => probe.countRules(family, table, chain),
    get: (set, key) => elements.get(set, key),
  };
}

/** One transaction. One that somebody else was faster to remove makes the kernel refuse it, and then we look again. */
export function removeElements(machine: NodeMachine, choose: (elements: NftElements) => readonly NftElement[]): void {
  using elements = machine.openNftElements();
  for (let attempt = 1; ; attempt++) {
    const chosen = choose(elements);
    if (chosen.length === 0) return;
    try {
      elements.change({ remove: chosen });
      return;
    } catch (error) {
      if (!isNetlinkError(error, "ENOENT") || attempt === ATTEMPTS) throw error;
    }
  }
}

/**
 * Removes our table of the family when it serves nobody: its sets have no elements and all its chains are those that
 * serve sets. The agent's tables have more.
 */
export function deleteTableIfEmpty(machine: NodeMachine, family: NftFamily): void {
  if (!hasTable(machine, family)) return;
  using _lock = lockTables();
  using nft = machine.openNft();
  if (!hasTable(machine, family)) return; // while we waited
  const { sets, chains } = parseListing(nft.query(`list table ${family} ${TABLE}`));
  const inUse = [...sets.values()].some(({ elements }) => elements.length > 0);
  const others = [...chains.keys()].some((chain) => !SERVING_CHAINS.includes(chain));
  if (!inUse && !others) nft.run(`delete table ${family} ${TABLE}\n`);
}

/** nft cannot delete a table on a condition, so nobody may add to ours while it is found empty and deleted. */
export function lockTables(): Disposable {
  mkdirSync(RUN_FOLDER, { recursive: true, mode: 0o700 });
  return openLock(`${RUN_FOLDER}/nft.lock`);
}

function hasTable(machine: NodeMachine, family: NftFamily): boolean {
  return probed(machine, (probe) => probe.hasTable(family, TABLE));
}

export function probed<T>(machine: NodeMachine, question: (probe: NftProbe) => T): T {
  using probe = machine.openNftProbe();
  return question(probe);
}
