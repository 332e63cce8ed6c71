import { createHash } from "node:crypto";
import type { NetConf } from "../../cni/conf.ts";
import { isJsonObject, type JsonObject } from "../../cni/json.ts";
import { DEFAULT_DATA_DIR, type OverlayConf } from "./conf.ts";
import type { NodeLease } from "./lease.ts";

const LONGEST_INTERFACE_NAME = 15;

/** The node's bridge for an overlay network: `pw-<network>`, with a hash where that is too long for an interface name. */
export function bridgeName(overlay: string): string {
  const name = `pw-${overlay}`;
  if (name.length <= LONGEST_INTERFACE_NAME) return name;
  return `pw-${createHash("sha256").update(overlay).digest("hex").slice(0, 12)}`;
}

const PASSED_ON = [
  "cniVersion",
  "name",
  "prevResult",
  "runtimeConfig",
  "args",
  "dns",
  "cni.dev/valid-attachments",
  "cni.dev/attachments",
] as const;

/** The configuration of the bridge plugin that puts the pod on the node's bridge, with addresses of the lease. */
export function bridgeConf(conf: NetConf, keys: OverlayConf, lease: NodeLease): JsonObject {
  return {
    ...passedOn(conf),
    isGateway: true,
    isDefaultGateway: true,
    hairpinMode: keys.hairpinMode,
    ...keys.delegate,
    type: "bridge",
    bridge: keys.bridge ?? bridgeName(keys.overlay),
    ipMasq: false, // the network's own masquerading leaves pods of other nodes alone; the bridge's would not
    mtu: keys.mtu ?? lease.mtu,
    ipam: { type: "host-local", dataDir: keys.dataDir, ranges: lease.subnets.map((subnet) => [{ subnet }]) },
  };
}

/**
 * What DEL and GC of the bridge plugin need: names. No key is checked here, so that none can be wrong, and no lease is
 * read, so that none can be missing.
 */
export function removalConf(conf: NetConf): JsonObject {
  const { delegate, ipam } = conf.raw;
  const dataDir = isJsonObject(ipam) ? ipam.dataDir : undefined;
  return {
    ...passedOn(conf),
    ...(isJsonObject(delegate) ? delegate : {}),
    type: "bridge",
    ipam: { type: "host-local", dataDir: typeof dataDir === "string" ? dataDir : DEFAULT_DATA_DIR },
  };
}

function passedOn({ raw }: NetConf): JsonObject {
  return Object.fromEntries(PASSED_ON.flatMap((key) => (raw[key] === undefined ? [] : [[key, raw[key]]])));
}
