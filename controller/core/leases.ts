import type { Address } from "../../net/address.ts";
import { contains, type Prefix, prefixFamily } from "../../net/prefix.ts";
import type { WireguardPublicKey } from "../../net/wireguard-key.ts";
import type { Progress } from "./announcement.ts";
import { Draft } from "./draft.ts";
import { RequestError } from "./error.ts";
import type { Pool } from "./pool.ts";
import { type NodeRecord, releaseKey, type SubnetRecord, subnetKey } from "./record.ts";
import { type Network, poolOf, type State, type Subnet } from "./state.ts";

/** A subnet that a node believes it holds. */
export interface Held {
  readonly network: string;
  readonly subnet: Prefix;
  readonly epoch: number;
}

/** What a node announced and asks for. */
export interface Claim {
  readonly nodeId: string;
  readonly nodeName: string;
  readonly addresses: readonly Address[];
  readonly backends: readonly string[];
  readonly version: string;
  readonly bootId: string;
  /** Of its WireGuard; "": none. */
  readonly publicKey: WireguardPublicKey | "";
  /** Networks to join; those that do not exist are passed over. */
  readonly networks: readonly string[] | "all";
  readonly held: readonly Held[];
  /** How far it is with changes of networks' backends, by network; what it has not told is as it was. */
  readonly progress?: ReadonlyMap<string, Progress>;
}

export interface LeasedSubnet {
  readonly subnet: Prefix;
  readonly epoch: number;
}

/** What a node holds in one network; the meaning of each state stands in podwire.proto. */
export interface Lease {
  readonly network: string;
  readonly state: "HELD" | "FENCED" | "NONE";
  readonly reason: string;
  readonly subnets: readonly LeasedSubnet[];
  readonly expiresAt: number;
}

export interface PlanOptions {
  readonly now: number;
  /** How long a lease lasts, in milliseconds. */
  readonly ttl: number;
  /** How many races this claim has lost; spreads the choice of subnets. */
  readonly attempt: number;
  /** Whether that node has a session with this controller; one that another replica serves counts as gone. */
  readonly isLive: (nodeId: string) => boolean;
  /** A number in [0, 1). */
  readonly random: () => number;
}

export interface Plan {
  /** Empty when the store already holds what the leases say. */
  readonly draft: Draft;
  readonly leases: readonly Lease[];
  /** Subnets offered in the draft, to be unheld when its outcome is known to the state. */
  readonly offered: readonly { readonly pool: Pool; readonly subnet: Prefix }[];
}

/**
 * Decides what a node gets, from the state alone: confirms, renews, gives back, adopts, allocates or fences. Carry out the
 * draft, wait until the state has it, and plan again, until the draft is empty: then the leases are true.
 */
export function planLeases(state: State, claim: Claim, options: PlanOptions): Plan {
  const planner = new Planner(state, claim, options);
  planner.announce();
  const leases = networksOf(state, claim).map((network) => planner.lease(network));
  return { draft: planner.draft, leases, offered: planner.offered };
}

function networksOf(state: State, { networks }: Claim): Network[] {
  if (networks === "all") return [...state.networks.values()];
  return networks.flatMap((name) => state.networks.get(name) ?? []);
}

class Planner {
  readonly draft = new Draft();
  readonly offered: { pool: Pool; subnet: Prefix }[] = [];
  /** CIDRs from which an expired subnet is given back; one each, or a node could name its way through the pool. */
  readonly #restored = new Set<Prefix>();
  readonly #state: State;
  readonly #claim: Claim;
  readonly #options: PlanOptions;

  constructor(state: State, claim: Claim, options: PlanOptions) {
    this.#state = state;
    this.#claim = claim;
    this.#options = options;
  }

