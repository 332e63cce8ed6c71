import { factsOf, wireOf } from "../backends/backend.ts";
import { type Address, familyOf, parseAddress } from "../net/address.ts";
import { isGroupMac, type Mac, parseMac } from "../net/mac.ts";
import { parseNetwork, prefixAddress } from "../net/prefix.ts";
import { parseWireguardPublicKey, type WireguardPublicKey } from "../net/wireguard-key.ts";
import { backendsOf, type NetworkSpec, type OwnLease, type Peer, type Underlay } from "./network.ts";
import { checkSubnet, checkUnderlayAddress, oneLine, type Parsed, quote } from "./parse-network.ts";
import { type Span, spanContains, spanOf, spansOverlap } from "./span.ts";
import { SpanIndex } from "./span-index.ts";
import { vtepMac } from "./vtep.ts";

/** A node's subnet as the controller or a file says it. */
export interface UncheckedPeer {
  readonly network: string;
  /** Empty: reserved for nobody yet, and silently left out. */
  readonly nodeId: string;
  readonly nodeName: string;
  readonly addresses: readonly string[];
  readonly subnet: string;
  /** Empty or absent: derived. */
  readonly vtepMac?: string;
  /** Its node's WireGuard key; empty or absent: none. */
  readonly publicKey?: string;
  /** The newest generation of the network's backend that it takes. */
  readonly receives?: number;
  /** The store revision that granted it: of two claims the older one holds. */
  readonly epoch?: bigint;
}

/** What peers are checked against; all checked already. */
export interface PeerContext {
  readonly nodeId: string;
  readonly networks: readonly NetworkSpec[];
  readonly leases: readonly OwnLease[];
  readonly underlay: Underlay;
  /** Our own WireGuard key; absent: we have none. */
  readonly publicKey?: WireguardPublicKey | undefined;
}

/** Checks our own subnets: inside the network's CIDRs, and not over our own underlay address. */
export function parseLeases(
  leases: readonly { readonly network: string; readonly subnets: readonly string[] }[],
  context: Pick<PeerContext, "networks" | "underlay">,
): Parsed<OwnLease> {
  const place = new Place(context);
  const accepted: OwnLease[] = [];
  const refusals: string[] = [];
  for (const { network, subnets } of leases) {
    if (!place.hasNetwork(network)) continue;
    try {
      accepted.push({ network, subnets: subnets.map((text) => place.parseSubnet(text, network).prefix) });
    } catch (error) {
      refusals.push(oneLine(`our lease in network "${network}" is refused: ${rangeErrorMessage(error)}`));
    }
  }
  return { accepted, refusals };
}

/**
 * Checks the peers, which come from other machines. A refused one gets no route. Our own subnets, reservations and
 * subnets of networks that are not given are left out without a word.
 */
export function parsePeers(peers: readonly UncheckedPeer[], context: PeerContext): Parsed<Peer> {
  const place = new Place(context);
  const claims = new Claims(context, place);
  const accepted: Peer[] = [];
  const refusals: string[] = [];
  for (const unchecked of peers.toSorted(olderFirst)) {
    const { network, nodeId, nodeName, subnet } = unchecked;
    if (!place.hasNetwork(network) || nodeId === "" || nodeId === context.nodeId) continue;
    try {
      const claim = parsePeer(unchecked, place);
      claims.take(claim);
      accepted.push(claim.peer);
    } catch (error) {
      const what = `subnet ${quote(subnet)} of node ${quote(nodeName)} in network "${network}"`;
      refusals.push(oneLine(`${what} is refused: ${rangeErrorMessage(error)}`));
    }
  }
  return { accepted, refusals };
}

/** A peer with its values as numbers. */
interface Claim {
  readonly peer: Peer;
  readonly subnet: Span;
  readonly addresses: readonly Span[];
}

function parsePeer(unchecked: UncheckedPeer, place: Place): Claim {
  const { network, nodeId, nodeName } = unchecked;
  const subnet = place.parseSubnet(unchecked.subnet, network);
  const addresses = unchecked.addresses.map(parseAddress);
  if (addresses.length === 0) throw new RangeError("the node has no underlay address");
  if (new Set(addresses.map(familyOf)).size < addresses.length) {
    throw new RangeError(`the node has more than one underlay address of a family: ${addresses.join(", ")}`);
  }
  const spans = addresses.map(spanOf);
  for (const span of spans) checkUnderlayAddress(span);
  const peer = { network, nodeId, nodeName, addresses, subnet: subnet.prefix };
  const mac = unchecked.vtepMac ? { vtepMac: parseVtepMac(unchecked.vtepMac) } : {};
  const key = unchecked.publicKey ? { publicKey: parseWireguardPublicKey(unchecked.publicKey) } : {};
  const receives = unchecked.receives ? { receives: unchecked.receives } : {};
  return { peer: { ...peer, ...mac, ...key, ...receives }, subnet, addresses: spans };
}

function parseVtepMac(text: string): Mac {
  const mac = parseMac(text);
  if (isGroupMac(mac) || mac === "00:00:00:00:00:00") throw new RangeError(`${mac} is not the MAC address of a device`);
  return mac;
}

/** Where subnets may lie: inside their network, beside the underlay. */
class Place {
  readonly #cidrs: ReadonlyMap<string, readonly Span[]>;
  readonly #segments: readonly Span[];
  readonly #device: string;

