import type { AddRequest } from "../../cni/plugin.ts";
import type { Result } from "../../cni/result.ts";
import { allocate, formatUsage, sizeOf, usage } from "../../ipam/allocator.ts";
import type { DiskStore } from "../../ipam/disk.ts";
import type { RangeSet } from "../../ipam/range.ts";
import { decodeRequested } from "./conf.ts";
import { diskOptions, type Machine } from "./machine.ts";
import { readResolvConf } from "./resolv-conf.ts";

/** Reserves one address of each range set, or none. */
export async function add(request: AddRequest, machine: Machine): Promise<Result> {
  const { conf, attachment } = request;
  const { sets, routes, dataDir, resolvConf } = machine.decodeConf(conf);
  const requested = decodeRequested(conf, attachment.args);
  const dns = resolvConf === undefined ? undefined : readResolvConf(machine.files, resolvConf);

  const leases = machine.reservations(diskOptions(machine, request, dataDir), true, (store) => {
    const allocated = allocate({ sets, store, attachment, requested });
    warnWhenNearlyFull(request, sets, store);
    return allocated;
  });
  return { interfaces: [], ips: leases ?? [], routes, ...(dns === undefined ? {} : { dns }) };
}

/** Counts only when enough addresses are taken for any set to be 90 % full: the count reads more of the index. */
function warnWhenNearlyFull({ conf, log }: AddRequest, sets: readonly RangeSet[], store: DiskStore): void {
  const nearlyFull = (taken: number, size: bigint) => BigInt(taken) * 10n >= size * 9n;
  if (!sets.some((set) => nearlyFull(store.count, sizeOf(set)))) return;
  for (const each of usage(sets, store)) {
    if (nearlyFull(each.taken, each.size)) {
      log.warn("range set is nearly exhausted", { network: conf.name, ranges: formatUsage(each) });
    }
  }
}
