import { CniError, Code } from "../../cni/error.ts";
import type { IpConfig, Result, Route } from "../../cni/result.ts";
import { ADDRESS_BITS, type Address, addToAddress, type Family } from "../../net/address.ts";
import {
  firstAddress,
  makePrefix,
  networkOf,
  type Prefix,
  parsePrefix,
  prefixFamily,
  prefixLength,
} from "../../net/prefix.ts";

/** What the pod and its gateway get, from what IPAM answered. */
export interface AddressPlan {
  readonly ips: readonly IpConfig[];
  readonly routes: readonly Route[];
  /** The addresses of the gateway itself, where the node is it. */
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
  conf: { readonly isGateway: boolean; readonly isDefaultGateway: boolean },
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
