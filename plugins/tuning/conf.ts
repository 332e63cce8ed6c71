import { isAbsolute } from "node:path";
import type { Attachment } from "../../cni/attachment.ts";
import type { NetConf } from "../../cni/conf.ts";
import {
  anyObject,
  boolean,
  type Decoder,
  integer,
  invalid,
  object,
  optional,
  record,
  string,
} from "../../cni/decode.ts";
import { CniError, Code } from "../../cni/error.ts";
import type { LinkChange } from "../../kernel/rtnetlink/link.ts";
import type { Mac } from "../../net/mac.ts";
import { interfaceMac, macOfCniArgs } from "../interface/conf.ts";
import { sysctlOf } from "./sysctl.ts";

/** Where the values before are kept when `dataDir` is not given; the reference plugin's folder. */
export const DEFAULT_DATA_DIR = "/run/cni/tuning";

/** What of an interface can be tuned. */
export type LinkTuning = Pick<LinkChange, "mac" | "mtu" | "promisc" | "allMulticast" | "txQueueLength">;

/** A sysctl to set. */
export interface SysctlOrder {
  /** As it was asked for; what the allowlist is about. */
  readonly name: string;
  /** Under /proc/sys, with slashes; begins with `net/`. */
  readonly key: string;
  readonly value: string;
}

/** The keys of the tuning plugin, as the reference plugin names them, with all that overrides them worked in. */
export interface TuningConf {
  readonly dataDir: string;
  readonly sysctls: readonly SysctlOrder[];
  /** Empty when the interface stays as it is. */
  readonly link: LinkTuning;
}

/** The kernel's own limit depends on the kind of the interface. */
const LARGEST_MTU = 65535;
const LARGEST_QUEUE = 0x7fffffff;

/** An empty text is "none", which differs from not being there: it overrides what stands elsewhere. */
const macOrNone: Decoder<Mac | ""> = (value, path) => interfaceMac(value, path) ?? "";

const tunables = {
  sysctl: optional(record(string)),
  mac: optional(macOrNone),
  mtu: optional(integer(0, LARGEST_MTU)),
  promisc: optional(boolean),
  allmulti: optional(boolean),
  txQLen: optional(integer(0, LARGEST_QUEUE)),
};
const ofArgs = object({ cni: optional(object(tunables), {}) });
const ofRuntime = object({ mac: optional(macOrNone) });

/** An absolute path without `..`; Go leaves the default in place for an empty text. */
const dataDir: Decoder<string> = (value, path) => {
  const text = string(value ?? "", path);
  if (text === "") return DEFAULT_DATA_DIR;
  if (isAbsolute(text) && !text.split("/").includes("..") && !text.includes("\0")) return text;
  throw invalid(path, value, `is not an absolute path without ".."; name one such as ${DEFAULT_DATA_DIR}`);
};

/**
 * Reads the configuration. `args.cni` comes before `runtimeConfig`, that before CNI_ARGS, and last the plugin's own keys.
 * @throws CniError 7, or 4 for CNI_ARGS
 */
export function decodeTuningConf(conf: NetConf, { args, ifName }: Pick<Attachment, "args" | "ifName">): TuningConf {
  const own = object(tunables)(conf.raw, "");
  const { cni } = ofArgs(conf.args, "args");
  const { sysctl, mac, mtu, promisc, allmulti, txQLen } = { ...own, ...cni, sysctl: { ...own.sysctl, ...cni.sysctl } };
  const runtime = ofRuntime(conf.runtimeConfig, "runtimeConfig").mac;
  const wantedMac = cni.mac ?? (runtime || macOfCniArgs(args.MAC) || mac);
  return {
    dataDir: dataDir(conf.raw.dataDir, "dataDir"),
    sysctls: distinct(Object.entries(sysctl).map(([name, value]) => sysctlOf(name, value, ifName))),
    link: {
      ...(wantedMac ? { mac: wantedMac } : {}),
      ...(mtu ? { mtu } : {}),
      ...(promisc ? { promisc } : {}),
      ...(allmulti === undefined ? {} : { allMulticast: allmulti }),
      ...(txQLen === undefined ? {} : { txQueueLength: txQLen }),
    },
  };
}

/** Only where the values before are: DEL and GC need nothing else, so nothing else can make them fail. @throws CniError 7 */
export function decodeDataDir({ raw }: Pick<NetConf, "raw">): string {
  return dataDir(anyObject(raw, "").dataDir, "dataDir");
}

/** One sysctl can be written in several ways, and then it would be chance which value counts. */
function distinct(orders: readonly SysctlOrder[]): readonly SysctlOrder[] {
  const seen = new Map<string, string>();
  for (const { key, name } of orders) {
    const other = seen.get(key);
    if (other !== undefined) {
      throw new CniError(Code.invalidConfig, `sysctl: "${other}" and "${name}" are the same; leave one of them out`);
    }
    seen.set(key, name);
  }
  return orders;
}
