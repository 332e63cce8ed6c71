import { createHash } from "node:crypto";
import { localMacFromHash, type Mac } from "../net/mac.ts";

/**
 * The MAC address of a node's VXLAN device in static mode. Derived, so that a device made anew has the one that all
 * peers already know, and nobody need publish it.
 */
export function vtepMac(network: string, nodeId: string): Mac {
  return localMacFromHash(createHash("sha256").update(`vtep/${network}/${nodeId}`).digest());
}
