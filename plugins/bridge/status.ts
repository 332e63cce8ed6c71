import { CniError, Code, messageOf } from "../../cni/error.ts";
import type { StatusRequest } from "../../cni/plugin.ts";
import { openNft } from "../../kernel/nftables/nft.ts";
import { getLink } from "../../kernel/rtnetlink/link.ts";
import { openRoute } from "../../kernel/rtnetlink/socket.ts";
import { decodeBridgeConf } from "./conf.ts";

/**
 * Whether an ADD could be served: the configuration is right, the kernel answers, and so does IPAM.
 * @throws CniError 7 for the configuration, 50 with the reason, IPAM's own codes
 */
export async function status({ conf: netConf, delegator }: StatusRequest): Promise<void> {
  const conf = decodeBridgeConf(netConf, { args: {} });
  available("netlink", () => {
    using rt = openRoute();
    const link = getLink(rt, conf.bridge);
    if (link !== undefined && link.kind !== "bridge") {
      throw new Error(`bridge: "${conf.bridge}" is a link of kind ${link.kind ?? "none"}, not a bridge`);
    }
  });
  if (conf.ipMasq || conf.macSpoofCheck) {
    available("nftables", () => {
      using nft = openNft();
      nft.query("list tables");
    });
  }
  const { ipam } = netConf;
  if (ipam !== undefined) await delegator.status(ipam.type, netConf.raw);
}

function available(what: string, probe: () => void): void {
  try {
    probe();
  } catch (error) {
    throw new CniError(Code.notAvailable, `${what} cannot be used: ${messageOf(error)}`, { cause: error });
  }
}
