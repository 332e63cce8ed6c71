import { mkdirSync, writeFileSync } from "node:fs";
import { bridgeNetwork, type Network, type Stand } from "./stand.ts";

/** How many addresses of the /16 are taken in the rows about full networks. */
export const TAKEN = [10, 1000, 10_000, 60_000] as const;

export function takenName(taken: number): string {
  return `taken${taken}`;
}

/** A network of a /16, on whose node {@link fill} has put so many reservations. */
export function takenNetwork(taken: number, keys: object = {}): Network {
  const second = 100 + TAKEN.indexOf(taken as (typeof TAKEN)[number]);
  return bridgeNetwork(takenName(taken), [`10.${second}.0.0/16`], { bridge: `br-t${taken}`, ...keys });
}

/** The same network's addresses alone, by the IPAM plugin. */
export function takenAddresses(taken: number): Network {
  const { conf } = takenNetwork(taken);
  return { conf: { ...conf, type: "host-local" } };
}

/**
 * Writes reservations as the reference's host-local does (its pkg/backend/disk): a file an address, in it the container
 * and the interface; from .0.2 on, and the last of them as the last reserved.
 */
export function fill({ node, pods }: Stand, taken: number): void {
  const folder = node.path(`/var/lib/cni/networks/${takenName(taken)}`);
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  const second = 100 + TAKEN.indexOf(taken as (typeof TAKEN)[number]);
  const at = (i: number) => `10.${second}.${(i + 2) >> 8}.${(i + 2) & 255}`;
  for (let i = 0; i < taken; i++)
    writeFileSync(`${folder}/${at(i)}`, `other-${pods.length}-${i}\r\neth0`, { mode: 0o600 });
  writeFileSync(`${folder}/last_reserved_ip.0`, at(taken - 1), { mode: 0o600 });
}
