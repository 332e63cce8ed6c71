import type { NetConf } from "../../cni/conf.ts";
import { decodeConf, type HostLocalConf } from "./conf.ts";

/** Configurations that are remembered at most; a node has a few networks. */
const MOST_CONFS = 32;

/** {@link decodeConf} for a process that stays: what was decoded before is not decoded and checked again. */
export function makeConfDecoder(): (conf: NetConf) => HostLocalConf {
  const decoded = new Map<string, HostLocalConf>();
  return (conf) => {
    const key = JSON.stringify([conf.raw.ipam, conf.runtimeConfig.ipRanges, conf.cniVersion]);
    const known = decoded.get(key);
    if (known !== undefined) return known;
    const fresh = decodeConf(conf);
    if (decoded.size >= MOST_CONFS) decoded.clear();
    decoded.set(key, fresh);
    return fresh;
  };
}
