import { readSysctl, writeSysctl } from "../../kernel/sysctl.ts";
import type { Family } from "../../net/address.ts";

/** The key that makes the node a router for the family. */
export const FORWARDING = { 4: "net/ipv4/ip_forward", 6: "net/ipv6/conf/all/forwarding" } as const;

export function isForwarding(family: Family): boolean {
  return readSysctl(FORWARDING[family]) === "1";
}

/** Makes the node a router for these. It stays one: whoever else needs that does not say so anywhere. */
export function enableForwarding(families: readonly Family[]): void {
  for (const family of families) writeSysctl(FORWARDING[family], 1);
}
