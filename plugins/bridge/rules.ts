import { mkdirSync } from "node:fs";
import { messageOf } from "../../cni/error.ts";
import type { JsonObject } from "../../cni/json.ts";
import type { Logger } from "../../cni/log.ts";
import { EMPTY_LISTING, type Listing, parseListing } from "../../firewall/listing.ts";
import {
  addCheckedPort,
  addMacCheck,
  LIST_MAC_CHECKS,
  MAC_CHECK_CHAIN,
  type MacCheck,
  macCheckElements,
  macCheckProblems,
  removeMacChecks,
} from "../../firewall/mac-check.ts";
import {
  addMasqueradedPod,
  createMasqueradedPod,
  EGRESS_CHAIN,
  elementsOf,
  ensureMasqueradeNetwork,
  getLocalSubnet,
  LIST_MASQUERADED_PODS,
  MASQUERADE_RULES,
  type MasqueradedPod,
  type MasqueradeElement,
  type MasqueradeNetwork,
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
import { type Nft, NftError } from "../../kernel/nftables/nft.ts";
import type { NftFamily, NftProbe } from "../../kernel/nftables/probe.ts";
import type { Mac } from "../../net/mac.ts";
import { networkOf, type Prefix, prefixAddress } from "../../net/prefix.ts";
import type { BridgeConf } from "./conf.ts";
import type { BridgeMachine } from "./machine.ts";

/** What the rules of an attachment are made of. */
export interface RuleSubject {
  readonly mac: Mac;
  readonly addresses: readonly Prefix[];
  readonly conf: Pick<BridgeConf, "ipMasq" | "macSpoofCheck">;
}

/** The masquerading that an attachment needs. */
interface Masquerade {
  readonly network: MasqueradeNetwork;
  readonly pod: MasqueradedPod;
}

const RUN_FOLDER = "/run/podwire";

/**
 * Puts the attachment's rules, all in one transaction.
 * @returns what takes back the rules, and whatever had to be made for them
 */
export function putRules(machine: BridgeMachine, name: AttachmentName, subject: RuleSubject): () => void {
  const { network } = name;
  const { masquerade, macCheck } = intents(name, subject);
  if (masquerade === undefined && macCheck === undefined) return () => {};
  using _lock = lockTables();
  using nft = machine.openNft();
  using probe = machine.openNftProbe();
  const fresh = {
    network: masquerade !== undefined && !probe.hasChain("inet", TABLE, masqueradeChain(network)),
    bridge: macCheck !== undefined && !probe.hasTable("bridge", TABLE),
  };
  const undo = () => {
    deleteRules(machine, name);
    if (fresh.network) deleteMasqueradeNetwork(machine, network);
    if (fresh.bridge) deleteTableIfEmpty(machine, "bridge");
  };
  try {
    nft.run(usualText(nft, probe, masquerade) + macCheckText(probe, macCheck));
  } catch (error) {
    if (!(error instanceof NftError)) throw error;
    // Left by a lost DEL, or by a network that was renamed: the addresses are this pod's now.
    const present = masqueradeElements(listSets(machine, "inet", nft, LIST_MASQUERADED_PODS));
    nft.run(fullText(masquerade, present) + macCheckText(probe, macCheck));
  }
  return undo;
}

/** Where all that the network needs is there, the pod's own elements are enough. */
function usualText(nft: Nft, probe: NftProbe, masquerade: Masquerade | undefined): string {
  if (masquerade === undefined) return "";
  return hasNetwork(nft, probe, masquerade.network) ? createMasqueradedPod(masquerade.pod) : fullText(masquerade, []);
}

function fullText(masquerade: Masquerade | undefined, present: readonly MasqueradeElement[]): string {
  if (masquerade === undefined) return "";
  return ensureMasqueradeNetwork(masquerade.network) + addMasqueradedPod(masquerade.pod, present);
}

function macCheckText(probe: NftProbe, macCheck: MacCheck | undefined): string {
  if (macCheck === undefined) return "";
  return probe.countRules("bridge", TABLE, MAC_CHECK_CHAIN) === 1 ? addCheckedPort(macCheck) : addMacCheck(macCheck);
}

/** Whether chains and sets are as {@link ensureMasqueradeNetwork} makes them, as far as CHECK would notice. */
function hasNetwork(nft: Nft, probe: NftProbe, { network, localSubnets }: MasqueradeNetwork): boolean {
  const { egress, network: own } = MASQUERADE_RULES;
  if (probe.countRules("inet", TABLE, EGRESS_CHAIN) !== egress) return false;
  if (probe.countRules("inet", TABLE, masqueradeChain(network)) !== own) return false;
  try {
    for (const subnet of localSubnets) nft.listText(getLocalSubnet(network, subnet));
    return true;
  } catch (error) {
    if (error instanceof NftError) return false;
    throw error;
  }
}

/** What of the attachment's rules is not there, in sentences. */
export function ruleProblems(machine: BridgeMachine, name: AttachmentName, subject: RuleSubject): readonly string[] {
  const { masquerade, macCheck } = intents(name, subject);
  if (masquerade === undefined && macCheck === undefined) return [];
  using nft = machine.openNft();
  return [
    ...(masquerade === undefined
      ? []
      : masqueradeProblems(listTable(machine, "inet", nft), masquerade.network, masquerade.pod)),
    ...(macCheck === undefined ? [] : macCheckProblems(listTable(machine, "bridge", nft), macCheck)),
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
export function deleteRules(machine: BridgeMachine, name: AttachmentName): void {
  const owner = attachmentKey(name);
  runAtOnce(machine, [
    masqueradeRemoval(machine, (elements) => elementsOf(elements, owner)),
    macCheckRemoval(machine, (element) => element.owner === owner),
  ]);
}

/**
 * Removes the network's rules of all attachments but those with the keys, and the MAC checks of ports that are gone.
 * @param portExists whether a link of that name is there
 */
export function pruneRules(
  machine: BridgeMachine,
  network: string,
  validKeys: ReadonlySet<string>,
  portExists: (name: string) => boolean,
): void {
  runAtOnce(machine, [
    masqueradeRemoval(machine, (elements) => staleElements(elements, network, validKeys)),
    macCheckRemoval(machine, ({ key }) => !portExists(key.split('"')[1] ?? "")),
  ]);
}

/** Removes what the network's rules stood on, once it has no attachments, and tables of ours that then hold nothing. */
export function deleteNetworkRules(machine: BridgeMachine, network: string): void {
  deleteMasqueradeNetwork(machine, network);
  deleteTableIfEmpty(machine, "bridge");
}

function deleteMasqueradeNetwork(machine: BridgeMachine, network: string): void {
  if (!probed(machine, (probe) => probe.hasChain("inet", TABLE, masqueradeChain(network)))) return;
  using nft = machine.openNft();
  nft.run(removeMasqueradeNetwork(network));
  deleteTableIfEmpty(machine, "inet");
}

/**
 * Removes our table of the family when it serves nobody: its sets have no elements and all its chains are those that
 * serve sets. The agent's tables have more.
 */
function deleteTableIfEmpty(machine: BridgeMachine, family: NftFamily): void {
  if (!hasTable(machine, family)) return;
  using _lock = lockTables();
  using nft = machine.openNft();
  if (!hasTable(machine, family)) return; // while we waited
  const { sets, chains } = listTable(machine, family, nft);
  const inUse = [...sets.values()].some(({ elements }) => elements.length > 0);
  const others = [...chains.keys()].some((chain) => chain !== EGRESS_CHAIN && chain !== MAC_CHECK_CHAIN);
  if (!inUse && !others) nft.run(`delete table ${family} ${TABLE}\n`);
}

/** nft cannot delete a table on a condition, so nobody may add to ours while it is found empty and deleted. */
function lockTables(): Disposable {
  mkdirSync(RUN_FOLDER, { recursive: true, mode: 0o700 });
  return openLock(`${RUN_FOLDER}/nft.lock`);
}

// Most nodes' DELs have no table to look into, and then the library is not even loaded.
function masqueradeRemoval(
  machine: BridgeMachine,
  choose: (elements: readonly MasqueradeElement[]) => readonly MasqueradeElement[],
): string {
  if (!hasTable(machine, "inet")) return "";
  using nft = machine.openNft();
  return removeMasqueradedPods(choose(masqueradeElements(listSets(machine, "inet", nft, LIST_MASQUERADED_PODS))));
}

function macCheckRemoval(
  machine: BridgeMachine,
  choose: (element: ReturnType<typeof macCheckElements>[number]) => boolean,
): string {
  if (!hasTable(machine, "bridge")) return "";
  using nft = machine.openNft();
  return removeMacChecks(macCheckElements(listSets(machine, "bridge", nft, LIST_MAC_CHECKS)).filter(choose));
}

/** Each transaction that removes something makes the next one wait for an RCU grace period (12 ms). */
function runAtOnce(machine: BridgeMachine, transactions: readonly string[]): void {
  const text = transactions.join("");
  if (text === "") return;
  using nft = machine.openNft();
  nft.run(text);
}

/** The sets that the commands list; when one of them is not there, all that our table has. */
function listSets(machine: BridgeMachine, family: NftFamily, nft: Nft, commands: readonly string[]): Listing {
  if (!hasTable(machine, family)) return EMPTY_LISTING;
  try {
    const listings = commands.map((command) => read(nft, command));
    return { sets: new Map(listings.flatMap(({ sets }) => [...sets])), chains: new Map() };
  } catch (error) {
    if (!(error instanceof NftError)) throw error;
    return listTable(machine, family, nft);
  }
}

/** Our table of the family; an empty listing when there is none. */
function listTable(machine: BridgeMachine, family: NftFamily, nft: Nft): Listing {
  return hasTable(machine, family) ? read(nft, `list table ${family} ${TABLE}`) : EMPTY_LISTING;
}

function read(nft: Nft, command: string): Listing {
  return parseListing(nft.query(command));
}

function hasTable(machine: BridgeMachine, family: NftFamily): boolean {
  return probed(machine, (probe) => probe.hasTable(family, TABLE));
}

function probed<T>(machine: BridgeMachine, question: (probe: NftProbe) => T): T {
  using probe = machine.openNftProbe();
  return question(probe);
}
