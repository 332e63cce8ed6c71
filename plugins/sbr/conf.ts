import type { NetConf } from "../../cni/conf.ts";
import { address, array, boolean, integer, object, optional } from "../../cni/decode.ts";
import { CniError, Code } from "../../cni/error.ts";
import { type Address, type Family, familyOf } from "../../net/address.ts";

/** The keys of the sbr plugin, as the reference plugin names them. */
export interface SbrConf {
  /** Rules lead to this table, which is somebody else's affair; without it, each address gets a table of its own. */
  readonly table: number | undefined;
  /** The default routes' gateways, instead of those that prevResult tells. */
  readonly gateways: Readonly<Partial<Record<Family, Address>>>;
  /** The routes of the interface's subnets stay in the main table, with the interface's address as source. */
  readonly addSourceHints: boolean;
}

const keys = object({
  table: optional(integer(1, 0xffffffff)),
  gateways: optional(array(address), []),
  addSourceHints: optional(boolean, false),
});

/** @throws CniError 7 */
export function decodeSbrConf({ raw }: Pick<NetConf, "raw">): SbrConf {
  const { table, gateways, addSourceHints } = keys(raw, "");
  const byFamily: Partial<Record<Family, Address>> = {};
  for (const gateway of gateways) {
    const family = familyOf(gateway);
    const other = byFamily[family];
    if (other !== undefined) {
      throw new CniError(
        Code.invalidConfig,
        `gateways: ${other} and ${gateway} are both of IPv${family}; name one of each family at most`,
      );
    }
    byFamily[family] = gateway;
  }
  return { table, gateways: byFamily, addSourceHints };
}
