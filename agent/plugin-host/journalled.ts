import type { Call } from "../../journal/call.ts";
import type { EndedCall } from "./host.ts";

/** What the journal keeps of a call. */
export function journalled({ conf, attachment, result, error, phases, ...call }: EndedCall): Call {
  const { K8S_POD_NAMESPACE: namespace, K8S_POD_NAME: name } = attachment?.args ?? {};
  return {
    startedAt: call.startedAt,
    plugin: call.plugin,
    verb: call.verb,
    network: conf?.name,
    containerId: call.containerId || undefined,
    ifName: call.ifName || undefined,
    pod: namespace && name ? { namespace, name } : undefined,
    code: error?.code ?? 0,
    message: error?.msg,
    phases,
    ms: Object.values(phases).reduce((sum, ms) => sum + ms, 0),
    addresses: result?.ips.map(({ address }) => address),
  };
}
