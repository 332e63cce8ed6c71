import type { NetConf } from "../../cni/conf.ts";
import { anyObject, array, type Decoder, invalid, object, optional, prefix } from "../../cni/decode.ts";
import { CniError, Code } from "../../cni/error.ts";
import type { Dns, IpConfig, Route } from "../../cni/result.ts";
import { dns } from "../../cni/result-json.ts";
import { checkFamilies, optionalAddress, routeOf } from "../../ipam/conf-keys.ts";
import { type Address, familyOf, isAddress, parseAddress } from "../../net/address.ts";
import { contains, networkOf, type Prefix, parsePrefix, prefixFamily } from "../../net/prefix.ts";

/** What the plugin reads of a configuration and of CNI_ARGS. */
export interface StaticConf {
  readonly ips: readonly IpConfig[];
  readonly routes: readonly Route[];
  readonly dns?: Dns;
}

/** An address, and where it was written. */
interface Placed {
  readonly address: Prefix;
  readonly gateway?: Address;
  readonly path: string;
}

const configured: Decoder<Placed> = (value, path) => {
  const { address, gateway } = object({ address: prefix, gateway: optionalAddress })(value, path);
  if (gateway === undefined) return { address, path: `${path}.address` };
  if (familyOf(gateway) !== prefixFamily(address)) {
    throw invalid(
      `${path}.gateway`,
      gateway,
      `is of another family than "${address}"; name one of IPv${prefixFamily(address)}`,
    );
  }
  return { address, gateway, path: `${path}.address` };
};

const requested: Decoder<Placed> = (value, path) => ({ address: prefix(value, path), path });
const requestedList = optional(array(requested), []);

const ipamKeys = object({
  addresses: optional(array(configured), []),
  routes: optional(array(routeOf(prefix)), []),
  dns: optional(dns),
});

/**
 * Reads and checks every key. `runtimeConfig.ips` stand instead of all other addresses, else `args.cni.ips` do, else
 * those of CNI_ARGS `IP` follow those of `ipam.addresses`. All are checked, used or not.
 * @throws CniError 7 naming key, value and remedy; 4 for CNI_ARGS
 */
export function decodeConf(conf: NetConf, cniArgs: Readonly<Record<string, string>>): StaticConf {
  if (conf.raw.ipam === undefined || conf.raw.ipam === null) {
    throw new CniError(Code.invalidConfig, "ipam is missing; give it type and addresses");
  }
  const { addresses, routes, dns } = ipamKeys(conf.raw.ipam, "ipam");
  const cni = optional(anyObject, {})(conf.args.cni, "args.cni");
  const lists = [
    requestedList(conf.runtimeConfig.ips, "runtimeConfig.ips"),
    requestedList(cni.ips, "args.cni.ips"),
    [...addresses, ...fromCniArgs(cniArgs)],
  ];
  const used = lists.find((list) => list.length > 0) ?? [];
  checkFamilies(
    conf.cniVersion,
    used.map(({ address, path }) => ({ prefix: address, path })),
  );
  const ips = used.map(({ address, gateway }) => ({ address, ...(gateway === undefined ? {} : { gateway }) }));
  return { ips, routes, ...(dns === undefined ? {} : { dns }) };
}

/** `IP=` is a list of addresses with their lengths. Each of `GATEWAY=` is the gateway of those in whose subnet it lies. */
function fromCniArgs({ IP = "", GATEWAY = "" }: Readonly<Record<string, string>>): readonly Placed[] {
  const gateways = items(GATEWAY).map((text) => {
    if (isAddress(text)) return parseAddress(text);
    throw invalid("CNI_ARGS GATEWAY", GATEWAY, `holds ${JSON.stringify(text)}, which is no IP address`, CNI_ARGS);
  });
  return items(IP).map((text) => {
    const address = readAddress(text, IP);
    const gateway = gateways.findLast((each) => contains(networkOf(address), each));
    return { address, path: "CNI_ARGS IP", ...(gateway === undefined ? {} : { gateway }) };
  });
}

const CNI_ARGS = Code.invalidEnvironment;

function readAddress(text: string, all: string): Prefix {
  try {
    return parsePrefix(text);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw invalid("CNI_ARGS IP", all, `cannot be used: ${error.message}`, CNI_ARGS);
  }
}

function items(list: string): readonly string[] {
  return list === "" ? [] : list.split(",").map((item) => item.trim());
}
