import { readdirSync } from "node:fs";
import { CniError, Code } from "../../cni/error.ts";
import { makeRange, rangeSize } from "../../ipam/range.ts";
import { addressOfFile } from "../../ipam/reservation.ts";
import type { Address } from "../../net/address.ts";
import { contains } from "../../net/prefix.ts";
import type { NodeLease } from "./lease.ts";

/** One in so many addresses is kept back, so that STATUS says no while pods that are on their way still get one. */
const KEPT_BACK = 64n;

/**
 * Says when the node's subnet is nearly used up, before an ADD fails.
 * @param folder host-local's, with a file an address
 * @throws CniError 50 with the counts
 */
export function refuseNearExhaustion({ network, subnets }: NodeLease, folder: string): void {
  const taken = listTaken(folder);
  const scarce = subnets.flatMap((subnet) => {
    const size = rangeSize(makeRange({ subnet, path: "subnets" }));
    const left = size - BigInt(taken.filter((address) => contains(subnet, address)).length);
    const least = size / KEPT_BACK || 1n;
    return left > least ? [] : [`${subnet} has ${left} of ${size} addresses left`];
  });
  if (scarce.length === 0) return;
  throw new CniError(
    Code.notAvailable,
    `this node's subnet in network "${network}" is nearly used up: ${scarce.join("; ")}; remove pods, run GC, or give the network larger subnets`,
  );
}

function listTaken(folder: string): Address[] {
  try {
    return readdirSync(folder).flatMap((name) => addressOfFile(name) ?? []);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw new CniError(Code.notAvailable, `reservations in ${folder} cannot be listed: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
