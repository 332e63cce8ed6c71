import type { Backend } from "../backends/backend.ts";
import type { BackendPart, NetworkContext } from "./backend.ts";
import { ipTunnel } from "./ip-tunnel.ts";

/**
 * IPv4 in IPv4 (RFC 2003). Its packets carry nothing that tells networks apart, so those of one node share its devices,
 * and are all of one mode.
 */
export function ipip(context: NetworkContext<Backend<"ipip">>): BackendPart {
  return ipTunnel(context, {
    flowDevice: () => ({ name: "pwipip", kind: "ipip", ipip: { collectMetadata: true } }),
    staticPrefix: "pwi",
    staticName: ({ local, remote }) => `${local}/${remote}`,
    staticDevice: ({ local, remote }) => ({ kind: "ipip", ipip: { local, remote } }),
  });
}
