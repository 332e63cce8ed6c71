import { CniError, Code, messageOf } from "../../cni/error.ts";
import type { StatusRequest } from "../../cni/plugin.ts";
import { TABLE } from "../../firewall/nft-text.ts";
import { getLink } from "../../kernel/rtnetlink/link.ts";
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
  if (conf.ipMasq || conf.macSpoofCheck) {
    available("nftables", () => {
      machine.openNft()[Symbol.dispose](); // the library
      using probe = machine.openNftProbe(); // the kernel
      probe.hasTable("inet", TABLE);
    });
  }
  const { ipam } = netConf;
  if (ipam !== undefined) await delegator.status(ipam.type, netConf.raw);
}

function available<T>(what: string, probe: () => T): T {
  try {
    return probe();
  } catch (error) {
    throw new CniError(Code.notAvailable, `${what} cannot be used: ${messageOf(error)}`, { cause: error });
  }
}
