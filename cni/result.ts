import type { Address } from "../net/address.ts";
import type { Prefix } from "../net/prefix.ts";

/**
 * The result of ADD in the shape of the newest version, keys as in the specification. What an older version cannot say
 * is left out when it is written (encodeResult) and absent when it was read (decodeResult).
 */
export interface Result {
  /** Every link the plugin made or that an earlier plugin of the chain made; `ips[].interface` counts from 0 here. */
  readonly interfaces: readonly Interface[];
  readonly ips: readonly IpConfig[];
  readonly routes: readonly Route[];
  readonly dns?: Dns;
}

export interface Interface {
  readonly name: string;
  readonly mac?: string;
  readonly mtu?: number;
  /** The namespace's path as the runtime gave it; absent for a link of the host. */
  readonly sandbox?: string;
  readonly socketPath?: string;
  readonly pciID?: string;
}

export interface IpConfig {
  readonly address: Prefix;
  readonly gateway?: Address;
  /** Index into `interfaces`; absent in the abbreviated form that IPAM plugins answer with. */
  readonly interface?: number;
}

export interface Route {
  readonly dst: Prefix;
  readonly gw?: Address;
  readonly mtu?: number;
  readonly advmss?: number;
  readonly priority?: number;
  readonly table?: number;
  readonly scope?: number;
}

export interface Dns {
  readonly nameservers?: readonly string[];
  readonly domain?: string;
  readonly search?: readonly string[];
  readonly options?: readonly string[];
}

/** A result that says nothing. */
export const EMPTY_RESULT: Result = { interfaces: [], ips: [], routes: [] };
