import { mkdirSync } from "node:fs";
import { messageOf } from "../../cni/error.ts";
import type { JsonObject } from "../../cni/json.ts";
import type { Logger } from "../../cni/log.ts";
import { parseListing } from "../../firewall/listing.ts";
import {
  addMacCheck,
  checkedPort,
  checkedPortElements,
  hasMacCheck,
  MAC_CHECK_CHAIN,
  MAC_CHECK_SETS,
  type MacCheck,
  macCheckProblems,
} from "../../firewall/mac-check.ts";
import {
  addMasqueradedPod,
  EGRESS_CHAIN,
  ensureMasqueradeNetwork,
  MASQUERADE_SETS,
  type MasqueradedPod,
  type MasqueradeNetwork,
  masqueradeChain,
  masqueradedPodElements,
  masqueradeNetworkProblems,
  masqueradeProblems,
  removeMasqueradeNetwork,
  staleElements,
} from "../../firewall/masquerade.ts";
import { type NftView, TABLE } from "../../firewall/nft-text.ts";
import { openLock } from "../../kernel/flock.ts";
import { type AttachmentName, attachmentKey, hostVethName } from "../../kernel/mark.ts";
import { isNetlinkError } from "../../kernel/netlink/error.ts";
import type { NftElement } from "../../kernel/nftables/element-message.ts";
import type { NftElements } from "../../kernel/nftables/elements.ts";
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

/** What an attachment needs. */
interface Intents {
  readonly masquerade: Masquerade | undefined;
  readonly macCheck: MacCheck | undefined;
}

/** All sets that have elements of attachments. */
export const RULE_SETS = [...MASQUERADE_SETS, ...MAC_CHECK_SETS] as const;

const RUN_FOLDER = "/run/podwire";
/** How many times elements that others remove at the same moment are looked for. */
const ATTEMPTS = 5;

/**
 * Puts the attachment's rules, all in one transaction.
 * @returns what takes back the rules, and whatever had to be made for them
 */
export function putRules(machine: BridgeMachine, name: AttachmentName, subject: RuleSubject): () => void {
  const { network } = name;
  const intended = intents(name, subject);
  const { masquerade, macCheck } = intended;
  if (masquerade === undefined && macCheck === undefined) return () => {};
  using _lock = lockTables();
  using probe = machine.openNftProbe();
  using elements = machine.openNftElements();
  const view = viewOf(probe, elements);
  if (isPrepared(view, intended) && createRules(elements, intended)) return () => deleteRules(machine, name);

  const fresh = {
    network: masquerade !== undefined && !probe.hasChain("inet", TABLE, masqueradeChain(network)),
    bridge: macCheck !== undefined && !probe.hasTable("bridge", TABLE),
  };
  using nft = machine.openNft();
  nft.run(masqueradeText(masquerade, elements) + (macCheck === undefined ? "" : addMacCheck(macCheck)));
  return () => {
    deleteRules(machine, name);
    if (fresh.network) deleteMasqueradeNetwork(machine, network);
    if (fresh.bridge) deleteTableIfEmpty(machine, "bridge");
  };
}

function viewOf(probe: NftProbe, elements: NftElements): NftView {
  return {
    countRules: (family, table, chain) => probe.countRules(family, table, chain),
    get: (set, key) => elements.get(set, key),
  };
}

/** Whether all is there that serves more than one attachment, as far as CHECK would notice. */
function isPrepared(view: NftView, { masquerade, macCheck }: Intents): boolean {
  if (macCheck !== undefined && !hasMacCheck(view)) return false;
  return masquerade === undefined || masqueradeNetworkProblems(view, masquerade.network).length === 0;
}

/** The attachment's own elements, which are usually all that is missing; false when one of them is there already. */
function createRules(elements: NftElements, { masquerade, macCheck }: Intents): boolean {
  try {
    elements.change({
      create: [
        ...(masquerade === undefined ? [] : masqueradedPodElements(masquerade.pod)),
        ...(macCheck === undefined ? [] : checkedPortElements(macCheck)),
      ],
    });
    return true;
  } catch (error) {
    if (isNetlinkError(error, "EEXIST", "ENOENT")) return false;
    throw error;
  }
}

/** What is left there by a lost DEL, or by a network that was renamed, goes: the addresses are this pod's now. */
function masqueradeText(masquerade: Masquerade | undefined, elements: NftElements): string {
  if (masquerade === undefined) return "";
  const present = masqueradedPodElements(masquerade.pod).flatMap(({ of, key }) => elements.get(of, key) ?? []);
  return ensureMasqueradeNetwork(masquerade.network) + addMasqueradedPod(masquerade.pod, present);
}

/** What of the attachment's rules is not there, in sentences. */
export function ruleProblems(machine: BridgeMachine, name: AttachmentName, subject: RuleSubject): readonly string[] {
  const { masquerade, macCheck } = intents(name, subject);
  if (masquerade === undefined && macCheck === undefined) return [];
  using probe = machine.openNftProbe();
  using elements = machine.openNftElements();
  const view = viewOf(probe, elements);
  return [
    ...(masquerade === undefined ? [] : masqueradeProblems(view, masquerade.network, masquerade.pod)),
    ...(macCheck === undefined ? [] : macCheckProblems(view, macCheck)),
  ];
}

function intents(name: AttachmentName, { mac, addresses, conf }: RuleSubject): Intents {
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
  removeElements(machine, (elements) => elements.commented(RULE_SETS, owner));
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
  removeElements(machine, (elements) => [
    ...staleElements(elements.list(MASQUERADE_SETS), network, validKeys),
    ...elements.list(MAC_CHECK_SETS).filter((element) => !portExists(checkedPort(element))),
  ]);
}

/** One transaction. One that somebody else was faster to remove makes the kernel refuse it, and then we look again. */
function removeElements(machine: BridgeMachine, choose: (elements: NftElements) => readonly NftElement[]): void {
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
  const { sets, chains } = parseListing(nft.query(`list table ${family} ${TABLE}`));
  const inUse = [...sets.values()].some(({ elements }) => elements.length > 0);
  const others = [...chains.keys()].some((chain) => chain !== EGRESS_CHAIN && chain !== MAC_CHECK_CHAIN);
  if (!inUse && !others) nft.run(`delete table ${family} ${TABLE}\n`);
}

/** nft cannot delete a table on a condition, so nobody may add to ours while it is found empty and deleted. */
function lockTables(): Disposable {
  mkdirSync(RUN_FOLDER, { recursive: true, mode: 0o700 });
  return openLock(`${RUN_FOLDER}/nft.lock`);
}

function hasTable(machine: BridgeMachine, family: NftFamily): boolean {
  return probed(machine, (probe) => probe.hasTable(family, TABLE));
}

function probed<T>(machine: BridgeMachine, question: (probe: NftProbe) => T): T {
  using probe = machine.openNftProbe();
  return question(probe);
}
