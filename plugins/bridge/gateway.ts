import { CniError, Code } from "../../cni/error.ts";
import type { IpConfig, Result, Route } from "../../cni/result.ts";
import { isNetlinkError, NetlinkError } from "../../kernel/netlink/error.ts";
import { addAddress, deleteAddress } from "../../kernel/rtnetlink/address.ts";
import type { RouteSocket } from "../../kernel/rtnetlink/socket.ts";
import { ADDRESS_BITS, type Address, addToAddress, type Family, familyOf, isLinkLocal } from "../../net/address.ts";
import {
  contains,
  firstAddress,
  makePrefix,
  networkOf,
  type Prefix,
  parsePrefix,
  prefixAddress,
  prefixFamily,
  prefixLength,
} from "../../net/prefix.ts";
import type { BridgeConf } from "./conf.ts";

/** What the pod and the bridge get, from what IPAM answered. */
export interface AddressPlan {
  readonly ips: readonly IpConfig[];
  readonly routes: readonly Route[];
  /** The bridge's own addresses. */
  readonly gateways: readonly Prefix[];
  /** Families of the pod's addresses. */
  readonly families: readonly Family[];
}

export const DEFAULT_ROUTE = { 4: parsePrefix("0.0.0.0/0"), 6: parsePrefix("::/0") } as const;

/**
 * Completes IPAM's answer as the reference plugin does: with isGateway, an address without a gateway gets the first of
 * its subnet; with isDefaultGateway, a family without a default route gets one by way of its first gateway.
 * @param interfaceIndex of the pod's end in the result's `interfaces`
 * @throws CniError 7 when IPAM gave no address, or a default route that another gateway serves
 */
export function planAddresses(
  leased: Pick<Result, "ips" | "routes">,
  conf: Pick<BridgeConf, "isGateway" | "isDefaultGateway">,
  interfaceIndex: number,
): AddressPlan {
  if (leased.ips.length === 0) {
    throw new CniError(Code.invalidConfig, "ipam: the plugin answered without any address (ips is empty)");
  }
  const ips = leased.ips.map(({ address, gateway }) => {
    const known = gateway ?? (conf.isGateway ? firstHost(address) : undefined);
    return { address, interface: interfaceIndex, ...(known === undefined ? {} : { gateway: known }) };
  });
  const families = [...new Set(ips.map(({ address }) => prefixFamily(address)))];
  const added = conf.isDefaultGateway ? families.flatMap((family) => defaultRoute(family, ips, leased.routes)) : [];
  const gateways = conf.isGateway
    ? ips.flatMap(({ address, gateway }) => (gateway === undefined ? [] : [makePrefix(gateway, prefixLength(address))]))
    : [];
  return { ips, routes: [...leased.routes, ...added], gateways: [...new Set(gateways)], families };
}

function defaultRoute(family: Family, ips: readonly IpConfig[], routes: readonly Route[]): readonly Route[] {
  const dst = DEFAULT_ROUTE[family];
  const gw = gatewayOf(family, ips);
  const present = routes.find((route) => networkOf(route.dst) === dst);
  if (present === undefined) return gw === undefined ? [] : [{ dst, gw }];
  if (present.gw !== undefined && present.gw !== gw) {
    throw new CniError(
      Code.invalidConfig,
      `isDefaultGateway: true has no effect because ipam sets the default route via ${present.gw}; remove one of the two`,
    );
  }
  return [];
}

/** The first gateway of the family. */
export function gatewayOf(family: Family, ips: readonly IpConfig[]): Address | undefined {
  return ips.find(({ address, gateway }) => gateway !== undefined && prefixFamily(address) === family)?.gateway;
}

/** The first address of the subnet after the subnet's own. */
function firstHost(address: Prefix): Address {
  const family = prefixFamily(address);
  const room = ADDRESS_BITS[family] - prefixLength(address);
  if (room < 1) throw new CniError(Code.invalidConfig, `isGateway: the subnet of ${address} has no room for a gateway`);
  return addToAddress(firstAddress(address), 1);
}

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
