import type { Address } from "../../net/address.ts";
import { contains, type Prefix, prefixFamily, prefixLength } from "../../net/prefix.ts";
import type { WireguardPublicKey } from "../../net/wireguard-key.ts";
import type { Entry, StoreEvent } from "../store/store.ts";
import { ChangeLog } from "./change-log.ts";
import { invalid, RequestError } from "./error.ts";
import type { Log } from "./log.ts";
import { type ClusterSecret, decodeSecrets, type Rekeyed, SECRETS_KEY } from "./pair-keys.ts";
import { Pool } from "./pool.ts";
import {
  checkNetwork,
  checkNode,
  checkRelease,
  checkSubnet,
  decodeRecord,
  KEYS,
  type NetworkRecord,
  type NodeRecord,
  parseSubnetPath,
  type ReleaseRecord,
  type SubnetRecord,
} from "./record.ts";
import { checkName } from "./validate.ts";

interface Revisions {
  readonly createRevision: number;
  readonly modRevision: number;
}

export interface Network extends NetworkRecord, Revisions {
  readonly name: string;
  readonly pools: ReadonlyMap<Prefix, Pool>;
}

export interface Node extends NodeRecord, Revisions {
  readonly id: string;
}

/** Its epoch is `createRevision`. */
export interface Subnet extends SubnetRecord, Revisions {
  readonly key: string;
  readonly network: string;
  readonly subnet: Prefix;
}

export interface Release extends ReleaseRecord, Revisions {
  readonly key: string;
}

/**
 * The store's content as of one revision, validated and indexed. Broken and hostile records are logged and left out; their
 * keys still count as used, because nothing can be created there.
 */
export class State {
  readonly networks = new Map<string, Network>();
  readonly nodes = new Map<string, Node>();
  readonly subnets = new Map<string, Subnet>();
  readonly releases = new Map<string, Release>();
  /** Subnets whose network is gone, by key with their modRevision: to be swept. */
  readonly orphans = new Map<string, number>();
  readonly changes = new ChangeLog();
  /** Of WireGuard's preshared keys, oldest first. Never to be logged. */
  secrets: readonly ClusterSecret[] = [];
  /** Of their record; 0: there is none. */
  secretsRevision = 0;
  #rekeyed = new Map<string, Node | undefined>();
  /** Everything seen under {@link KEYS}, broken ones included: key to modRevision. */
  readonly #known = new Map<string, number>();
  readonly #subnetsOfNode = new Map<string, Map<string, Subnet>>();
  readonly #subnetsOfNetwork = new Map<string, Map<string, Subnet>>();
  readonly #nodeOfAddress = new Map<Address, string>();
  readonly #nodeOfPublicKey = new Map<string, string>();
  readonly #unclaimed = new Map<string, Subnet>();
  readonly #log: Log;
  revision = 0;

  constructor(log: Log) {
    this.#log = log;
  }

