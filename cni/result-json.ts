import { prefixFamily } from "../net/prefix.ts";
import { address, array, type Decoder, integer, object, optional, prefix, refine, string } from "./decode.ts";
import { CniError, Code } from "./error.ts";
import type { JsonObject } from "./json.ts";
import type { Dns, Interface, IpConfig, Result, Route } from "./result.ts";
import { atLeast, parseVersion, type Version } from "./version.ts";

/**
 * The result as the given version of the specification defines it, and nothing newer: 0.1.0 and 0.2.0 know one address
 * of each family, up to 0.4.0 an address says its `version`, 1.1.0 adds MTU, socketPath, pciID and the route extras.
 * @throws CniError 1 when 0.1.0 or 0.2.0 is asked for and there is no address: those versions cannot say that.
 */
export function encodeResult(result: Result, version: Version): JsonObject {
  if (!atLeast(version, "0.3.0")) return encodeOldResult(result, version);
  return compact({
    cniVersion: version,
    interfaces: nonEmpty(result.interfaces.map((each) => encodeInterface(each, version))),
    ips: nonEmpty(result.ips.map((each) => encodeIp(each, version))),
    routes: nonEmpty(result.routes.map((each) => encodeRoute(each, version))),
    dns: encodeDns(result.dns),
  });
}

/**
 * Reads a result of any version, a `prevResult` or what a delegate answered; `fallback` is the version of one that does
 * not say. The abbreviated form of IPAM plugins (no interfaces) is welcome.
 * @throws CniError 7 that names the path and the value, 1 for an unknown version.
 */
export function decodeResult(value: unknown, fallback: Version, path = "result"): Result {
  const { cniVersion } = versioned(value, path);
  const version = cniVersion === undefined || cniVersion === "" ? fallback : parseVersion(cniVersion);
  return atLeast(version, "0.3.0") ? result(value, path) : decodeOldResult(value, path);
}

/** Reads a `dns` object. */
export const dns: Decoder<Dns> = object({
  nameservers: optional(array(string)),
  domain: optional(text()),
  search: optional(array(string)),
  options: optional(array(string)),
});

const versioned = object({ cniVersion: optional(string) });

const UINT32 = integer(0, 0xffffffff);

const route: Decoder<Route> = object({
  dst: prefix,
  gw: optional(absentWhenEmpty(address)),
  mtu: optional(UINT32),
  advmss: optional(UINT32),
  priority: optional(UINT32),
  table: optional(UINT32),
  scope: optional(integer(0, 255)),
});

const link: Decoder<Interface> = object({
  name: string,
  mac: optional(text()),
  mtu: optional(UINT32),
  sandbox: optional(text()),
  socketPath: optional(text()),
  pciID: optional(text()),
});

const ip: Decoder<IpConfig> = object({
  address: prefix,
  gateway: optional(absentWhenEmpty(address)),
  // Some plugins write −1 for "no interface".
  interface: optional(refine(integer(-1, 0xffff), (index) => (index < 0 ? undefined : index))),
});

const result: Decoder<Result> = object({
  interfaces: optional(array(link), []),
  ips: optional(array(ip), []),
  routes: optional(array(route), []),
  dns: optional(dns),
});

const oldIp = object({
  ip: prefix,
  gateway: optional(absentWhenEmpty(address)),
  routes: optional(array(object({ dst: prefix, gw: optional(absentWhenEmpty(address)) })), []),
});
const oldResult = object({ ip4: optional(oldIp), ip6: optional(oldIp), dns: optional(dns) });

function decodeOldResult(value: unknown, path: string): Result {
  const { ip4, ip6, dns } = oldResult(value, path);
  const given = [ip4, ip6].filter((each) => each !== undefined);
  return {
    interfaces: [],
    ips: given.map(({ ip, gateway }) => ({ address: ip, ...(gateway === undefined ? {} : { gateway }) })),
    routes: given.flatMap(({ routes }) => routes),
    ...(dns === undefined ? {} : { dns }),
  };
}

function encodeOldResult(result: Result, version: Version): JsonObject {
  const [ip4, ip6] = ([4, 6] as const).map((family) => {
    const first = result.ips.find((each) => prefixFamily(each.address) === family);
    if (first === undefined) return undefined;
    const routes = result.routes.filter((each) => prefixFamily(each.dst) === family);
    return compact({
      ip: first.address,
      gateway: first.gateway,
      routes: nonEmpty(routes.map((each) => encodeRoute(each, version))),
    });
  });
  if (ip4 === undefined && ip6 === undefined) {
    throw new CniError(
      Code.incompatibleVersion,
      `cannot convert: no valid IP addresses, and cniVersion "${version}" has no result without one; use "0.3.0" or newer`,
    );
  }
  return compact({ cniVersion: version, ip4, ip6, dns: encodeDns(result.dns) });
}

function encodeInterface(each: Interface, version: Version): JsonObject {
  const { name, mac, mtu, sandbox, socketPath, pciID } = each;
  return compact({ name, mac, sandbox, ...(atLeast(version, "1.1.0") ? { mtu, socketPath, pciID } : {}) });
}

function encodeIp(each: IpConfig, version: Version): JsonObject {
  const family = atLeast(version, "1.0.0") ? undefined : String(prefixFamily(each.address));
  return compact({ version: family, address: each.address, gateway: each.gateway, interface: each.interface });
}

function encodeRoute(each: Route, version: Version): JsonObject {
  const { dst, gw, mtu, advmss, priority, table, scope } = each;
  return compact({ dst, gw, ...(atLeast(version, "1.1.0") ? { mtu, advmss, priority, table, scope } : {}) });
}

function encodeDns(dns: Dns | undefined): JsonObject | undefined {
  if (dns === undefined) return undefined;
  const { nameservers, domain, search, options } = dns;
  const encoded = compact({
    nameservers: nonEmpty(nameservers),
    domain: domain === "" ? undefined : domain,
    search: nonEmpty(search),
    options: nonEmpty(options),
  });
  return Object.keys(encoded).length === 0 ? undefined : encoded;
}

/** The object without its undefined values. */
function compact(fields: Readonly<Record<string, JsonObject[string] | undefined>>): JsonObject {
  return Object.fromEntries(Object.entries(fields).filter((entry) => entry[1] !== undefined)) as JsonObject;
}

function nonEmpty<T>(items: readonly T[] | undefined): readonly T[] | undefined {
  return items === undefined || items.length === 0 ? undefined : items;
}

/** Go writes "" for an absent string or address. */
function absentWhenEmpty<T>(item: Decoder<T>): Decoder<T | undefined> {
  return (value, path) => (value === "" ? undefined : item(value, path));
}

function text(): Decoder<string | undefined> {
  return absentWhenEmpty(string);
}
