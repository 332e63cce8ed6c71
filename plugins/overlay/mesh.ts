import { wireOf } from "../../backends/backend.ts";
import { CniError, Code, messageOf } from "../../cni/error.ts";
import type { Logger } from "../../cni/log.ts";
import { applyOverlay } from "../../dataplane/apply.ts";
import { applyRulesets, nodeRulesets } from "../../dataplane/node-rules.ts";
import { findUnderlay } from "../../dataplane/underlay.ts";
import { listsTable, parseListing } from "../../firewall/listing.ts";
import { nameHash } from "../../firewall/nft-text.ts";
import { NFT_TABLE_PREFIX } from "../../kernel/mark.ts";
import { openNft } from "../../kernel/nftables/nft.ts";
import { listAddresses } from "../../kernel/rtnetlink/address.ts";
import type { RouteSocket } from "../../kernel/rtnetlink/socket.ts";
import { openRoute } from "../../kernel/rtnetlink/socket.ts";
import type { Family } from "../../net/address.ts";
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
import { ReconcileError } from "../../reconcile/step.ts";
import type { Mesh, OverlayConf } from "./conf.ts";
import type { NodeLease } from "./lease.ts";

/** Stands for "no subnet" where only its length matters. */
const NO_SUBNET = parsePrefix("0.0.0.0/24");

/**
 * What this node holds in a mesh without a controller: the subnets listed with an address that this node has.
 * @throws CniError 7 when none of the mesh's addresses is this node's, or its subnet cannot be used
 */
export function meshLease(keys: OverlayConf, mesh: Mesh): NodeLease {
  using rt = openRoute();
  const underlay = meshUnderlay(rt, mesh);
  const network = meshNetwork(keys, mesh);
  const input = meshInput(network, mesh, underlay);
  return {
    network: keys.overlay,
    state: "held",
    ready: true,
    subnets: input.leases.flatMap(({ subnets }) => subnets),
    cidrs: network.cidrs,
    mtu: desiredOverlay(input).podMtu[keys.overlay] ?? podMtu(network, input.underlay),
  };
}

/**
 * Makes this node's tunnel and routes as the mesh says, when they are not so already.
 * @throws CniError 999 when the kernel refuses a part; a mesh that was not there before leaves nothing then
 */
export async function ensureMesh(keys: OverlayConf, mesh: Mesh, log: Logger): Promise<void> {
  using rt = openRoute();
  const underlay = meshUnderlay(rt, mesh);
  const network = meshNetwork(keys, mesh);
  const input = meshInput(network, mesh, underlay);
  const desired = desiredOverlay(input);
  for (const refusal of [...input.refusals, ...desired.refusals]) log.warn(refusal);
  const owner = `mesh_${nameHash(keys.overlay)}_`;
  const former = formerCidrs(owner);
  const scope = { network: keys.overlay, cidrs: [...network.cidrs, ...former] };
  try {
    const changes = await applyOverlay(rt, desired, { scope });
    log.debug("mesh", { ...changes });
  } catch (error) {
    if (former.length === 0) await applyOverlay(rt, desiredOverlay({ ...input, networks: [] }), { scope });
    throw kernelRefuses(error);
  }
  applyRulesets(nodeRulesets(input, owner));
}

/** The first failure, for what comes after mostly follows from it: a route cannot be without its device. */
function kernelRefuses(error: unknown): unknown {
  if (!(error instanceof ReconcileError)) return error;
  const [{ kind, key = "", error: reason } = { kind: "mesh", error }] = error.failures;
  const details = `${error.failures.length} changes could not be made; the message is about the first`;
  return new CniError(Code.internal, `${kind} ${key}: ${messageOf(reason)}`, { cause: error, details });
}

/**
 * The CIDRs that the list had at the last ADD, from our own nft sets: what it no longer has is to be found and removed.
 * Multicast is among them, where there are no routes.
 */
function formerCidrs(owner: string): Prefix[] {
  using nft = openNft();
  if (!listsTable(nft.query("list tables inet"), "inet", NFT_TABLE_PREFIX)) return [];
  const { sets } = parseListing(nft.query(`list table inet ${NFT_TABLE_PREFIX}`));
  const keys = [4, 6].flatMap((family) => sets.get(`${owner}overlay_near${family}`)?.elements ?? []);
  return keys.flatMap(({ key }) => (key.includes("/") ? [parsePrefix(key)] : []));
}

