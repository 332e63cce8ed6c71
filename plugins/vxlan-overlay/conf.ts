import { checkNetworkName } from "../../cni/attachment.ts";
import type { NetConf } from "../../cni/conf.ts";
import type { Decoded } from "../../cni/decode.ts";
import {
  address,
  anyObject,
  array,
  boolean,
  integer,
  network,
  object,
  oneOf,
  optional,
  refine,
  string,
} from "../../cni/decode.ts";
import { CniError, Code } from "../../cni/error.ts";

/** Of host-local. */
export const DEFAULT_DATA_DIR = "/var/lib/cni/networks";

const networkName = refine(string, (name) => {
  checkNetworkName(name);
  return name;
});

const meshPeer = object({
  subnet: network,
  publicIP: address,
  /** Joins the entries of a node that has more than one address; without it, the address names the node. */
  node: optional(string),
});

const mesh = object({
  peers: array(meshPeer),
  cidrs: optional(array(network)),
  mode: optional(oneOf("flow", "static"), "flow"),
  vni: optional(integer(1, 0xffffff), 1),
  port: optional(integer(1, 65535)),
  directRouting: optional(boolean, false),
});

const overlayKeys = object({
  network: optional(networkName),
  bridge: optional(string),
  mtu: optional(integer(68, 65535)),
  hairpinMode: optional(boolean, true),
  ipMasq: optional(boolean, true),
  delegate: optional(anyObject, {}),
  mesh: optional(mesh),
});

/** A mesh without a controller: every node's subnet and address. The same list may lie on every node. */
export type Mesh = Decoded<typeof mesh>;
export type OverlayKeys = Decoded<typeof overlayKeys>;

/** The plugin's own keys, validated. */
export interface OverlayConf extends OverlayKeys {
  /** The overlay network, which is the configuration's name unless `network` says another. */
  readonly overlay: string;
  /** Where host-local keeps the node's reservations. */
  readonly dataDir: string;
}

/** @throws CniError 7 */
export function parseConf(conf: NetConf): OverlayConf {
  const keys = overlayKeys(conf.raw, "");
  if (keys.delegate.type !== undefined && keys.delegate.type !== "bridge") {
    throw new CniError(
      Code.invalidConfig,
      `delegate.type: ${JSON.stringify(keys.delegate.type)} is not "bridge", the only plugin that vxlan-overlay delegates to`,
    );
  }
  if (keys.mesh?.peers.length === 0)
    throw new CniError(Code.invalidConfig, "mesh.peers: [] lists no node; list at least this one");
  const ipam = object({ dataDir: optional(string, DEFAULT_DATA_DIR) })(conf.raw.ipam ?? {}, "ipam");
  return { ...keys, overlay: keys.network ?? conf.name, dataDir: ipam.dataDir };
}
