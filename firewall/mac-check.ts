import type { NftElement, NftSetName } from "../kernel/nftables/element-message.ts";
import { type Mac, macToBytes } from "../net/mac.ts";
import { type NftView, quoteComment, TABLE, transaction } from "./nft-text.ts";

/**
 * The bridge's `macspoofchk`: a frame enters through a checked port only with the MAC address noted for it. One rule;
 * a port is one element in each of two sets, with the attachment's key as comment.
 */
export interface MacCheck {
  /** Of kernel/mark.ts attachmentKey. */
  readonly owner: string;
  /** The bridge port: the host's end of the veth. */
  readonly port: string;
  readonly mac: Mac;
}

export const MAC_CHECK_CHAIN = "mac_check";
const PORTS = "checked_ports";
const MACS = "port_macs";

/** IFNAMSIZ, <linux/if.h>; and what six bytes take in a concatenation. */
const NAME_BYTES = 16;
const MAC_BYTES = 8;

/** Where the ports are. */
export const MAC_CHECK_SETS: readonly NftSetName[] = [PORTS, MACS].map(bridgeSet);

function bridgeSet(set: string): NftSetName {
  return { family: "bridge", table: TABLE, set };
}

/** The table, its rule and the port's elements as one transaction; run again, it changes nothing. */
export function addMacCheck(check: MacCheck): string {
  return transaction(
    `add table bridge ${TABLE}`,
    `add set bridge ${TABLE} ${PORTS} { type ifname; }`,
    `add set bridge ${TABLE} ${MACS} { type ifname . ether_addr; }`,
    `add chain bridge ${TABLE} ${MAC_CHECK_CHAIN} { type filter hook prerouting priority -300; policy accept; }`,
    `flush chain bridge ${TABLE} ${MAC_CHECK_CHAIN}`,
    `add rule bridge ${TABLE} ${MAC_CHECK_CHAIN} iifname @${PORTS} iifname . ether saddr != @${MACS} drop`,
  ).concat(addCheckedPort(check));
}

function addCheckedPort({ owner, port, mac }: MacCheck): string {
  const comment = quoteComment(owner);
  return transaction(
    // The address first: a port with none noted could send nothing.
    `add element bridge ${TABLE} ${MACS} { "${port}" . ${mac} comment ${comment} }`,
    `add element bridge ${TABLE} ${PORTS} { "${port}" comment ${comment} }`,
  );
}

/** The port's elements alone, for the usual ADD: the table is there. */
export function checkedPortElements({ owner, port, mac }: MacCheck): NftElement[] {
  const name = Buffer.alloc(NAME_BYTES);
  name.write(port);
  const nameAndMac = Buffer.alloc(NAME_BYTES + MAC_BYTES);
  nameAndMac.write(port);
  nameAndMac.set(macToBytes(mac), NAME_BYTES);
  return [
    { of: bridgeSet(MACS), key: nameAndMac, comment: owner },
    { of: bridgeSet(PORTS), key: name, comment: owner },
  ];
}

/** The port that an element of either set is about. */
export function checkedPort({ key }: NftElement): string {
  const name = Buffer.from(key.subarray(0, NAME_BYTES));
  const end = name.indexOf(0);
  return name.toString("utf8", 0, end < 0 ? name.length : end);
}

/** Whether table and rule are there. */
export function hasMacCheck(view: NftView): boolean {
  return view.countRules("bridge", TABLE, MAC_CHECK_CHAIN) === 1;
}

/** What is missing for the port to be checked, as sentences for CHECK. */
export function macCheckProblems(view: NftView, check: MacCheck): string[] {
  const problems: string[] = [];
  if (!hasMacCheck(view)) problems.push(`chain ${MAC_CHECK_CHAIN} of table bridge ${TABLE} is missing or was changed`);
  for (const { of, key } of checkedPortElements(check)) {
    if (view.get(of, key)?.comment === check.owner) continue;
    const { port, mac } = check;
    const text = of.set === MACS ? `"${port}" . ${mac}` : `"${port}"`;
    problems.push(`${text} is not in the sets of table bridge ${TABLE}`);
  }
  return problems;
}
