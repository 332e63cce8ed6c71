import { CniError, Code } from "../../cni/error.ts";
import { isNetlinkError, NetlinkError } from "../../kernel/netlink/error.ts";
import { addAddress, deleteAddress } from "../../kernel/rtnetlink/address.ts";
import type { RouteSocket } from "../../kernel/rtnetlink/socket.ts";
import { familyOf, isLinkLocal } from "../../net/address.ts";
import { contains, type Prefix, prefixAddress } from "../../net/prefix.ts";

/**
 * Gives the bridge the address unless it has it. IPv4 subnets of the bridge, and overlapping ones of IPv6, take one
 * address each.
 * @param present the bridge's addresses, of the gateway's family at least
 * @returns what undoes it; undefined when nothing was to do
 * @throws CniError 7 when the bridge has another address in that subnet and forceAddress is not set
 */
export function ensureGateway(
  rt: RouteSocket,
  bridge: { readonly index: number; readonly name: string },
  gateway: Prefix,
  { present, forceAddress }: { readonly present: readonly Prefix[]; readonly forceAddress: boolean },
): (() => void) | undefined {
  if (present.includes(gateway)) return undefined;
  const conflicting = present.filter((address) => !isLinkLocal(prefixAddress(address)) && sameSubnet(address, gateway));
  if (conflicting.length > 0 && !forceAddress) {
    throw new CniError(
      Code.invalidConfig,
      `bridge: "${bridge.name}" has the address ${conflicting.join(", ")} where ${gateway} is wanted; set forceAddress: true to replace it`,
    );
  }
  for (const address of conflicting) deleteAddress(rt, { index: bridge.index, address }, { missingOk: true });
  putAddress(rt, bridge.index, gateway);
  return () => {
    deleteAddress(rt, { index: bridge.index, address: gateway }, { missingOk: true });
    for (const address of conflicting) putAddress(rt, bridge.index, address);
  };
}

function sameSubnet(a: Prefix, b: Prefix): boolean {
  return contains(a, prefixAddress(b)) || contains(b, prefixAddress(a));
}

/** Another attachment that was quicker is fine. @throws CniError 7 when the kernel refuses it */
function putAddress(rt: RouteSocket, index: number, address: Prefix): void {
  const noDad = familyOf(prefixAddress(address)) === 6;
  try {
    addAddress(rt, { index, address, ...(noDad ? { noDad } : {}) });
  } catch (error) {
    if (isNetlinkError(error, "EEXIST")) return;
    if (!(error instanceof NetlinkError)) throw error;
    throw new CniError(Code.invalidConfig, `ips: gateway ${address} refused by the kernel: ${error.message}`, {
      cause: error,
    });
  }
}