  /** Brings the node's record and the addresses on all its subnets up to date. */
  announce(): void {
    const { nodeId, nodeName, addresses, publicKey, progress } = this.#claim;
    const known = this.#state.nodes.get(nodeId);
    if (known === undefined || !sameNode(known, this.#claim)) this.#putNode();
    for (const subnet of this.#state.subnetsOfNode(nodeId)) {
      if (this.draft.isFull) return;
      const { receives = 0, sends = 0 } = subnet;
      const told = progress?.get(subnet.network) ?? { receives, sends };
      const same =
        subnet.nodeName === nodeName &&
        subnet.addresses.join() === addresses.join() &&
        subnet.publicKey === publicKey &&
        subnet.vtepMac === undefined &&
        told.receives === receives &&
        told.sends === sends;
      if (!same) this.#update(subnet, { nodeName, addresses, publicKey, ...told });
    }
    for (const address of addresses) this.#takeAddress(address);
  }

  lease(network: Network): Lease {
    const held = this.#claim.held.filter((one) => one.network === network.name);
    const fenced = held.flatMap((one) => this.#confirm(network, one) ?? []);
    const own = [...this.#state.subnetsOfNode(this.#claim.nodeId)].filter((one) => one.network === network.name);
    for (const subnet of own) this.#renew(subnet);
    const expiresAt = Math.min(...own.map((subnet) => subnet.expiresAt || Number.POSITIVE_INFINITY));
    const base = { network: network.name, expiresAt: Number.isFinite(expiresAt) ? expiresAt : 0 };
    const [first] = fenced;
    if (first !== undefined) {
      return {
        ...base,
        state: "FENCED",
        reason: fenced.map((one) => one.reason).join("; "),
        subnets: fenced.map(leased),
      };
    }
    const missing = network.cidrs.filter((cidr) => !own.some((subnet) => contains(cidr, subnet.subnet)));
    const exhausted = missing.filter((cidr) => !this.#obtain(network, cidr));
    if (exhausted.length > 0) {
      return {
        ...base,
        state: "NONE",
        reason: exhausted.map((cidr) => exhaustion(network, cidr)).join("; "),
        subnets: [],
      };
    }
    return {
      ...base,
      state: "HELD",
      reason: "",
      subnets: own.map(({ subnet, createRevision }) => ({ subnet, epoch: createRevision })),
    };
  }

  /** Says why the node may not go on with that subnet; undefined when it may. */
  #confirm(network: Network, held: Held): (Held & { reason: string }) | undefined {
    const { nodeId } = this.#claim;
    const fence = (why: string) => ({
      ...held,
      reason: `${held.subnet} of network "${network.name}" (epoch ${held.epoch}) ${why}; remove this node's pods that use it to get another subnet`,
    });
    const record = this.#state.subnets.get(subnetKey(network.name, held.subnet));
    if (record !== undefined)
      return record.nodeId === nodeId || this.#isSetAside(record) ? undefined : fence(heldBy(record));
    const cidr = network.cidrs.find((candidate) => contains(candidate, held.subnet));
    if (cidr === undefined) return fence(`lies outside ${network.cidrs.join(", ")}`);
    const release = this.#state.releases.get(releaseKey(network.name, held.subnet));
    if (release?.nodeId === nodeId && release.epoch === held.epoch) {
      return fence(`was released by an administrator at ${new Date(release.releasedAt).toISOString()}`);
    }
    for (const own of this.#state.subnetsOfNode(nodeId)) {
      if (own.network === network.name && contains(cidr, own.subnet))
        return fence(`expired, and this node holds ${own.subnet} now`);
    }
    if (this.#restored.has(cidr)) return fence("expired, and another one that this node names is given back instead");
    if (!this.#restore(network, held)) return fence("is not one of its subnets");
    this.#restored.add(cidr);
    return undefined;
  }

  /** Whether {@link State.setAside} would find it for this node. */
  #isSetAside(subnet: Subnet): boolean {
    const { nodeName, addresses } = this.#claim;
    if (subnet.nodeId !== "") return false;
    return subnet.nodeName === nodeName || subnet.addresses.some((address) => addresses.includes(address));
  }

  /** Gives an expired subnet that nobody took back to the node whose pods still use it, under a new epoch. */
  #restore(network: Network, held: Held): boolean {
    try {
      poolOf(network, held.subnet);
    } catch (error) {
      if (error instanceof RequestError) return false;
      throw error;
    }
    this.#create(network, held.subnet);
    return true;
  }

  /** Finds a subnet in the CIDR: one set aside for this node, or a free one. False when there is none. */
  #obtain(network: Network, cidr: Prefix): boolean {
    if (this.draft.isFull || this.#restored.has(cidr)) return true; // the next round sees it
    const { nodeName, addresses, nodeId, publicKey } = this.#claim;
    const aside = this.#state.setAside(network.name, cidr, nodeName, addresses);
    if (aside !== undefined) {
      this.draft.requireNetwork(network);
      const expiry = aside.reserved ? {} : { expiresAt: this.#expiry() };
      this.#update(aside, { nodeId, nodeName, addresses, publicKey, ...expiry });
      this.#putNode();
      return true;
    }
    const pool = network.pools.get(cidr);
    const skip =
      this.#options.attempt === 0
        ? 0
        : Math.floor(this.#options.random() * 16 * 2 ** Math.min(this.#options.attempt, 8));
    const subnet = pool?.hold(skip);
    if (pool === undefined || subnet === undefined) return false;
    this.offered.push({ pool, subnet });
    this.#create(network, subnet);
    return true;
  }

  #create(network: Network, subnet: Prefix): void {
    if (this.draft.isFull) return;
    const { nodeId, nodeName, addresses, publicKey } = this.#claim;
    this.draft.requireNetwork(network);
    this.draft.createSubnet(subnetKey(network.name, subnet), {
      nodeId,
      nodeName,
      addresses,
      publicKey,
      reserved: false,
      expiresAt: this.#expiry(),
      createdAt: this.#options.now,
    });
    this.#putNode();
  }

  /** Prolongs a lease once a tenth of its time is gone: compare-and-swap on the record, and so on its owner and epoch. */
  #renew(subnet: Subnet): void {
    if (subnet.reserved || this.draft.isFull) return;
    const expiresAt = this.#expiry();
    if (expiresAt - subnet.expiresAt > this.#options.ttl / 10) this.#update(subnet, { expiresAt });
  }

  /** The node announces its own tunnel MAC from now on, the one derived from its id. */
  #update(subnet: Subnet, change: Partial<SubnetRecord>): void {
    const { vtepMac: _, ...known } = subnet;
    this.draft.updateSubnet(known, change);
  }

  #putNode(): void {
    const { nodeId, nodeName, addresses, backends, version, bootId, publicKey } = this.#claim;
    const known = this.#state.nodes.get(nodeId);
    const createdAt = known?.createdAt ?? this.#options.now;
    // A key that is new to the cluster has no tunnel yet that an older secret keeps up.
    const secretsEpoch = known?.publicKey === publicKey ? known.secretsEpoch : (this.#state.secrets.at(-1)?.epoch ?? 0);
    const record = { name: nodeName, addresses, backends, version, bootId, createdAt, publicKey, secretsEpoch };
    this.draft.putNode(nodeId, known, record);
  }

  /** An address belongs to one node: takes it from a node that is gone. */
  #takeAddress(address: Address): void {
    const other = this.#state.nodeWithAddress(address);
    if (other === undefined || other.id === this.#claim.nodeId || this.#options.isLive(other.id)) return;
    const addresses = other.addresses.filter((one) => one !== address);
    const { id, createRevision: _, modRevision: __, ...record } = other;
    this.draft.putNode(id, other, { ...record, addresses });
    for (const subnet of this.#state.subnetsOfNode(other.id)) {
      if (subnet.addresses.includes(address)) this.draft.updateSubnet(subnet, { addresses });
    }
  }

  #expiry(): number {
    return this.#options.now + this.#options.ttl;
  }
}

function sameNode(known: NodeRecord, claim: Claim): boolean {
  return (
    known.name === claim.nodeName &&
    known.version === claim.version &&
    known.bootId === claim.bootId &&
    known.publicKey === claim.publicKey &&
    known.addresses.join() === claim.addresses.join() &&
    known.backends.join() === claim.backends.join()
  );
}

function leased({ subnet, epoch }: Held): LeasedSubnet {
  return { subnet, epoch };
}

function heldBy(subnet: Subnet): string {
  if (subnet.nodeId === "") return "is reserved";
  const since = new Date(subnet.createdAt).toISOString();
  return `is held by node "${subnet.nodeName}" (id ${subnet.nodeId}) since ${since}, epoch ${subnet.createRevision}`;
}

function exhaustion(network: Network, cidr: Prefix): string {
  const pool = network.pools.get(cidr);
  const length = network.subnetLengths[prefixFamily(cidr)];
  return (
    `network "${network.name}" has no free subnet left in ${cidr}: all ${pool?.size ?? 0} of length /${length} are taken; ` +
    "release unused ones with: cnictl subnet release, or create a network with a wider CIDR"
  );
}
