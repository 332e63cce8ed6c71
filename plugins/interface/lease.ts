import type { NetConf } from "../../cni/conf.ts";
import { messageOf } from "../../cni/error.ts";
import type { Logger } from "../../cni/log.ts";
import type { Delegator } from "../../cni/plugin.ts";
import type { Dns, Interface, Result } from "../../cni/result.ts";
import type { AddressPlan } from "./plan.ts";

/** The IPAM plugin, ours or the reference's, that needs the interface for its DEL too. */
const SPEAKING_IPAM = "dhcp";

/** The addresses of the pod. `release` does nothing until they have been taken. */
export function ipamLease(
  { ipam, raw }: NetConf,
  delegator: Delegator,
): { take: () => Promise<Result | undefined>; release: () => Promise<void> } {
  let taken = false;
  return {
    async take() {
      if (ipam === undefined) return undefined;
      const result = await delegator.add(ipam.type, raw);
      taken = true;
      return result;
    },
    async release() {
      if (ipam !== undefined && taken) await delegator.del(ipam.type, raw);
    },
  };
}

/**
 * Lets IPAM speak over the interface for the last time, before it is removed: `dhcp` tells its server there that the address
 * is free. The DEL that comes when everything is gone finds nothing left of it to do. What fails is only told in the log:
 * a lease ends by itself.
 */
export async function giveBackLease(
  { ipam, raw }: Pick<NetConf, "ipam" | "raw">,
  delegator: Delegator,
  log: Pick<Logger, "warn">,
): Promise<void> {
  if (ipam?.type !== SPEAKING_IPAM) return;
  try {
    await delegator.del(ipam.type, raw);
  } catch (error) {
    log.warn("the lease was not given back while there was an interface", { error: messageOf(error) });
  }
}

/** What the configuration says of names, else what IPAM does. */
export function dnsOf({ dns }: NetConf, leased: Result | undefined): Dns | undefined {
  const said = dns !== undefined && Object.values(dns).some((value) => value !== undefined && value.length > 0);
  return said ? dns : leased?.dns;
}

/** ADD's answer. */
export function makeResult(
  interfaces: readonly Interface[],
  plan: AddressPlan | undefined,
  dns: Dns | undefined,
): Result {
  const { ips = [], routes = [] } = plan ?? {};
  return { interfaces, ips, routes, ...(dns === undefined ? {} : { dns }) };
}
