import type { NetConf } from "../../cni/conf.ts";
import { integer, object, optional } from "../../cni/decode.ts";
import { interfaceName } from "../interface/conf.ts";

/** The keys of the vrf plugin, as the reference plugin names them. */
export interface VrfConf {
  /** Name of the VRF in the pod. */
  readonly vrfName: string;
  /** Its routing table; chosen when absent. */
  readonly table: number | undefined;
}

const keys = object({ vrfname: interfaceName, table: optional(integer(0, 0xffffffff)) });

/** @throws CniError 7 */
export function decodeVrfConf({ raw }: Pick<NetConf, "raw">): VrfConf {
  const { vrfname, table } = keys(raw, "");
  return { vrfName: vrfname, table: table || undefined };
}
