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
import type { UncheckedNetwork } from "../../overlay/parse-network.ts";

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

const meshKeys = object({
  peers: array(meshPeer),
  cidrs: optional(array(network)),
  mode: optional(oneOf("flow", "static"), "flow"),
  vni: optional(integer(1, 0xffffff)),
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
  mesh: optional(meshKeys),
});

/** What the plugins for overlay networks differ in: their names, and the tunnels of a mesh that they make themselves. */
export interface OverlayTunnel {
  /** The plugin's. */
  readonly name: string;
  /** @throws CniError 7 for a key that means nothing to such tunnels */
  backend(keys: Decoded<typeof meshKeys>): MeshBackend;
}

type MeshBackend = UncheckedNetwork["backend"] & { readonly mode: "flow" | "static" };

/** A mesh without a controller: every node's subnet and address. The same list may lie on every node. */
export interface Mesh extends Pick<Decoded<typeof meshKeys>, "peers" | "cidrs"> {
  readonly backend: MeshBackend;
}

/** The plugin's own keys, validated. */
export interface OverlayConf extends Omit<Decoded<typeof overlayKeys>, "mesh"> {
  readonly mesh?: Mesh;
  /** The overlay network, which is the configuration's name unless `network` says another. */
  readonly overlay: string;
  /** Where host-local keeps the node's reservations. */
  readonly dataDir: string;
}

/** @throws CniError 7 */
export function parseConf(conf: NetConf, tunnel: OverlayTunnel): OverlayConf {
  const { mesh, ...keys } = overlayKeys(conf.raw, "");
  if (keys.delegate.type !== undefined && keys.delegate.type !== "bridge") {
    throw new CniError(
      Code.invalidConfig,
      `delegate.type: ${JSON.stringify(keys.delegate.type)} is not "bridge", the only plugin that ${tunnel.name} delegates to`,
    );
  }
  if (mesh?.peers.length === 0)
    throw new CniError(Code.invalidConfig, "mesh.peers: [] lists no node; list at least this one");
  const ipam = object({ dataDir: optional(string, DEFAULT_DATA_DIR) })(conf.raw.ipam ?? {}, "ipam");
  return {
    ...keys,
    ...(mesh && { mesh: { ...mesh, backend: tunnel.backend(mesh) } }),
    overlay: keys.network ?? conf.name,
    dataDir: ipam.dataDir,
  };
}
