import { CniError, Code } from "../../cni/error.ts";
import type { StatusRequest } from "../../cni/plugin.ts";
import { getLink } from "../../kernel/rtnetlink/link.ts";
import { available, requireNftables } from "../interface/available.ts";
import type { NodeMachine } from "../node/machine.ts";
import { decodeBridgeConf } from "./conf.ts";

/**
 * Whether an ADD could be served: the configuration is right, the kernel answers, and so does IPAM.
 * @throws CniError 7 for the configuration, 50 with the reason, IPAM's own codes
 */
export async function status({ conf: netConf, delegator }: StatusRequest, machine: NodeMachine): Promise<void> {
  const conf = decodeBridgeConf(netConf, { args: {} });
  const kind = available("netlink", () => {
    using rt = machine.openNode();
    const link = getLink(rt, conf.bridge);
    return link === undefined ? "bridge" : link.kind;
  });
  if (kind !== "bridge") {
    throw new CniError(
      Code.notAvailable,
      `bridge: "${conf.bridge}" is a link of kind ${kind ?? "none"}, not a bridge; choose another name`,
    );
  }
  if (conf.ipMasq || conf.macSpoofCheck) requireNftables(machine);
  const { ipam } = netConf;
  if (ipam !== undefined) await delegator.status(ipam.type, netConf.raw);
}