  /** The events that turn this state into a fresh listing. */
  difference(entries: readonly Entry[], revision: number): StoreEvent[] {
    const events: StoreEvent[] = [];
    const listed = new Set(entries.map((entry) => entry.key));
    for (const key of this.#known.keys())
      if (!listed.has(key)) events.push({ type: "delete", key, modRevision: revision });
    for (const entry of entries) {
      if (this.#known.get(entry.key) !== entry.modRevision) events.push({ type: "put", ...entry });
    }
    return events;
  }

  /**
   * Applies events up to that revision; those of a listing count as having happened at it. Afterwards {@link changes} holds
   * what nodes must hear of.
   */
  apply(events: readonly StoreEvent[], revision: number, source: "listing" | "watch" = "watch"): void {
    for (const event of events) {
      if (event.type === "put") this.#known.set(event.key, event.modRevision);
      else this.#known.delete(event.key);
      this.#applyOne(event, source === "listing" ? revision : event.modRevision);
    }
    this.revision = revision;
  }

  subnetsOfNode(nodeId: string): Iterable<Subnet> {
    return this.#subnetsOfNode.get(nodeId)?.values() ?? [];
  }

  subnetsOfNetwork(network: string): Iterable<Subnet> {
    return this.#subnetsOfNetwork.get(network)?.values() ?? [];
  }

  nodeWithAddress(address: Address): Node | undefined {
    const id = this.#nodeOfAddress.get(address);
    return id === undefined ? undefined : this.nodes.get(id);
  }

  nodeWithPublicKey(key: WireguardPublicKey): Node | undefined {
    const id = this.#nodeOfPublicKey.get(key);
    return id === undefined ? undefined : this.nodes.get(id);
  }

  /** Nodes whose WireGuard key or epoch changed since this was asked last, as they were then. */
  takeRekeyed(): Rekeyed {
    const rekeyed = this.#rekeyed;
    this.#rekeyed = new Map();
    return rekeyed;
  }

  /** A subnet set aside for a node of that name or with one of those addresses, in the CIDR. */
  setAside(network: string, cidr: Prefix, name: string, addresses: readonly Address[]): Subnet | undefined {
    for (const who of [name, ...addresses]) {
      const subnet = this.#unclaimed.get(unclaimedKey(network, cidr, who));
      if (subnet !== undefined) return subnet;
    }
    return undefined;
  }

  #applyOne(event: StoreEvent, revision: number): void {
    const { key } = event;
    try {
      if (key.startsWith(KEYS.subnets)) this.#applySubnet(event, revision);
      else if (key.startsWith(KEYS.nodes)) this.#applyNode(event);
      else if (key.startsWith(KEYS.networks)) this.#applyNetwork(event, revision);
      else if (key.startsWith(KEYS.released)) this.#applyRelease(event);
      else if (key === SECRETS_KEY) this.#applySecrets(event);
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      this.#log.error(
        { key, reason: error.message },
        "ignoring a broken record in the store; correct or delete it there",
      );
    }
  }

