import { mkdirSync } from "node:fs";
import { messageOf } from "../../cni/error.ts";
import type { JsonObject } from "../../cni/json.ts";
import type { Logger } from "../../cni/log.ts";
import { EMPTY_LISTING, type Listing, listsTable, parseListing } from "../../firewall/listing.ts";
import {
  addMacCheck,
  LIST_MAC_CHECKS,
  macCheckElements,
  macCheckProblems,
  removeMacChecks,
} from "../../firewall/mac-check.ts";
import {
  addMasqueradedPod,
  elementsOf,
  ensureMasqueradeNetwork,
  LIST_MASQUERADED_PODS,
  masqueradeChain,
  masqueradeElements,
  masqueradeProblems,
  removeMasqueradedPods,
  removeMasqueradeNetwork,
  staleElements,
} from "../../firewall/masquerade.ts";
import { TABLE } from "../../firewall/nft-text.ts";
import { openLock } from "../../kernel/flock.ts";
import { type AttachmentName, attachmentKey, hostVethName } from "../../kernel/mark.ts";
import { type Nft, NftError, openNft } from "../../kernel/nftables/nft.ts";
import type { Mac } from "../../net/mac.ts";
import { networkOf, type Prefix, prefixAddress } from "../../net/prefix.ts";
import type { BridgeConf } from "./conf.ts";

/** What the rules of an attachment are made of. */
export interface RuleSubject {
  readonly mac: Mac;
  readonly addresses: readonly Prefix[];
  readonly conf: Pick<BridgeConf, "ipMasq" | "macSpoofCheck">;
}

type TableFamily = "inet" | "bridge";

const RUN_FOLDER = "/run/podwire";

/**
 * Puts the attachment's rules, all in one transaction.
 * @returns what takes back the rules, and whatever had to be made for them
 */
export function putRules(name: AttachmentName, subject: RuleSubject): () => void {
  const { network } = name;
  const { masquerade, macCheck } = intents(name, subject);
  if (masquerade === undefined && macCheck === undefined) return () => {};
  using _lock = lockTables();
  using nft = openNft();
  const fresh = {
    network: masquerade !== undefined && !hasNetwork(nft, network),
    bridge: macCheck !== undefined && !hasTable(nft, "bridge"),
  };
  const undo = () => {
    deleteRules(name);
    if (fresh.network) deleteMasqueradeNetwork(network);
    if (fresh.bridge) deleteTableIfEmpty("bridge");
  };
  const text = [
    masquerade === undefined ? "" : ensureMasqueradeNetwork(masquerade.network) + addMasqueradedPod(masquerade.pod),
    macCheck === undefined ? "" : addMacCheck(macCheck),
  ];
  nft.run(text.join(""));
  return undo;
}

/** What of the attachment's rules is not there, in sentences. */
export function ruleProblems(name: AttachmentName, subject: RuleSubject): readonly string[] {
  const { masquerade, macCheck } = intents(name, subject);
  if (masquerade === undefined && macCheck === undefined) return [];
  using nft = openNft();
  return [
    ...(masquerade === undefined ? [] : masqueradeProblems(listTable(nft, "inet"), masquerade.network, masquerade.pod)),
    ...(macCheck === undefined ? [] : macCheckProblems(listTable(nft, "bridge"), macCheck)),
  ];
}

function intents(name: AttachmentName, { mac, addresses, conf }: RuleSubject) {
  const { network } = name;
  const owner = attachmentKey(name);
  const masquerade =
    conf.ipMasq && addresses.length > 0
      ? {
          network: { network, localSubnets: [...new Set(addresses.map(networkOf))] },
          pod: { network, owner, addresses: addresses.map(prefixAddress) },
        }
      : undefined;
  const macCheck = conf.macSpoofCheck ? { owner, port: hostVethName(name), mac } : undefined;
  return { masquerade, macCheck };
}

/**
 * Work on rules that may be there, whatever the configuration says now. Where nftables cannot be used there are none,
 * unless the configuration asks for them: then that is an error, else a line in the log.
 * @param raw the plugin's keys, read loosely, because for DEL and GC no value is wrong
 */
