import { type AttachmentId, checkNetworkName, interfaceNameProblem, isIdentifier } from "./attachment.ts";
import { anyObject, array, boolean, type Decoder, invalid, object, optional, record, string } from "./decode.ts";
import { CniError, Code } from "./error.ts";
import { isJsonObject, type Json, type JsonObject } from "./json.ts";
import type { Dns, Result } from "./result.ts";
import { decodeResult, dns } from "./result-json.ts";
import { parseVersion, type Version } from "./version.ts";

/** The keys of a plugin's configuration that the specification defines, validated; `raw` also holds the plugin's own. */
export interface NetConf {
  readonly cniVersion: Version;
  /** The network's name. */
  readonly name: string;
  /** The plugin's name; in a delegate's configuration, the delegating plugin's. */
  readonly type: string;
  /** Absent when there is no `ipam` or its `type` is empty: a network of layer 2 alone. */
  readonly ipam?: IpamConf;
  readonly dns?: Dns;
  /** The result of the plugin before in the chain (ADD), or of the whole chain (DEL, CHECK). */
  readonly prevResult?: Result;
  readonly capabilities: Readonly<Record<string, boolean>>;
  readonly runtimeConfig: JsonObject;
  readonly args: JsonObject;
  /** `cni.dev/valid-attachments`, of GC alone. */
  readonly validAttachments?: readonly AttachmentId[];
  /** The whole configuration as it was read, for the plugin's own keys and for delegates. */
  readonly raw: JsonObject;
}

export interface IpamConf {
  /** The IPAM plugin's name, a plain file name. */
  readonly type: string;
  readonly raw: JsonObject;
}

/** What is told of a prevResult that had to be ignored. */
export type OnIgnored = (problem: string) => void;

/**
 * Reads the configuration given on stdin for a command.
 *
 * DEL must not fail for a `prevResult` that cannot be read, so there it is left out and `onIgnored` is told.
 * @throws CniError 6 when it is not an object, 1 for an unknown version, 7 for a value that is wrong or missing.
 */
export function decodeConf(json: Json, command: string, onIgnored?: OnIgnored): NetConf {
  if (!isJsonObject(json)) throw new CniError(Code.decodingFailure, "the network configuration is not a JSON object");
  const cniVersion = parseVersion(versionKey(json, "").cniVersion);
  const { name, type, ipam, dns, capabilities, runtimeConfig, args } = base(json, "");
  checkNetworkName(name);
  const ipamType = ipam === undefined ? undefined : ipamKeys(ipam, "ipam").type;
  const prevResult = decodePrevResult(json, cniVersion, command, onIgnored);
  return {
    cniVersion,
    name,
    type,
    capabilities,
    runtimeConfig,
    args,
    raw: json,
    ...(ipam === undefined || ipamType === undefined ? {} : { ipam: { type: ipamType, raw: ipam } }),
    ...(dns === undefined ? {} : { dns }),
    ...(prevResult === undefined ? {} : { prevResult }),
    ...(command === "GC" ? { validAttachments: decodeValidAttachments(json) } : {}),
  };
}

/**
 * Reads a plugin's name, which is looked up as a file name on CNI_PATH and therefore may not hold a path.
 * @throws CniError 7
 */
export const pluginType: Decoder<string> = (value, path) => {
  const type = string(value, path);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  if (/^(?!\.{1,2}$)[^/\\\u0000-\u001f\u007f]+$/u.test(type) && Buffer.byteLength(type) <= 255) return type;
  throw invalid(path, value, "is not a plugin's file name");
};

const versionKey = object({ cniVersion: optional(string) });

const base = object({
  name: string,
  type: pluginType,
  ipam: optional(anyObject),
  dns: optional(dns),
  capabilities: optional(record(boolean), {}),
  runtimeConfig: optional(anyObject, {}),
  args: optional(anyObject, {}),
});

const ipamKeys = object({ type: optional((value, path) => (value === "" ? undefined : pluginType(value, path))) });

function decodePrevResult(
  conf: JsonObject,
  version: Version,
  command: string,
  onIgnored: OnIgnored | undefined,
): Result | undefined {
  const { prevResult } = conf;
  if (prevResult === undefined || prevResult === null) return undefined;
  try {
    return decodeResult(prevResult, version, "prevResult");
  } catch (error) {
    if (command !== "DEL" || !(error instanceof CniError)) throw error;
    onIgnored?.(error.message);
    return undefined;
  }
}

const validAttachment: Decoder<AttachmentId> = (value, path) => {
  const { containerID, ifname } = object({ containerID: string, ifname: string })(value, path);
  if (!isIdentifier(containerID)) throw invalid(`${path}.containerID`, containerID, "is not a container identifier");
  const problem = interfaceNameProblem(ifname);
  if (problem !== undefined) throw invalid(`${path}.ifname`, ifname, problem);
  return { containerId: containerID, ifName: ifname };
};

/** The key's name in the specification, and the one that its 1.1.0 tag still had; libcni sends both. */
const VALID_ATTACHMENTS = ["cni.dev/valid-attachments", "cni.dev/attachments"] as const;

/**
 * The attachments that GC must keep: those of either key. Neither key is an error, for a caller that said nothing must
 * not lose every attachment it has.
 */
function decodeValidAttachments(conf: JsonObject): readonly AttachmentId[] {
  const lists = VALID_ATTACHMENTS.flatMap((key) => {
    const list = optional(array(validAttachment))(conf[key], key);
    return list === undefined ? [] : [list];
  });
  if (lists.length === 0) {
    throw new CniError(
      Code.invalidConfig,
      `${VALID_ATTACHMENTS[0]} is missing; GC needs the list of attachments to keep, and its absence never means that all are stale`,
    );
  }
  const unique = new Map(lists.flat().map((each) => [`${each.containerId}/${each.ifName}`, each]));
  return [...unique.values()];
}
