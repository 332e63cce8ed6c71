import { type Address, addressFromBytes, isUnspecified } from "../net/address.ts";
import { makePrefix, networkOf, type Prefix, parsePrefix } from "../net/prefix.ts";
import { ANY, type DhcpMessage, Option, type Options } from "./message.ts";

/** What a server grants with DHCPACK. Times are milliseconds on the clock of the caller; undefined: never. */
export interface Terms {
  readonly address: Prefix;
  readonly server: Address;
  readonly gateway?: Address;
  readonly routes: readonly LeasedRoute[];
  /** T1: from here on the server is asked for more time. */
  readonly renewAt: number | undefined;
  /** T2: from here on any server is. */
  readonly rebindAt: number | undefined;
  readonly expiresAt: number | undefined;
}

/** A route that the server tells. Without a gateway the destination is on the link itself. */
export interface LeasedRoute {
  readonly dst: Prefix;
  readonly gw?: Address;
}

/** As the reference plugin has it for a server that says nothing. */
const DEFAULT_LEASE_S = 3600;
const INFINITE = 0xffffffff;
/** RFC 2131 section 4.4.5. */
const [T1_SHARE, T2_SHARE] = [0.5, 0.875];
const DEFAULT_ROUTE = parsePrefix("0.0.0.0/0");

/**
 * What the server grants, or offers.
 * @param since when the request was sent: the lease counts from there (RFC 2131 section 4.4.1)
 * @throws RangeError that says what the message lacks
 */
export function readTerms({ yiaddr, options }: Pick<DhcpMessage, "yiaddr" | "options">, since: number): Terms {
  const [server] = readAddresses(options, Option.server);
  if (server === undefined) throw new RangeError("a server does not say who it is (option 54)");
  if (isUnspecified(yiaddr)) throw new RangeError(`server ${server} gives no address`);
  const [mask] = readAddresses(options, Option.subnetMask);
  if (mask === undefined) {
    throw new RangeError(
      `server ${server} gives ${yiaddr} without a subnet mask (option 1); it must send one, and ipam.request ask for it`,
    );
  }
  const [gateway] = readAddresses(options, Option.routers);
  return {
    address: makePrefix(yiaddr, lengthOfMask(mask)),
    server,
    ...(gateway === undefined ? {} : { gateway }),
    routes: readRoutes(options, gateway),
    ...readTimes(options, since),
  };
}

/** The addresses of an option that lists them; a rest of fewer than four bytes is left out. */
export function readAddresses(options: Options, code: number): readonly Address[] {
  const value = options.get(code) ?? new Uint8Array();
  return Array.from({ length: value.length >> 2 }, (_, i) => addressFromBytes(value.subarray(4 * i, 4 * i + 4)));
}

function readTimes(options: Options, since: number): Pick<Terms, "renewAt" | "rebindAt" | "expiresAt"> {
  const lease = readSeconds(options, Option.leaseTime) ?? DEFAULT_LEASE_S;
  if (lease === INFINITE) return { renewAt: undefined, rebindAt: undefined, expiresAt: undefined };
  const rebind = within(readSeconds(options, Option.rebindingTime), lease) ?? lease * T2_SHARE;
  const renew = within(readSeconds(options, Option.renewalTime), rebind) ?? Math.min(lease * T1_SHARE, rebind);
  return { renewAt: since + renew * 1000, rebindAt: since + rebind * 1000, expiresAt: since + lease * 1000 };
}

function within(seconds: number | undefined, most: number): number | undefined {
  return seconds !== undefined && seconds <= most ? seconds : undefined;
}

function readSeconds(options: Options, code: number): number | undefined {
  const value = options.get(code);
  return value?.length === 4 ? new DataView(value.buffer, value.byteOffset, 4).getUint32(0) : undefined;
}

/** Classless routes replace all others (RFC 3442); else static ones (option 33), and the default route by the router. */
function readRoutes(options: Options, gateway: Address | undefined): readonly LeasedRoute[] {
  const classless = readClasslessRoutes(options.get(Option.classlessRoutes) ?? new Uint8Array());
  if (classless.length > 0) return classless;
  const pairs = readAddresses(options, Option.staticRoutes);
  const routes: LeasedRoute[] = [];
  for (let i = 0; i + 1 < pairs.length; i += 2) {
    const [destination, gw] = [pairs[i], pairs[i + 1]];
    if (destination === undefined || gw === undefined || isUnspecified(destination)) continue; // RFC 2132 section 5.8
    routes.push({ dst: networkOf(makePrefix(destination, classOf(destination))), gw });
  }
  return gateway === undefined ? routes : [...routes, { dst: DEFAULT_ROUTE, gw: gateway }];
}

/** What comes before a part that is wrong counts. */
function readClasslessRoutes(value: Uint8Array): readonly LeasedRoute[] {
  const routes: LeasedRoute[] = [];
  for (let at = 0; at < value.length; ) {
    const length = value[at] ?? 0;
    const significant = Math.ceil(length / 8);
    const end = at + 1 + significant + 4;
    if (length > 32 || end > value.length) return routes;
    const destination = new Uint8Array(4);
    destination.set(value.subarray(at + 1, at + 1 + significant));
    const gw = addressFromBytes(value.subarray(end - 4, end));
    const dst = networkOf(makePrefix(addressFromBytes(destination), length));
    routes.push(gw === ANY ? { dst } : { dst, gw });
    at = end;
  }
  return routes;
}

/** Of the address's class, as there was before CIDR. */
function classOf(address: Address): number {
  const first = Number(address.split(".")[0]);
  if (first < 128) return 8;
  return first < 192 ? 16 : 24;
}

/** @throws RangeError for a mask with a hole */
function lengthOfMask(mask: Address): number {
  const bits = mask
    .split(".")
    .map((byte) => Number(byte).toString(2).padStart(8, "0"))
    .join("");
  const ones = bits.indexOf("0") === -1 ? 32 : bits.indexOf("0");
  if (bits.includes("1", ones)) throw new RangeError(`the subnet mask ${mask} (option 1) has a hole`);
  return ones;
}
