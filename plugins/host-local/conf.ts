import { isAbsolute } from "node:path";
import type { NetConf } from "../../cni/conf.ts";
import {
  anyObject,
  array,
  type Decoder,
  invalid,
  network,
  object,
  optional,
  prefix,
  refine,
  string,
} from "../../cni/decode.ts";
import { CniError, Code } from "../../cni/error.ts";
import type { Route } from "../../cni/result.ts";
import type { RequestedAddress } from "../../ipam/allocator.ts";
import { checkFamilies, optionalAddress, routeOf } from "../../ipam/conf-keys.ts";
import { checkDisjoint, checkRangeSet, makeRange, type Range, type RangeSet } from "../../ipam/range.ts";
import { type Address, isAddress, parseAddress } from "../../net/address.ts";
import { parsePrefix, prefixAddress } from "../../net/prefix.ts";

/** What the plugin reads of a configuration for ADD, CHECK and STATUS. */
export interface HostLocalConf {
  /** One address is handed out of each. The index names `last_reserved_ip.N`. */
  readonly sets: readonly RangeSet[];
  readonly routes: readonly Route[];
  readonly dataDir: string;
  /** A file in resolv.conf(5)'s format to answer `dns` from. */
  readonly resolvConf?: string;
}

/** Where reservations are kept when `ipam.dataDir` is not given; the reference plugin's folder. */
export const DEFAULT_DATA_DIR = "/var/lib/cni/networks";

const range: Decoder<Range> = (value, path) => {
  const fields = { subnet: prefix, rangeStart: optionalAddress, rangeEnd: optionalAddress, gateway: optionalAddress };
  return makeRange({ ...object(fields)(value, path), path });
};

/** Keeps where each set was written, for errors that concern two of them. */
interface PlacedSet {
  readonly set: RangeSet;
  readonly path: string;
}

const rangeSet: Decoder<PlacedSet> = (value, path) => {
  const set = array(range)(value, path);
  checkRangeSet(set, path);
  return { set, path };
};

const rangeSets = optional(array(rangeSet), []);

/** An absolute path without `..`, so that it means the same for whoever runs us. */
const path: Decoder<string> = (value, at) => {
  const text = string(value, at);
  if (!isAbsolute(text) || text.split("/").includes("..") || text.includes("\0")) {
    throw invalid(at, value, `is not an absolute path without ".."; name one such as ${DEFAULT_DATA_DIR}`);
  }
  return text;
};

/** Go leaves the default in place for an empty string. */
const optionalPath: Decoder<string | undefined> = (value, at) => (value === "" ? undefined : optional(path)(value, at));

/** An address; a prefix length after it is allowed and does not matter: the range's subnet decides. */
const requestedAddress: Decoder<Address> = refine(string, (text) =>
  text.includes("/") ? prefixAddress(parsePrefix(text)) : parseAddress(text),
);
const requestedAddresses = optional(array(requestedAddress), []);

/**
 * Reads and checks every key. Ranges of `runtimeConfig.ipRanges` come first, then the single range of the old form,
 * then `ipam.ranges`.
 * @throws CniError 7 naming key, value and remedy.
 */
export function decodeConf(conf: NetConf): HostLocalConf {
  if (conf.raw.ipam === undefined) throw new CniError(Code.invalidConfig, "ipam is missing; give it type and ranges");
  const ipam = object({
    ranges: rangeSets,
    routes: optional(array(routeOf(network)), []),
    dataDir: optionalPath,
    resolvConf: optionalPath,
  })(conf.raw.ipam, "ipam");
  const placed = [
    ...object({ ipRanges: rangeSets })(conf.runtimeConfig, "runtimeConfig").ipRanges,
    ...oldForm(conf),
    ...ipam.ranges,
  ];
  if (placed.length === 0) {
    throw new CniError(Code.invalidConfig, 'ipam.ranges: [] holds no range set; write [[{"subnet": "10.22.0.0/16"}]]');
  }
  checkDisjoint(placed);
  checkFamilies(
    conf.cniVersion,
    placed.flatMap(({ set: [first], path }) => (first === undefined ? [] : [{ prefix: first.subnet, path }])),
  );
  return {
    sets: placed.map(({ set }) => set),
    routes: ipam.routes,
    dataDir: ipam.dataDir ?? DEFAULT_DATA_DIR,
    ...(ipam.resolvConf === undefined ? {} : { resolvConf: ipam.resolvConf }),
  };
}

/**
 * Only where the reservations are: DEL and GC need nothing else, so nothing else can make them fail.
 * @throws CniError 7
 */
export function decodeDataDir(conf: NetConf): string {
  const ipam = optional(anyObject, {})(conf.raw.ipam, "ipam");
  return optionalPath(ipam.dataDir, "ipam.dataDir") ?? DEFAULT_DATA_DIR;
}

/**
 * The addresses that the runtime asks for: CNI_ARGS `IP`, then `args.cni.ips`, then `runtimeConfig.ips`.
 * @throws CniError 4 for CNI_ARGS, 7 for the others.
 */
export function decodeRequested(conf: NetConf, cniArgs: Readonly<Record<string, string>>): readonly RequestedAddress[] {
  const cni = optional(anyObject, {})(conf.args.cni, "args.cni");
  return [
    ...fromCniArgs(cniArgs.IP),
    ...placedAddresses(cni.ips, "args.cni.ips"),
    ...placedAddresses(conf.runtimeConfig.ips, "runtimeConfig.ips"),
  ];
}

function fromCniArgs(text: string | undefined): readonly RequestedAddress[] {
  if (text === undefined || text === "") return [];
  const [wanted = ""] = text.split("/");
  if (!isAddress(wanted)) throw invalid("CNI_ARGS IP", text, "is not an IP address", Code.invalidEnvironment);
  return [{ address: parseAddress(wanted), path: "CNI_ARGS IP" }];
}

function placedAddresses(value: unknown, at: string): readonly RequestedAddress[] {
  return requestedAddresses(value, at).map((wanted, index) => ({ address: wanted, path: `${at}[${index}]` }));
}

/** The range whose keys stand in `ipam` itself. */
function oldForm(conf: NetConf): readonly PlacedSet[] {
  const ipam = anyObject(conf.raw.ipam, "ipam");
  if (ipam.subnet !== undefined && ipam.subnet !== "") return [{ set: [range(ipam, "ipam")], path: "ipam" }];
  for (const key of ["rangeStart", "rangeEnd", "gateway"]) {
    if (ipam[key] !== undefined && ipam[key] !== "") {
      throw invalid(
        `ipam.${key}`,
        ipam[key],
        "means nothing without ipam.subnet; add that, or move it into ipam.ranges",
      );
    }
  }
  return [];
}
