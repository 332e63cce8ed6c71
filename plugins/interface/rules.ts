import { messageOf } from "../../cni/error.ts";
import type { JsonObject } from "../../cni/json.ts";
import type { Logger } from "../../cni/log.ts";
import {
  addMacCheck,
  checkedPort,
  checkedPortElements,
  hasMacCheck,
  MAC_CHECK_SETS,
  type MacCheck,
  macCheckProblems,
} from "../../firewall/mac-check.ts";
import {
  addMasqueradedPod,
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
import { type AttachmentName, attachmentKey, hostVethName } from "../../kernel/mark.ts";
import { isNetlinkError } from "../../kernel/netlink/error.ts";
import type { NftElements } from "../../kernel/nftables/elements.ts";
import type { Mac } from "../../net/mac.ts";
import { networkOf, type Prefix, prefixAddress } from "../../net/prefix.ts";
import type { NodeMachine } from "../node/machine.ts";
import { deleteTableIfEmpty, lockTables, probed, removeElements, viewOf } from "../node/tables.ts";

/** What the rules of an attachment are made of. */
export interface RuleSubject {
  readonly mac: Mac;
  readonly addresses: readonly Prefix[];
  readonly conf: { readonly ipMasq: boolean; readonly macSpoofCheck?: boolean };
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

/** Where the rules of interfaces are. */
const INTERFACE_SETS = [...MASQUERADE_SETS, ...MAC_CHECK_SETS] as const;

/**
 * Puts the attachment's rules, all in one transaction.
 * @returns what takes back the rules, and whatever had to be made for them
 */
export function putRules(machine: NodeMachine, name: AttachmentName, subject: RuleSubject): () => void {
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
export function ruleProblems(machine: NodeMachine, name: AttachmentName, subject: RuleSubject): readonly string[] {
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
export function deleteRules(machine: NodeMachine, name: AttachmentName): void {
  const owner = attachmentKey(name);
  removeElements(machine, (elements) => elements.commented(INTERFACE_SETS, owner));
}

/**
 * Removes the network's rules of all attachments but those with the keys, and the MAC checks of ports that are gone.
 * @param portExists whether a link of that name is there
 */
export function pruneRules(
  machine: NodeMachine,
  network: string,
  validKeys: ReadonlySet<string>,
  portExists: (name: string) => boolean,
): void {
  removeElements(machine, (elements) => [
    ...staleElements(elements.list(MASQUERADE_SETS), network, validKeys),
    ...elements.list(MAC_CHECK_SETS).filter((element) => !portExists(checkedPort(element))),
  ]);
}

/** Removes what the network's rules stood on, once it has no attachments, and tables of ours that then hold nothing. */
export function deleteNetworkRules(machine: NodeMachine, network: string): void {
  deleteMasqueradeNetwork(machine, network);
  deleteTableIfEmpty(machine, "bridge");
}

function deleteMasqueradeNetwork(machine: NodeMachine, network: string): void {
  if (!probed(machine, (probe) => probe.hasChain("inet", TABLE, masqueradeChain(network)))) return;
  using nft = machine.openNft();
  nft.run(removeMasqueradeNetwork(network));
  deleteTableIfEmpty(machine, "inet");
}