  constructor({ networks, underlay }: Pick<PeerContext, "networks" | "underlay">) {
    this.#cidrs = new Map(networks.map(({ name, cidrs }) => [name, cidrs.map(spanOf)]));
    this.#segments = underlay.addresses.map(spanOf);
    this.#device = underlay.device;
  }

  hasNetwork(name: string): boolean {
    return this.#cidrs.has(name);
  }

  /** Whether the address is one that a network's subnet may cover. */
  isInsideNetwork(address: Span): boolean {
    return [...this.#cidrs.values()].some((cidrs) => cidrs.some((cidr) => spanContains(cidr, address)));
  }

  parseSubnet(text: string, network: string): Span {
    const subnet = spanOf(parseNetwork(text));
    checkSubnet(subnet);
    const cidrs = this.#cidrs.get(network) ?? [];
    if (!cidrs.some((cidr) => spanContains(cidr, subnet))) {
      throw new RangeError(`it is outside the network's ${cidrs.map(({ prefix }) => prefix).join(", ")}`);
    }
    const segment = this.#segments.find((each) => spansOverlap(each, subnet));
    if (segment !== undefined) throw new RangeError(`it overlaps our underlay ${segment.prefix} on ${this.#device}`);
    return subnet;
  }
}

interface Holder {
  readonly nodeId: string;
  readonly description: string;
}

/** What is taken already, by us and by the peers accepted so far. */
class Claims {
  readonly #subnets = new SpanIndex<string>();
  readonly #addresses = new Map<Address, Holder>();
  /** Underlay addresses that a subnet could cover; mostly none. */
  readonly #coverable = new SpanIndex<string>();
  readonly #macs = new Map<string, Holder>();
  readonly #macNetworks: ReadonlySet<string>;
  readonly #keys = new Map<WireguardPublicKey, Holder>();
  readonly #keyedNetworks: ReadonlySet<string>;
  readonly #place: Place;

  constructor({ nodeId, networks, leases, underlay, publicKey }: PeerContext, place: Place) {
    this.#place = place;
    this.#macNetworks = new Set(networks.filter(usesMacs).map(({ name }) => name));
    for (const { subnets } of leases) for (const each of subnets) this.#subnets.add(spanOf(each), `our own ${each}`);
    const self = { nodeId, description: "this node" };
    this.#keyedNetworks = new Set(networks.filter(usesKeys).map(({ name }) => name));
    if (publicKey !== undefined) this.#keys.set(publicKey, self);
    for (const address of underlay.addresses) this.#addresses.set(prefixAddress(address), self);
    for (const name of this.#macNetworks) this.#macs.set(`${name} ${vtepMac(name, nodeId)}`, self);
  }

  /** @throws RangeError naming the holder; then nothing is taken. */
  take({ peer, subnet, addresses }: Claim): void {
    const mac = this.#macNetworks.has(peer.network) ? (peer.vtepMac ?? vtepMac(peer.network, peer.nodeId)) : undefined;
    const macKey = `${peer.network} ${mac}`;
    const overlap = this.#subnets.findOverlap(subnet) ?? this.#coverable.findOverlap(subnet);
    if (overlap !== undefined) throw new RangeError(`it overlaps ${overlap}`);
    for (const address of addresses) {
      const text = prefixAddress(address.prefix);
      refuseTaken(this.#addresses.get(text), peer, `its underlay address ${text}`);
      const inside = spanContains(subnet, address) ? "the subnet itself" : this.#subnets.findOverlap(address);
      if (inside !== undefined) throw new RangeError(`its underlay address ${text} lies in ${inside}`);
    }
    const key = this.#keyedNetworks.has(peer.network) ? peer.publicKey : undefined;
    if (key !== undefined) refuseTaken(this.#keys.get(key), peer, `its WireGuard key ${key}`);
    if (mac !== undefined) refuseTaken(this.#macs.get(macKey), peer, `its VTEP MAC ${mac}`);

    const holder = { nodeId: peer.nodeId, description: `node ${quote(peer.nodeName)}` };
    this.#subnets.add(subnet, `${peer.subnet} of ${holder.description}`);
    if (mac !== undefined) this.#macs.set(macKey, holder);
    if (key !== undefined) this.#keys.set(key, holder);
    for (const address of addresses) {
      const text = prefixAddress(address.prefix);
      this.#addresses.set(text, holder);
      if (this.#place.isInsideNetwork(address)) {
        this.#coverable.add(address, `underlay address ${text} of ${holder.description}`);
      }
    }
  }
}

function refuseTaken(holder: Holder | undefined, peer: Peer, what: string): void {
  if (holder === undefined || holder.nodeId === peer.nodeId) return;
  throw new RangeError(`${what} is that of ${holder.description}`);
}

function usesKeys(network: NetworkSpec): boolean {
  return backendsOf(network).some(({ type }) => factsOf(type)?.nodeKeys === true);
}

function usesMacs(network: NetworkSpec): boolean {
  return backendsOf(network).some((backend) => wireOf(backend)?.vtepMac === true);
}

function olderFirst(a: UncheckedPeer, b: UncheckedPeer): number {
  const [x, y] = [a.epoch ?? 0n, b.epoch ?? 0n];
  if (x !== y) return x < y ? -1 : 1;
  return compareText(a.network, b.network) || compareText(a.subnet, b.subnet) || compareText(a.nodeId, b.nodeId);
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function rangeErrorMessage(error: unknown): string {
  if (error instanceof RangeError) return error.message;
  throw error;
}
