import { CniError, Code } from "../../cni/error.ts";
import type { NftView } from "../../firewall/nft-text.ts";
import { ownerComment, ownerKey, staleOwned } from "../../firewall/owner.ts";
import { type AttachmentName, attachmentKey } from "../../kernel/mark.ts";
import { isNetlinkError } from "../../kernel/netlink/error.ts";
import type { NftElement, NftSetName } from "../../kernel/nftables/element-message.ts";
import type { NftElements } from "../../kernel/nftables/elements.ts";
import type { NodeMachine } from "./machine.ts";
import { listRecords, readRecord, removeRecord, writeRecord } from "./records.ts";
import { deleteTableIfEmpty, lockTables, removeElements, viewOf } from "./tables.ts";

/** How many times an ADD begins anew because somebody changes the same sets at the same moment. */
const ATTEMPTS = 5;

/** A plugin's part of our nft tables: chains and sets that are made once, and the attachments' elements in them. */
export interface ElementPart {
  /** The plugin's name: its records' folder. */
  readonly kind: string;
  readonly sets: readonly NftSetName[];
  /** What of the chains is missing, as sentences. */
  problems(view: NftView): readonly string[];
  /** nft text that makes chains and sets; run again, it changes nothing. */
  ensure(): string;
  /** What an element is about, for the error that somebody else has it: `port 8080/tcp`. */
  describe(element: NftElement): string;
  /** Whether another attachment's element gives way: it is about an address that is this pod's now. */
  yields(element: NftElement): boolean;
}

/**
 * Puts the attachment's elements, all of which carry its {@link ownerComment}; those of an earlier ADD of it go. What
 * serves all attachments is made when it is missing.
 * @param shared noted beside them: what the attachment needs and the caller has put
 * @throws CniError 11 that names the attachment that has one of them
 */
export function putElements(
  machine: NodeMachine,
  part: ElementPart,
  name: AttachmentName,
  elements: readonly NftElement[],
  shared: readonly NftElement[] = [],
): void {
  using _lock = lockTables();
  if (readRecord(part.kind, attachmentKey(name)) !== undefined) dropElements(machine, part, name);
  if (elements.length === 0) return;
  using probe = machine.openNftProbe();
  using existing = machine.openNftElements();
  writeRecord(part.kind, name, { elements, shared });
  try {
    for (let attempt = 1; ; attempt++) {
      if (part.problems(viewOf(probe, existing)).length > 0) prepare(machine, part);
      try {
        existing.change({ create: elements });
        return;
      } catch (error) {
        if (!isNetlinkError(error, "EEXIST", "ENOTEMPTY", "ENOENT") || attempt === ATTEMPTS) throw error;
        const own = ownerComment(name); // of an ADD that left no record
        const taken = takenOf(existing, elements);
        const foreign = taken.find((element) => element.comment !== own && !part.yields(element));
        if (foreign !== undefined) throw takenError(part, foreign, error);
        removeElements(machine, (found) => [
          ...found.commented(part.sets, own),
          ...taken.filter(({ of, key, comment }) => comment !== own && found.get(of, key) !== undefined),
        ]);
      }
    }
  } catch (error) {
    removeRecord(part.kind, attachmentKey(name));
    throw error;
  }
}

function prepare(machine: NodeMachine, part: ElementPart): void {
  using nft = machine.openNft();
  nft.run(part.ensure());
}

/** The elements that are in the way of these. */
function takenOf(existing: NftElements, elements: readonly NftElement[]): readonly NftElement[] {
  return elements.flatMap((element) => {
    if (element.keyEnd === undefined) return existing.get(element.of, element.key) ?? [];
    return existing.list([element.of]).filter((other) => overlap(element, other));
  });
}

/** Whether two elements with ranges in each part, of four bytes or of a multiple, have a key in common. */
function overlap(a: NftElement, b: NftElement): boolean {
  const ends = [a, b].map(({ key, keyEnd = key }) => [Buffer.from(key), Buffer.from(keyEnd)] as const);
  const [[aFirst, aLast] = [], [bFirst, bLast] = []] = ends;
  if (aFirst === undefined || aLast === undefined || bFirst === undefined || bLast === undefined) return false;
  return partsOf(aFirst.length).every(
    ([from, to]) =>
      Buffer.compare(aFirst.subarray(from, to), bLast.subarray(from, to)) <= 0 &&
      Buffer.compare(bFirst.subarray(from, to), aLast.subarray(from, to)) <= 0,
  );
}

