import type { StatusRequest } from "../../cni/plugin.ts";
import type { NodeMachine } from "../node/machine.ts";
import { requireNftables } from "../node/tables.ts";
import { decodePortmapConf } from "./conf.ts";

/**
 * Whether ports could be mapped.
 * @throws CniError 7 for the configuration, 50 where nftables cannot be used
 */
export async function status({ conf }: StatusRequest, machine: NodeMachine): Promise<void> {
  decodePortmapConf(conf);
  requireNftables(machine);
}