export function whereRulesMatter(raw: JsonObject, log: Pick<Logger, "warn">, work: () => void): void {
  try {
    work();
  } catch (error) {
    if (raw.ipMasq || raw.macspoofchk) throw error;
    log.warn("nftables cannot be asked for rules; the configuration uses none", { error: messageOf(error) });
  }
}

/** Removes the attachment's rules, whatever they are: elements that carry its key. */
export function deleteRules(name: AttachmentName): void {
  const owner = attachmentKey(name);
  using nft = openNft();
  removeMasquerade(nft, (elements) => elementsOf(elements, owner));
  removeMacCheckElements(nft, (element) => element.owner === owner);
}

/**
 * Removes the network's rules of all attachments but those with the keys, and the MAC checks of ports that are gone.
 * @param portExists whether a link of that name is there
 */
export function pruneRules(
  network: string,
  validKeys: ReadonlySet<string>,
  portExists: (name: string) => boolean,
): void {
  using nft = openNft();
  removeMasquerade(nft, (elements) => staleElements(elements, network, validKeys));
  removeMacCheckElements(nft, ({ key }) => !portExists(key.split('"')[1] ?? ""));
}

/** Removes what the network's rules stood on, once it has no attachments, and tables of ours that then hold nothing. */
export function deleteNetworkRules(network: string): void {
  deleteMasqueradeNetwork(network);
  deleteTableIfEmpty("bridge");
}

function deleteMasqueradeNetwork(network: string): void {
  using nft = openNft();
  if (!hasNetwork(nft, network)) return;
  nft.run(removeMasqueradeNetwork(network));
  deleteTableIfEmpty("inet");
}

/**
 * Removes our table of the family when it serves nobody: its sets have no elements and all its chains are those that
 * serve sets. The agent's tables have more.
 */
function deleteTableIfEmpty(family: TableFamily): void {
  using _lock = lockTables();
  using nft = openNft();
  if (!hasTable(nft, family)) return;
  const { sets, chains } = listTable(nft, family);
  const inUse = [...sets.values()].some(({ elements }) => elements.length > 0);
  const others = [...chains.keys()].some((chain) => chain !== "egress" && chain !== "mac_check");
  if (!inUse && !others) nft.run(`delete table ${family} ${TABLE}\n`);
}

/** nft cannot delete a table on a condition, so nobody may add to ours while it is found empty and deleted. */
function lockTables(): Disposable {
  mkdirSync(RUN_FOLDER, { recursive: true, mode: 0o700 });
  return openLock(`${RUN_FOLDER}/nft.lock`);
}

function removeMasquerade(
  nft: Nft,
  choose: (elements: ReturnType<typeof masqueradeElements>) => ReturnType<typeof masqueradeElements>,
): void {
  const elements = choose(masqueradeElements(listSets(nft, "inet", LIST_MASQUERADED_PODS)));
  if (elements.length > 0) nft.run(removeMasqueradedPods(elements));
}

function removeMacCheckElements(
  nft: Nft,
  choose: (element: ReturnType<typeof macCheckElements>[number]) => boolean,
): void {
  const elements = macCheckElements(listSets(nft, "bridge", LIST_MAC_CHECKS)).filter(choose);
  if (elements.length > 0) nft.run(removeMacChecks(elements));
}

/** The sets that the commands list; when one of them is not there, all that our table has. */
function listSets(nft: Nft, family: TableFamily, commands: readonly string[]): Listing {
  if (!hasTable(nft, family)) return EMPTY_LISTING;
  try {
    const listings = commands.map((command) => read(nft, command));
    return { sets: new Map(listings.flatMap(({ sets }) => [...sets])), chains: new Map() };
  } catch (error) {
    if (!(error instanceof NftError)) throw error;
    return listTable(nft, family);
  }
}

/** Our table of the family; an empty listing when there is none. */
function listTable(nft: Nft, family: TableFamily): Listing {
  return hasTable(nft, family) ? read(nft, `list table ${family} ${TABLE}`) : EMPTY_LISTING;
}

function read(nft: Nft, command: string): Listing {
  return parseListing(nft.query(command));
}

function hasTable(nft: Nft, family: TableFamily): boolean {
  return listsTable(nft.query(`list tables ${family}`), family, TABLE);
}

function hasNetwork(nft: Nft, network: string): boolean {
  return hasTable(nft, "inet") && listTable(nft, "inet").chains.has(masqueradeChain(network));
}