function meshUnderlay(rt: RouteSocket, mesh: Mesh): Underlay {
  const listed = mesh.peers.map(({ publicIP }) => publicIP);
  const holder = listAddresses(rt).find(({ address }) => listed.includes(prefixAddress(address)));
  if (holder === undefined) {
    throw new CniError(
      Code.invalidConfig,
      `mesh.peers: none of ${listed.join(", ")} is an address of this node; list this node's own subnet and address too`,
    );
  }
  try {
    return findUnderlay(rt, { own: listed });
  } catch (cause) {
    throw new CniError(Code.invalidConfig, `mesh.peers: ${messageOf(cause)}`, { cause });
  }
}

type MeshPeer = Mesh["peers"][number];

function nodeOf({ node, publicIP }: MeshPeer): string {
  return node ?? publicIP;
}

/** The names under which this node is listed: one, or one an address when its entries are not joined by `node`. */
function ownNames(mesh: Mesh, underlay: Underlay): ReadonlySet<string> {
  const mine = underlay.addresses.map(prefixAddress);
  return new Set(mesh.peers.filter(({ publicIP }) => mine.includes(publicIP)).map(nodeOf));
}

function ownSubnets(mesh: Mesh, underlay: Underlay): Prefix[] {
  const names = ownNames(mesh, underlay);
  return mesh.peers.flatMap((peer) => (names.has(nodeOf(peer)) ? [peer.subnet] : []));
}

/**
 * In static mode of VXLAN the peers derive a node's MAC address from its name, so it may have only one.
 * @throws CniError 7
 */
function ownNodeId(mesh: Mesh, names: ReadonlySet<string>): string {
  const [name = "", ...more] = names;
  if (wireOf(mesh.backend)?.vtepMac !== true || more.length === 0) return meshNodeId(name);
  throw new CniError(
    Code.invalidConfig,
    `mesh.peers: ${[...names].join(" and ")} are both this node's; in mode "static" give all entries of a node the same "node", such as {"node": "a", …}`,
  );
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
  return checked(() =>
    parseNetworkSpec({
      name: keys.overlay,
      cidrs: meshCidrs(mesh),
      subnetLengths: { 4: lengthOf(4), 6: lengthOf(6) },
      backend: { ...mesh.backend, ...(keys.mtu && { mtu: keys.mtu }) },
      masquerade: keys.ipMasq,
    }),
  );
}

function meshInput(
  network: NetworkSpec,
  mesh: Mesh,
  underlay: Underlay,
): OverlayInput & { refusals: readonly string[] } {
  const names = ownNames(mesh, underlay);
  const nodeId = ownNodeId(mesh, names);
  const networks = [network];
  const leases = parseLeases([{ network: network.name, subnets: ownSubnets(mesh, underlay) }], { networks, underlay });
  const [refused] = leases.refusals;
  if (refused !== undefined) throw new CniError(Code.invalidConfig, `mesh.peers: ${refused}`);
  const others = mesh.peers
    .filter((peer) => !names.has(nodeOf(peer)))
    .map((peer) => ({
      network: network.name,
      nodeId: meshNodeId(nodeOf(peer)),
      nodeName: nodeOf(peer),
      addresses: [...addressesOf(mesh, nodeOf(peer))],
      subnet: peer.subnet,
    }));
  const peers = parsePeers(others, { nodeId, networks, leases: leases.accepted, underlay });
  return {
    nodeId,
    networks,
    leases: leases.accepted,
    peers: peers.accepted,
    underlay: { ...underlay, addresses: knownAddresses(mesh, underlay) },
    refusals: peers.refusals,
  };
}

/** Of this node's addresses those in the list: the others' tunnel guards take packets from no other. */
function knownAddresses({ peers }: Mesh, { addresses }: Underlay): Prefix[] {
  return addresses.filter((address) => peers.some(({ publicIP }) => publicIP === prefixAddress(address)));
}

function addressesOf(mesh: Mesh, name: string): ReadonlySet<string> {
  return new Set(mesh.peers.filter((peer) => nodeOf(peer) === name).map(({ publicIP }) => publicIP));
}

function meshNodeId(name: string): string {
  return `mesh/${name}`;
}

function checked<T>(parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    if (cause instanceof RangeError) throw new CniError(Code.invalidConfig, `mesh: ${cause.message}`, { cause });
    throw cause;
  }
}
