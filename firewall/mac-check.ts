import type { Mac } from "../net/mac.ts";
import type { Listing } from "./listing.ts";
import { quoteComment, TABLE, transaction } from "./nft-text.ts";

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

/** JSON listings of these hold all that {@link removeMacChecks} needs. They fail while the table does not exist. */
export const LIST_MAC_CHECKS = [`list set bridge ${TABLE} ${PORTS}`, `list set bridge ${TABLE} ${MACS}`] as const;

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

/** The port's elements alone; the table must be there. */
export function addCheckedPort({ owner, port, mac }: MacCheck): string {
  const comment = quoteComment(owner);
  return transaction(
    // The address first: a port with none noted could send nothing.
    `add element bridge ${TABLE} ${MACS} { "${port}" . ${mac} comment ${comment} }`,
    `add element bridge ${TABLE} ${PORTS} { "${port}" comment ${comment} }`,
  );
}

/** An element of either set. */
export interface MacCheckElement {
  readonly set: string;
  /** In nft's words: `"pw0123" . 0a:58:0a:16:00:02`. */
  readonly key: string;
  readonly owner: string;
}

/** The elements in listings made by {@link LIST_MAC_CHECKS}, or of the whole table. */
export function macCheckElements(listing: Listing): MacCheckElement[] {
  return [PORTS, MACS].flatMap((set) =>
    (listing.sets.get(set)?.elements ?? []).map(({ key, comment }) => {
      const [port = "", ...mac] = key.split(" . ");
      return { set, key: [`"${port}"`, ...mac].join(" . "), owner: comment ?? "" };
    }),
  );
}

/** Removes elements that a listing showed; those already gone are no error. "" when there are none. */
export function removeMacChecks(elements: readonly MacCheckElement[]): string {
  return transaction(
    elements.flatMap(({ set, key }) => [
      `add element bridge ${TABLE} ${set} { ${key} }`,
      `delete element bridge ${TABLE} ${set} { ${key} }`,
    ]),
  );
}

/** What is missing for the port to be checked, as sentences for CHECK; the listing is of the whole bridge table. */
export function macCheckProblems(listing: Listing, { owner, port, mac }: MacCheck): string[] {
  const problems: string[] = [];
  if (listing.chains.get(MAC_CHECK_CHAIN)?.rules.length !== 1) {
    problems.push(`chain ${MAC_CHECK_CHAIN} of table bridge ${TABLE} is missing or was changed`);
  }
  const own = macCheckElements(listing).filter((element) => element.owner === owner);
  for (const key of [`"${port}"`, `"${port}" . ${mac}`]) {
    if (!own.some((element) => element.key === key))
      problems.push(`${key} is not in the sets of table bridge ${TABLE}`);
  }
  return problems;
}
