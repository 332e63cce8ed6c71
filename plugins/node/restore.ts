import type { NftElement } from "../../kernel/nftables/element-message.ts";
import type { ElementPart } from "./elements.ts";
import type { NodeMachine } from "./machine.ts";
import { type AttachmentRecord, listRecords } from "./records.ts";
import { lockTables, probed, viewOf } from "./tables.ts";

/** How many elements go into one transaction: what surely fits into a socket's send buffer. */
const AT_ONCE = 300;

/** What a plugin's attachments need, when somebody took its chains or a whole table away. */
export interface Restorable {
  readonly kind: string;
  /** The parts that these attachments need; each is looked at for itself. */
  parts(records: readonly AttachmentRecord[]): readonly ElementPart[];
}

/**
 * Puts back chains, sets and elements of attachments that are there, when chains of theirs are missing or were changed. While
 * nothing is wrong this costs a few questions; records are read only when something is.
 * @returns how many elements were put back, and of whom
 */
export function restoreElements(machine: NodeMachine, plugins: readonly Restorable[]): ReadonlyMap<string, number> {
  const restored = new Map<string, number>();
  for (const plugin of plugins) {
    if (isWhole(machine, plugin.parts([]))) continue;
    using _lock = lockTables(); // an ADD or DEL of the same moment is over, or has not begun with the tables
    const records = listRecords(plugin.kind);
    const parts = plugin.parts(records);
    if (records.length === 0 || isWhole(machine, parts)) continue;
    using nft = machine.openNft();
    nft.run(parts.map((part) => part.ensure()).join(""));
    restored.set(plugin.kind, createMissing(machine, records));
  }
  return restored;
}

function isWhole(machine: NodeMachine, parts: readonly ElementPart[]): boolean {
  using elements = machine.openNftElements();
  return probed(machine, (probe) => parts.every((part) => part.problems(viewOf(probe, elements)).length === 0));
}

function createMissing(machine: NodeMachine, records: readonly AttachmentRecord[]): number {
  using existing = machine.openNftElements();
  const unique = new Map<string, NftElement>(); // what belongs to a network is in the record of each of its pods
  for (const element of records.flatMap(({ elements, shared }) => [...elements, ...shared])) {
    unique.set(`${element.of.family} ${element.of.set} ${Buffer.from(element.key).toString("hex")}`, element);
  }
  const missing = [...unique.values()].filter(({ of, key }) => existing.get(of, key) === undefined);
  for (let at = 0; at < missing.length; at += AT_ONCE) existing.change({ create: missing.slice(at, at + AT_ONCE) });
  return missing.length;
}
