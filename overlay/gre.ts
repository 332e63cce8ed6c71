import type { Backend } from "../backends/backend.ts";
import type { BackendPart, NetworkContext } from "./backend.ts";
import { ipTunnel } from "./ip-tunnel.ts";

/**
 * GRE (RFC 2784) around bare IP packets of either family. Without a key in flow mode; with the network's in static mode
 * (RFC 2890), by which the kernel knows the device, so that networks of both modes get along.
 */
export function gre(context: NetworkContext<Backend<"gre">>): BackendPart {
  const { vni: key } = context.backend;
  const keyed = { inputFlags: "key", outputFlags: "key", inputKey: key, outputKey: key } as const;
  return ipTunnel(context, {
    flowDevice: (family) => ({ name: `pwgre${family}`, kind: kindOver[family], gre: { collectMetadata: true } }),
    staticPrefix: "pwg",
    staticName: ({ local, remote }) => `${key}/${local}/${remote}`,
    staticDevice: ({ family, local, remote }) => ({
      kind: kindOver[family],
      gre: { ...keyed, local, remote, ...(family === 6 && { noEncapLimit: true }) },
    }),
  });
}

const kindOver = { 4: "gre", 6: "ip6gre" } as const;
