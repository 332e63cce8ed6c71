import { createHash } from "node:crypto";
import type { NetConf } from "../../cni/conf.ts";
import type { JsonObject } from "../../cni/json.ts";
import type { OverlayConf } from "./conf.ts";
import type { NodeLease } from "./lease.ts";

const LONGEST_INTERFACE_NAME = 15;

/** The node's bridge for an overlay network: `pw-<network>`, with a hash where that is too long for an interface name. */
export function bridgeName(overlay: string): string {
  const name = `pw-${overlay}`;
  if (name.length <= LONGEST_INTERFACE_NAME) return name;
  return `pw-${createHash("sha256").update(overlay).digest("hex").slice(0, 12)}`;
}

/**
 * The configuration of the bridge plugin that puts the pod on the node's bridge. With a lease it is complete; without
 * one it is enough for DEL and GC, which need no more than names.
 */
export function bridgeConf(conf: NetConf, keys: OverlayConf, lease?: NodeLease): JsonObject {
  const { raw } = conf;
  const passedOn = [
    "cniVersion",
    "name",
    "prevResult",
    "runtimeConfig",
    "args",
    "dns",
    "cni.dev/valid-attachments",
    "cni.dev/attachments",
  ];
  const mtu = keys.mtu ?? lease?.mtu;
  return {
    ...Object.fromEntries(passedOn.flatMap((key) => (raw[key] === undefined ? [] : [[key, raw[key]]]))),
    isGateway: true,
    isDefaultGateway: true,
    hairpinMode: keys.hairpinMode,
    ...keys.delegate,
    type: "bridge",
    bridge: keys.bridge ?? bridgeName(keys.overlay),
    ipMasq: false, // the network's own masquerading leaves pods of other nodes alone; the bridge's would not
    ...(mtu === undefined ? {} : { mtu }),
    ipam: {
      type: "host-local",
      dataDir: keys.dataDir,
      ...(lease === undefined ? {} : { ranges: lease.subnets.map((subnet) => [{ subnet }]) }),
    },
  };
}
