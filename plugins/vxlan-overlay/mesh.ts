import { CniError, Code, messageOf } from "../../cni/error.ts";
import type { Logger } from "../../cni/log.ts";
import { applyOverlay } from "../../dataplane/apply.ts";
import { applyRulesets, nodeRulesets } from "../../dataplane/node-rules.ts";
import { findUnderlay } from "../../dataplane/underlay.ts";
import { nameHash } from "../../firewall/nft-text.ts";
import type { RouteSocket } from "../../kernel/rtnetlink/socket.ts";
import { openRoute } from "../../kernel/rtnetlink/socket.ts";
import type { Address, Family } from "../../net/address.ts";
import {
  coveringPrefix,
  type Prefix,
  parsePrefix,
  prefixAddress,
  prefixFamily,
  prefixLength,
} from "../../net/prefix.ts";
import { desiredOverlay } from "../../overlay/desired.ts";
import { podMtu } from "../../overlay/mtu.ts";
import type { NetworkSpec, OverlayInput, Underlay } from "../../overlay/network.ts";
import { parseNetworkSpec } from "../../overlay/parse-network.ts";
import { parseLeases, parsePeers } from "../../overlay/parse-peers.ts";
import type { Mesh, OverlayConf } from "./conf.ts";
import type { NodeLease } from "./lease.ts";

/** Stands for "no subnet" where only its length matters. */
const NO_SUBNET = parsePrefix("0.0.0.0/24");

/**
 * What this node holds in a mesh without a controller: the subnets listed with an address that this node has.
 * @throws CniError 7 when none of the mesh's addresses is this node's
 */
export function meshLease(keys: OverlayConf, mesh: Mesh): NodeLease {
  using rt = openRoute();
  const underlay = meshUnderlay(rt, mesh);
  return {
    network: keys.overlay,
    state: "held",
    ready: true,
    subnets: ownSubnets(mesh, underlay),
    cidrs: meshCidrs(mesh),
    mtu: podMtu(meshNetwork(keys, mesh), underlay),
  };
}

/** Makes this node's tunnel and routes as the mesh says, when they are not so already. */
export async function ensureMesh(keys: OverlayConf, mesh: Mesh, log: Logger): Promise<void> {
  using rt = openRoute();
  const underlay = meshUnderlay(rt, mesh);
  const network = meshNetwork(keys, mesh);
  const input = meshInput(network, mesh, underlay);
  const desired = desiredOverlay(input);
  for (const refusal of [...input.refusals, ...desired.refusals]) log.warn(refusal);
  const changes = await applyOverlay(rt, desired, { network: keys.overlay, cidrs: network.cidrs });
  applyRulesets(nodeRulesets(input, `mesh_${nameHash(keys.overlay)}_`));
  log.debug("mesh", { ...changes });
}

function meshUnderlay(rt: RouteSocket, mesh: Mesh): Underlay {
  const listed = mesh.peers.map(({ publicIP }) => publicIP);
  try {
    const underlay = findUnderlay(rt, { own: listed });
    if (ownSubnets(mesh, underlay).length > 0) return underlay;
  } catch (cause) {
    throw new CniError(Code.invalidConfig, `mesh.peers: ${messageOf(cause)}`, { cause });
  }
  throw new CniError(
    Code.invalidConfig,
    `mesh.peers: none of ${listed.join(", ")} is an address of this node; list this node's own subnet and address too`,
  );
}

function ownSubnets(mesh: Mesh, underlay: Underlay): Prefix[] {
  const mine = underlay.addresses.map(prefixAddress);
  return mesh.peers.flatMap(({ subnet, publicIP }) => (mine.includes(publicIP) ? [subnet] : []));
}

/** The mesh's CIDRs: those it names, or else what covers every subnet of a family. */
function meshCidrs(mesh: Mesh): Prefix[] {
  if (mesh.cidrs !== undefined) return [...mesh.cidrs];
  const subnets = mesh.peers.map(({ subnet }) => subnet);
  const ofFamily = ([4, 6] as const).map((family) => subnets.filter((subnet) => prefixFamily(subnet) === family));
  return ofFamily.filter(({ length }) => length > 0).map(coveringPrefix);
}

function meshNetwork(keys: OverlayConf, mesh: Mesh): NetworkSpec {
  const subnets = mesh.peers.map(({ subnet }) => subnet);
  const lengthOf = (family: Family): number =>
    prefixLength(subnets.find((each) => prefixFamily(each) === family) ?? subnets[0] ?? NO_SUBNET);
  const { mode, vni, directRouting, port, cidrs: _parsed, peers: _peers } = mesh;
  return checked(() =>
    parseNetworkSpec({
      name: keys.overlay,
      cidrs: meshCidrs(mesh),
      subnetLengths: { 4: lengthOf(4), 6: lengthOf(6) },
      backend: { type: "vxlan", mode, vni, directRouting, ...(port && { port }), ...(keys.mtu && { mtu: keys.mtu }) },
      masquerade: keys.ipMasq,
    }),
  );
}

function meshInput(
  network: NetworkSpec,
  mesh: Mesh,
  underlay: Underlay,
): OverlayInput & { refusals: readonly string[] } {
  const mine = underlay.addresses.map(prefixAddress);
  const nodeId = meshNodeId(mesh.peers.find(({ publicIP }) => mine.includes(publicIP))?.publicIP);
  const networks = [network];
  const leases = parseLeases([{ network: network.name, subnets: ownSubnets(mesh, underlay) }], { networks, underlay });
  const others = mesh.peers
    .filter(({ publicIP }) => !mine.includes(publicIP))
    .map(({ subnet, publicIP }) => ({
      network: network.name,
      nodeId: meshNodeId(publicIP),
      nodeName: publicIP,
      addresses: [publicIP],
      subnet,
    }));
  const peers = parsePeers(others, { nodeId, networks, leases: leases.accepted, underlay });
  return {
    nodeId,
    networks,
    leases: leases.accepted,
    peers: peers.accepted,
    underlay,
    refusals: [...leases.refusals, ...peers.refusals],
  };
}

/** A mesh names nodes by their address alone. */
function meshNodeId(address: Address | undefined): string {
  return `mesh/${address ?? ""}`;
}

function checked<T>(parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    if (cause instanceof RangeError) throw new CniError(Code.invalidConfig, `mesh: ${cause.message}`, { cause });
    throw cause;
  }
}
