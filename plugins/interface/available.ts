import { CniError, Code, messageOf } from "../../cni/error.ts";
import { TABLE } from "../../firewall/nft-text.ts";
import type { NodeMachine } from "../node/machine.ts";

/** What the probe gives. @throws CniError 50 with its reason when it fails */
export function available<T>(what: string, probe: () => T): T {
  try {
    return probe();
  } catch (error) {
    throw new CniError(Code.notAvailable, `${what} cannot be used: ${messageOf(error)}`, { cause: error });
  }
}

/** @throws CniError 50 when rules could not be put */
export function requireNftables(machine: NodeMachine): void {
  available("nftables", () => {
    machine.openNft()[Symbol.dispose](); // the library
    using probe = machine.openNftProbe(); // the kernel
    probe.hasTable("inet", TABLE);
  });
}