  #applyNetwork(event: StoreEvent, revision: number): void {
    const name = checkName("key", event.key.slice(KEYS.networks.length));
    const old = this.networks.get(name);
    if (event.type === "delete" || event.createRevision !== old?.createRevision) this.#removeNetwork(name, revision);
    if (event.type === "delete") return;
    const { createRevision, modRevision } = event;
    const record = decodeRecord(event.value, checkNetwork);
    this.#refuseOverlap(name, record);
    const kept = this.networks.get(name);
    if (kept !== undefined && !sameLayout(kept, record)) {
      invalid("cidrs", record.cidrs.join(), `differ from the ${kept.cidrs.join()} that it was created with`);
    }
    const pools = kept?.pools ?? this.#makePools(name, record);
    this.networks.set(name, { ...record, name, createRevision, modRevision, pools });
    this.changes.add(revision, { kind: "network", key: name });
  }

  /** With every key that is there already, whatever it holds, counted as used. */
  #makePools(name: string, record: NetworkRecord): ReadonlyMap<Prefix, Pool> {
    const pools = new Map(record.cidrs.map((cidr) => [cidr, new Pool(cidr, subnetLength(record, cidr))]));
    const prefix = `${KEYS.subnets}${name}/`;
    for (const key of this.#known.keys()) {
      if (!key.startsWith(prefix)) continue;
      const subnet = tryParseSubnet(key);
      for (const [cidr, pool] of pools) {
        if (subnet !== undefined && contains(cidr, subnet) && prefixLength(subnet) === subnetLength(record, cidr)) {
          pool.markUsed(subnet);
        }
      }
    }
    return pools;
  }

  #refuseOverlap(name: string, record: NetworkRecord): void {
    const clash = overlappingNetwork(this.networks.values(), name, record.cidrs);
    if (clash !== undefined) invalid("cidrs", clash.cidr, `overlaps ${clash.otherCidr} of network "${clash.other}"`);
  }

  #removeNetwork(name: string, revision: number): void {
    if (!this.networks.delete(name)) return;
    for (const subnet of [...this.subnetsOfNetwork(name)]) {
      this.#unlink(subnet, revision);
      this.orphans.set(subnet.key, subnet.modRevision);
    }
    this.changes.add(revision, { kind: "network", key: name });
  }

  #applyNode(event: StoreEvent): void {
    const id = checkName("key", event.key.slice(KEYS.nodes.length), 253);
    const before = this.nodes.get(id);
    for (const address of before?.addresses ?? []) {
      if (this.#nodeOfAddress.get(address) === id) this.#nodeOfAddress.delete(address);
    }
    if (before !== undefined && this.#nodeOfPublicKey.get(before.publicKey) === id)
      this.#nodeOfPublicKey.delete(before.publicKey);
    this.nodes.delete(id);
    if (event.type === "delete") this.#noteRekeyed(id, before, undefined);
    if (event.type === "delete") return;
    const { createRevision, modRevision } = event;
    const node: Node = { ...decodeRecord(event.value, checkNode), id, createRevision, modRevision };
    this.nodes.set(id, node);
    for (const address of node.addresses) this.#nodeOfAddress.set(address, id);
    if (node.publicKey !== "") this.#nodeOfPublicKey.set(node.publicKey, id);
    this.#noteRekeyed(id, before, node);
  }

  #noteRekeyed(id: string, before: Node | undefined, now: Node | undefined): void {
    const isSame = before?.publicKey === now?.publicKey && before?.secretsEpoch === now?.secretsEpoch;
    if (!isSame && !this.#rekeyed.has(id)) this.#rekeyed.set(id, before);
  }

  #applySecrets(event: StoreEvent): void {
    this.secretsRevision = event.type === "put" ? event.modRevision : 0;
    this.secrets = [];
    if (event.type === "put") this.secrets = decodeSecrets(event.value);
  }

  #applyRelease(event: StoreEvent): void {
    this.releases.delete(event.key);
    if (event.type === "delete") return;
    const { key, createRevision, modRevision } = event;
    this.releases.set(key, { ...decodeRecord(event.value, checkRelease), key, createRevision, modRevision });
  }

  #applySubnet(event: StoreEvent, revision: number): void {
    const { key } = event;
    const old = this.subnets.get(key);
    this.orphans.delete(key);
    if (event.type === "delete") this.#freeKey(key);
    const next = event.type === "put" ? this.#readSubnet(event, old, revision) : undefined;
    if (old !== undefined && next === undefined) this.#unlink(old, revision);
    if (next === undefined) return;
    if (old !== undefined) this.#unindex(old);
    this.#index(next);
    if (old === undefined || !sameToPeers(old, next)) this.changes.add(revision, { kind: "subnet", key });
  }

  /** Undefined for an orphan. */
  #readSubnet(event: Entry, old: Subnet | undefined, revision: number): Subnet | undefined {
    const { key, createRevision, modRevision } = event;
    try {
      const { network: name, subnet } = parseSubnetPath(key.slice(KEYS.subnets.length));
      const network = this.networks.get(name);
      if (network !== undefined) poolOf(network, subnet).markUsed(subnet);
      if (network === undefined || createRevision < network.createRevision) {
        this.orphans.set(key, modRevision);
        return undefined;
      }
      return { ...decodeRecord(event.value, checkSubnet), key, network: name, subnet, createRevision, modRevision };
    } catch (error) {
      if (old !== undefined) this.#unlink(old, revision); // what it was is no longer true
      throw error;
    }
  }

  #freeKey(key: string): void {
    const { network: name, subnet } = parseSubnetPath(key.slice(KEYS.subnets.length));
    const network = this.networks.get(name);
    if (network !== undefined) poolOf(network, subnet).markFree(subnet);
  }

  #unlink(subnet: Subnet, revision: number): void {
    this.#unindex(subnet);
    this.changes.add(revision, { kind: "subnet", key: subnet.key });
  }

  #index(subnet: Subnet): void {
    this.subnets.set(subnet.key, subnet);
    indexUnder(this.#subnetsOfNetwork, subnet.network, subnet);
    if (subnet.nodeId !== "") indexUnder(this.#subnetsOfNode, subnet.nodeId, subnet);
    else for (const key of this.#unclaimedKeys(subnet)) this.#unclaimed.set(key, subnet);
  }

  #unindex(subnet: Subnet): void {
    this.subnets.delete(subnet.key);
    this.#subnetsOfNetwork.get(subnet.network)?.delete(subnet.key);
    const ofNode = this.#subnetsOfNode.get(subnet.nodeId);
    ofNode?.delete(subnet.key);
    if (ofNode?.size === 0) this.#subnetsOfNode.delete(subnet.nodeId);
    if (subnet.nodeId !== "") return;
    for (const key of this.#unclaimedKeys(subnet)) {
      if (this.#unclaimed.get(key)?.key === subnet.key) this.#unclaimed.delete(key);
    }
  }

  #unclaimedKeys(subnet: Subnet): string[] {
    const network = this.networks.get(subnet.network);
    const cidr = network?.cidrs.find((candidate) => contains(candidate, subnet.subnet));
    if (cidr === undefined) return [];
    const who = subnet.nodeName === "" ? subnet.addresses : [subnet.nodeName, ...subnet.addresses];
    return who.map((one) => unclaimedKey(subnet.network, cidr, one));
  }
}

