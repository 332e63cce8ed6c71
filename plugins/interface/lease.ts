import type { NetConf } from "../../cni/conf.ts";
import type { Delegator } from "../../cni/plugin.ts";
import type { Dns, Interface, Result } from "../../cni/result.ts";
import type { AddressPlan } from "./plan.ts";

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
