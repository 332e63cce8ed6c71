import type { NetConf } from "../../cni/conf.ts";
import { CniError, Code } from "../../cni/error.ts";
import { atLeast } from "../../cni/version.ts";
import { type AttachmentName, formatMark, type Mark } from "../../kernel/mark.ts";

/** 0.1.0 and 0.2.0 have no words for a result without addresses. */
export function refuseInexpressible({ cniVersion, ipam }: NetConf): void {
  if (ipam !== undefined || atLeast(cniVersion, "0.3.0")) return;
  throw new CniError(
    Code.invalidConfig,
    `cniVersion: "${cniVersion}" cannot express a network without addresses; add ipam or use "0.3.0" or newer`,
  );
}

/** Names must fit into the alias by which links are known. @throws CniError 7 */
export function refuseLongNames({ network, containerId, ifName }: AttachmentName): void {
  aliasOf({ role: "veth", network, containerId, ifName });
}

/** The mark's text. @throws CniError 7 when it would be too long */
export function aliasOf(mark: Mark): string {
  try {
    return formatMark(mark);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new CniError(Code.invalidConfig, `name: ${JSON.stringify(mark.network)} cannot be used: ${error.message}`);
  }
}

/** What the runtime calls the pod, for the link's alias; white space would break that. */
export function podOf(args: Readonly<Record<string, string>>): { namespace: string; name: string } | undefined {
  const { K8S_POD_NAMESPACE: namespace, K8S_POD_NAME: name } = args;
  if (!namespace || !name || /[\s/]/.test(namespace) || /\s/.test(name)) return undefined;
  return { namespace, name };
}