/** The length of a node's subnet in this CIDR of the network. */
export function subnetLength(network: NetworkRecord, cidr: Prefix): number {
  const length = network.subnetLengths[prefixFamily(cidr)];
  return length ?? invalid("subnetLengths", cidr, "has no subnet length");
}

/** The pool that the subnet belongs to. @throws RequestError when it is none of the network's subnets */
export function poolOf(network: Network, subnet: Prefix): Pool {
  for (const [cidr, pool] of network.pools) {
    if (!contains(cidr, subnet)) continue;
    const length = subnetLength(network, cidr);
    if (prefixLength(subnet) !== length)
      return invalid("subnet", subnet, `is no /${length}, as the subnets of network "${network.name}" are`);
    return pool;
  }
  return invalid("subnet", subnet, `lies outside network "${network.name}" (${network.cidrs.join(", ")})`);
}

/** The first clash of these CIDRs with those of another network. */
export function overlappingNetwork(
  networks: Iterable<Network>,
  name: string,
  cidrs: readonly Prefix[],
): { cidr: Prefix; other: string; otherCidr: Prefix } | undefined {
  for (const other of networks) {
    if (other.name === name) continue;
    for (const cidr of cidrs) {
      const otherCidr = other.cidrs.find((candidate) => contains(candidate, cidr) || contains(cidr, candidate));
      if (otherCidr !== undefined) return { cidr, other: other.name, otherCidr };
    }
  }
  return undefined;
}

/** Nodes hear of a subnet once it says where to send. */
export function isRouted(subnet: Subnet): boolean {
  return subnet.addresses.length > 0;
}

function sameToPeers(a: Subnet, b: Subnet): boolean {
  return (
    a.createRevision === b.createRevision &&
    a.nodeId === b.nodeId &&
    a.nodeName === b.nodeName &&
    a.reserved === b.reserved &&
    a.vtepMac === b.vtepMac &&
    a.receives === b.receives &&
    a.publicKey === b.publicKey &&
    a.addresses.join() === b.addresses.join()
  );
}

function sameLayout(a: NetworkRecord, b: NetworkRecord): boolean {
  const layout = (network: NetworkRecord) =>
    network.cidrs.map((cidr) => `${cidr} ${subnetLength(network, cidr)}`).join();
  return layout(a) === layout(b);
}

function tryParseSubnet(key: string): Prefix | undefined {
  try {
    return parseSubnetPath(key.slice(KEYS.subnets.length)).subnet;
  } catch (error) {
    if (error instanceof RequestError) return undefined;
    throw error;
  }
}

function unclaimedKey(network: string, cidr: Prefix, who: string): string {
  return `${network} ${cidr} ${who}`;
}

function indexUnder(index: Map<string, Map<string, Subnet>>, under: string, subnet: Subnet): void {
  const group = index.get(under) ?? new Map<string, Subnet>();
  group.set(subnet.key, subnet);
  index.set(under, group);
}
