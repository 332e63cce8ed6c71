import type { StatusRequest } from "../../cni/plugin.ts";
import type { NodeMachine } from "../node/machine.ts";
import { requireNftables } from "../node/tables.ts";
import { decodeFirewallConf } from "./conf.ts";

/**
 * Whether rules could be made.
 * @throws CniError 7 for the configuration, 50 where nftables cannot be used
 */
export async function status({ conf }: StatusRequest, machine: NodeMachine): Promise<void> {
  decodeFirewallConf(conf);
  requireNftables(machine);
}