/** Two addresses, protocol, port. */
function partsOf(length: number): readonly (readonly [number, number])[] {
  const address = (length - 8) / 2;
  return [
    [0, address],
    [address, 2 * address],
    [2 * address, 2 * address + 4],
    [2 * address + 4, length],
  ];
}

function takenError(part: ElementPart, taken: NftElement, cause: unknown): CniError {
  const key = ownerKey(taken.comment ?? "");
  const record = readRecord(part.kind, key);
  const whose =
    record === undefined
      ? `another attachment (key ${key})`
      : `"${record.ifName}" of container ${record.containerId} in network "${record.network}"`;
  return new CniError(
    Code.tryAgainLater,
    `${part.describe(taken)} is taken by ${whose}; run its DEL, or GC of its network when it is gone`,
    { cause },
  );
}

/**
 * Removes all that the attachment has; nothing is needed for that. With a record the cost does not depend on how much
 * others have.
 * @returns what it had
 */
export function dropElements(machine: NodeMachine, part: ElementPart, name: AttachmentName): readonly NftElement[] {
  const key = attachmentKey(name);
  const record = readRecord(part.kind, key);
  removeRecord(part.kind, key);
  if (record !== undefined && removed(machine, record.elements)) return record.elements;
  return removeAll(machine, (elements) => elements.commented(part.sets, ownerComment(name)));
}

/** False when one of them is missing, or somebody else's: then they have to be looked for. */
function removed(machine: NodeMachine, recorded: readonly NftElement[]): boolean {
  using elements = machine.openNftElements();
  const own = recorded.every(({ of, key, comment }) => elements.get(of, key)?.comment === comment);
  if (!own) return false;
  try {
    elements.change({ remove: recorded });
    return true;
  } catch (error) {
    if (isNetlinkError(error, "ENOENT")) return false;
    throw error;
  }
}

function removeAll(
  machine: NodeMachine,
  choose: (elements: NftElements) => readonly NftElement[],
): readonly NftElement[] {
  let chosen: readonly NftElement[] = [];
  removeElements(machine, (elements) => {
    chosen = choose(elements);
    return chosen;
  });
  return chosen;
}

/**
 * Removes what the network's attachments have, except of those with the keys; and the table when nobody has anything.
 * @returns what they had
 */
export function pruneElements(
  machine: NodeMachine,
  part: ElementPart,
  network: string,
  validKeys: ReadonlySet<string>,
): readonly NftElement[] {
  for (const record of listRecords(part.kind)) {
    const key = attachmentKey(record);
    if (record.network === network && !validKeys.has(key)) removeRecord(part.kind, key);
  }
  const gone = removeAll(machine, (elements) => staleOwned(elements.list(part.sets), network, validKeys));
  if (validKeys.size === 0) deleteTableIfEmpty(machine, "inet");
  return gone;
}

/** What of the elements, or of what they need, is not there, in sentences. */
export function elementProblems(
  machine: NodeMachine,
  part: ElementPart,
  wanted: readonly NftElement[],
): readonly string[] {
  if (wanted.length === 0) return [];
  using probe = machine.openNftProbe();
  using elements = machine.openNftElements();
  const missing = wanted.filter((element) => !same(element, elements.get(element.of, element.key)));
  return [
    ...part.problems(viewOf(probe, elements)),
    ...new Set(missing.map((element) => `${part.describe(element)} is not this attachment's in ${element.of.set}`)),
  ];
}

function same(wanted: NftElement, found: NftElement | undefined): boolean {
  if (found === undefined) return false;
  const bytes = ({ key, keyEnd = key, value = key }: NftElement) => Buffer.concat([key, keyEnd, value]);
  return (
    wanted.comment === found.comment &&
    wanted.goto === found.goto &&
    wanted.jump === found.jump &&
    Buffer.compare(bytes(wanted), bytes(found)) === 0
  );
}
