import { type Attachment, interfaceNameProblem } from "../../cni/attachment.ts";
import type { NetConf } from "../../cni/conf.ts";
import { boolean, type Decoder, integer, invalid, object, oneOf, optional, string } from "../../cni/decode.ts";
import { CniError, Code } from "../../cni/error.ts";
import { isGroupMac, type Mac, parseMac } from "../../net/mac.ts";

/** The largest MTU of a virtual Ethernet device (ETH_MAX_MTU, <linux/if_ether.h>). */
const LARGEST_MTU = 65535;

/** An MTU in bytes; 0 leaves it to the kernel. */
export const interfaceMtu: Decoder<number | undefined> = (value, path) =>
  integer(0, LARGEST_MTU)(value, path) || undefined;

/** As {@link oneOf}; an empty text is as good as none. */
export function emptyOr<const T extends string>(...choices: readonly T[]): Decoder<T | undefined> {
  return (value, path) => (value === "" ? undefined : oneOf(...choices)(value, path));
}

/** The keys of plugins that masquerade. nftables does it, whatever `ipMasqBackend` says. */
export const masqueradeKeys = {
  ipMasq: optional(boolean, false),
  ipMasqBackend: optional(emptyOr("iptables", "nftables")),
} as const;

/** The name of an interface; an empty text is none. */
export const optionalName: Decoder<string | undefined> = (value, path) =>
  value === "" ? undefined : interfaceName(value, path);

/** The name of an interface, as the kernel takes it. */
export const interfaceName: Decoder<string> = (value, path) => {
  const name = string(value, path);
  const problem = interfaceNameProblem(name);
  if (problem !== undefined) throw invalid(path, value, problem);
  return name;
};

/** A MAC address that an interface can have; an empty text is none. */
export const interfaceMac: Decoder<Mac | undefined> = (value, path) => {
  const text = string(value, path);
  if (text === "") return undefined;
  let mac: Mac;
  try {
    mac = parseMac(text);
  } catch {
    throw invalid(path, value, "is not a MAC address such as 0a:58:0a:16:00:02");
  }
  if (isGroupMac(mac)) throw invalid(path, value, "is a group address, which no interface may have");
  if (mac === "00:00:00:00:00:00") throw invalid(path, value, "cannot be an interface's address");
  return mac;
};

const macOfArgs = object({ cni: optional(object({ mac: optional(interfaceMac) })) });
const macOfRuntime = object({ mac: optional(interfaceMac) });

/** runtimeConfig.mac before args.cni.mac before MAC of CNI_ARGS. */
export function requestedMac(conf: NetConf, { args }: Pick<Attachment, "args">): Mac | undefined {
  const runtime = macOfRuntime(conf.runtimeConfig, "runtimeConfig").mac;
  const configured = macOfArgs(conf.args, "args").cni?.mac;
  return runtime ?? configured ?? macOfCniArgs(args.MAC);
}

/** MAC of CNI_ARGS. @throws CniError 4 */
export function macOfCniArgs(text: string | undefined): Mac | undefined {
  if (text === undefined) return undefined;
  try {
    return interfaceMac(text, "CNI_ARGS MAC");
  } catch (error) {
    if (error instanceof CniError) throw new CniError(Code.invalidEnvironment, error.message);
    throw error;
  }
}
