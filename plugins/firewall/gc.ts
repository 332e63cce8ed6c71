import type { GcRequest } from "../../cni/plugin.ts";
import { networkElements } from "../../firewall/forwarding.ts";
import { TABLE } from "../../firewall/nft-text.ts";
import { attachmentKey } from "../../kernel/mark.ts";
import { NftError } from "../../kernel/nftables/nft.ts";
import { pruneElements } from "../node/elements.ts";
import type { NodeMachine } from "../node/machine.ts";
import { deleteTableIfEmpty, probed, removeElements } from "../node/tables.ts";
import { decodeFirewallConf } from "./conf.ts";
import { forwardingPart } from "./pods.ts";

/**
 * Removes what this network's attachments have, except of the valid ones; with the last one its bridge's elements, and the
 * administrator's chain unless it has rules or somebody else needs it.
 */
export async function gc({ conf: netConf, validAttachments, phases }: GcRequest, machine: NodeMachine): Promise<void> {
  const conf = decodeFirewallConf(netConf);
  const { name: network } = netConf;
  const keys = validAttachments.map(({ containerId, ifName }) => attachmentKey({ network, containerId, ifName }));
  phases.enter("rules");
  if (keys.length === 0) removeElements(machine, (elements) => networkElements((sets) => elements.list(sets), network));
  pruneElements(machine, forwardingPart(conf), network, new Set(keys));
  if (keys.length > 0) return;
  deleteAdminChain(machine, conf.adminChain);
  for (const family of ["inet", "bridge"] as const) deleteTableIfEmpty(machine, family);
}

/** nft refuses while an element leads to it. */
function deleteAdminChain(machine: NodeMachine, chain: string): void {
  const unused = probed(
    machine,
    (probe) => probe.hasChain("inet", TABLE, chain) && probe.countRules("inet", TABLE, chain) === 0,
  );
  if (!unused) return;
  using nft = machine.openNft();
  try {
    nft.run(`delete chain inet ${TABLE} ${chain}\n`);
  } catch (error) {
    if (!(error instanceof NftError)) throw error;
  }
}
