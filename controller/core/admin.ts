import { type Address, parseAddress } from "../../net/address.ts";
import { contains, type Prefix } from "../../net/prefix.ts";
import type { CreateNetworkRequest__Output } from "../../proto/gen/podwire/v1/CreateNetworkRequest.ts";
import type { ReserveSubnetRequest__Output } from "../../proto/gen/podwire/v1/ReserveSubnetRequest.ts";
import type { SetNetworkRequest__Output } from "../../proto/gen/podwire/v1/SetNetworkRequest.ts";
import { type Store, TRANSACTION_LIMIT } from "../store/store.ts";
import { planBackendChange } from "./backend-change.ts";
import { withFreeVni } from "./backend-conflict.ts";
import type { Clock } from "./clock.ts";
import { Draft } from "./draft.ts";
import { invalid, RequestError } from "./error.ts";
import type { Mirror } from "./mirror.ts";
import { checkNetwork, type NetworkRecord, networkKey, type ReleaseRecord, releaseKey, subnetKey } from "./record.ts";
import type { Session } from "./session.ts";
import type { Sessions } from "./sessions.ts";
import { type Network, type Node, overlappingNetwork, poolOf, type Subnet } from "./state.ts";
import { checkName, checkPrefix } from "./validate.ts";

/** Lost races of one change before it is given up; each one means that somebody else changed the same object. */
const MOST_ATTEMPTS = 20;

export interface AdminOptions {
  readonly store: Store;
  readonly mirror: Mirror;
  readonly clock: Clock;
  readonly sessions: Sessions<Session>;
}

/** What an administrator may change. Each change is one compare-and-swap on what the caller could see. */
export class Admin {
  readonly #options: AdminOptions;

  constructor(options: AdminOptions) {
    this.#options = options;
  }

  /** @throws RequestError ALREADY_EXISTS, INVALID_ARGUMENT, FAILED_PRECONDITION */
  async createNetwork(request: CreateNetworkRequest__Output): Promise<Network> {
    if (request.network === null) return invalid("network", "", "is missing");
    const { cidrs, masquerade, ipv4SubnetLength, ipv6SubnetLength } = request.network;
    const name = checkName("name", request.network.name);
    const subnetLengths = { 4: ipv4SubnetLength, 6: ipv6SubnetLength };
    const createdAt = this.#options.clock.now();
    const backend = request.network.backend ?? {};
    const record = checkNetwork({ cidrs, masquerade, subnetLengths, createdAt, backend });
    await this.#change((draft) => {
      this.#checkNewNetwork(name, record);
      const { networks } = this.#options.mirror.state;
      draft.put(networkKey(name), 0, { ...record, backend: withFreeVni(record.backend, networks.values(), backend) });
    });
    return this.network(name);
  }

  /**
   * Changes the backend of a running network, or takes a change under way back.
   * @throws RequestError FAILED_PRECONDITION naming the nodes that cannot take part; nothing has changed then
   */
  async setNetwork(request: SetNetworkRequest__Output): Promise<Network> {
    const name = checkName("name", request.name);
    const asked = request.backend ?? invalid("backend", "", "is missing");
    await this.#change((draft) => {
      const network = this.network(name);
      const record = planBackendChange(this.#options.mirror.state, network, asked);
      if (record !== undefined) draft.put(networkKey(name), network.modRevision, record);
    });
    return this.network(name);
  }

  /** @throws RequestError NOT_FOUND, FAILED_PRECONDITION while pods run in it */
  async deleteNetwork(name: string): Promise<void> {
    await this.#change((draft) => {
      const network = this.network(checkName("name", name));
      const [session] = [...this.#options.sessions.values()].filter((one) =>
        one.report.pods.some((pod) => pod.network === name),
      );
      if (session !== undefined) {
        const message = `name: network "${name}" has pods on node "${session.claim.nodeName}"; remove them first`;
        throw new RequestError("FAILED_PRECONDITION", message);
      }
      draft.delete(networkKey(name), network.modRevision);
    });
    // The rest is no network's subnet any more, whether this is carried out or a later sweep does it.
    const keys = [...this.#options.mirror.state.orphans].filter(([key]) => key.startsWith(`subnets/${name}/`));
    for (let i = 0; i < keys.length; i += TRANSACTION_LIMIT) {
      const draft = new Draft();
      for (const [key, modRevision] of keys.slice(i, i + TRANSACTION_LIMIT)) draft.delete(key, modRevision);
      await this.#options.store.transact(draft.transaction());
    }
  }

  /** Sets a subnet aside for a node (id or name) or for nobody; it never expires. @throws RequestError */
  async reserveSubnet(request: ReserveSubnetRequest__Output): Promise<Subnet> {
    const network = this.network(checkName("network", request.network));
    const subnet = this.#ownSubnet(network, request.subnet);
    const who = request.node === "" ? "" : checkName("node", request.node, 253);
    const key = subnetKey(network.name, subnet);
    await this.#change((draft) => {
      const record = this.#options.mirror.state.subnets.get(key);
      const node = this.#findNode(who);
      if (record !== undefined) {
        if (record.nodeId !== (node?.id ?? "") || (node === undefined && record.nodeName !== who))
          throw alreadyHeld(record);
        if (!record.reserved) draft.updateSubnet(record, { reserved: true, expiresAt: 0 });
        return;
      }
      if (node !== undefined) this.#refuseSecond(network, subnet, node);
      draft.requireNetwork(network);
      const createdAt = this.#options.clock.now();
      const { id: nodeId = "", name: nodeName = who, addresses = [], publicKey = "" as const } = node ?? {};
      const owner = { nodeId, nodeName, addresses, publicKey };
      draft.createSubnet(key, { ...owner, reserved: true, expiresAt: 0, createdAt });
    });
    return this.#options.mirror.state.subnets.get(key) ?? notFound(`subnet: ${subnet} was released meanwhile`);
  }

  /** Takes a lease or reservation away. Its node is told and gets no new one before it gave the old one up. @throws RequestError */
  async releaseSubnet(networkName: string, text: string, force: boolean): Promise<void> {
    const network = this.network(checkName("network", networkName));
    const subnet = this.#ownSubnet(network, text);
    await this.#change((draft) => {
      const { state } = this.#options.mirror;
      const record = state.subnets.get(subnetKey(network.name, subnet));
      if (record === undefined) return notFound(`subnet: ${subnet} of network "${network.name}" is not leased`);
      if (!force && record.nodeId !== "" && this.#options.sessions.get(record.nodeId) !== undefined) {
        const message = `subnet: ${subnet} is held by node "${record.nodeName}", which is connected; its pods would lose their addresses; use --force to release it all the same`;
        throw new RequestError("FAILED_PRECONDITION", message);
      }
      draft.delete(record.key, record.modRevision);
      if (record.nodeId === "") return undefined;
      const key = releaseKey(network.name, subnet);
      const release: ReleaseRecord = {
        nodeId: record.nodeId,
        epoch: record.createRevision,
        releasedAt: this.#options.clock.now(),
      };
      draft.put(key, state.releases.get(key)?.modRevision ?? 0, release);
      return undefined;
    });
  }

  /** @throws RequestError NOT_FOUND */
  network(name: string): Network {
    return (
      this.#options.mirror.state.networks.get(name) ??
      notFound(`network: "${name}" does not exist; cnictl get networks lists those that do`)
    );
  }

  /** What has the address: the network, its subnet, and the pod that a connected node reported. @throws RequestError */
  inspect(text: string): { address: Address; network?: Network; subnet?: Subnet } {
    const address = parseAddressOrRefuse(text);
    const { state } = this.#options.mirror;
    for (const network of state.networks.values()) {
      if (!network.cidrs.some((cidr) => contains(cidr, address))) continue;
      for (const subnet of state.subnetsOfNetwork(network.name)) {
        if (contains(subnet.subnet, address)) return { address, network, subnet };
      }
      return { address, network };
    }
    return { address };
  }

  /** Drafts a change from the newest state until it is written. */
  async #change(write: (draft: Draft) => void): Promise<void> {
    const { store, mirror } = this.#options;
    if (!mirror.synced)
      throw new RequestError("UNAVAILABLE", "the controller cannot read its store now; try again later");
    for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
      const draft = new Draft();
      write(draft);
      if (draft.isEmpty) return;
      const { succeeded, revision } = await store.transact(draft.transaction());
      await mirror.reached(revision);
      if (succeeded) return;
    }
    throw new RequestError("ABORTED", "others kept changing the same object; try again");
  }

  #checkNewNetwork(name: string, record: NetworkRecord): void {
    const { state } = this.#options.mirror;
    if (state.networks.has(name)) {
      throw new RequestError(
        "ALREADY_EXISTS",
        `name: network "${name}" exists; choose another name or delete it first`,
      );
    }
    const clash = overlappingNetwork(state.networks.values(), name, record.cidrs);
    if (clash !== undefined)
      invalid("cidrs", clash.cidr, `overlaps ${clash.otherCidr} of network "${clash.other}"; choose another one`);
    for (const node of state.nodes.values()) {
      const inside = node.addresses.find((address) => record.cidrs.some((cidr) => contains(cidr, address)));
      if (inside !== undefined)
        invalid(
          "cidrs",
          record.cidrs.join(),
          `contains ${inside}, the address of node "${node.name}"; choose another one`,
        );
    }
  }

  #ownSubnet(network: Network, text: string): Prefix {
    const subnet = checkPrefix("subnet", text);
    poolOf(network, subnet);
    return subnet;
  }

  #findNode(who: string): Node | undefined {
    const { nodes } = this.#options.mirror.state;
    if (who === "") return undefined;
    const byId = nodes.get(who);
    if (byId !== undefined) return byId;
    const named = [...nodes.values()].filter((node) => node.name === who);
    if (named.length > 1) invalid("node", who, `is the name of ${named.length} nodes; give the id`);
    return named[0];
  }

  #refuseSecond(network: Network, subnet: Prefix, node: Node): void {
    const cidr = network.cidrs.find((candidate) => contains(candidate, subnet));
    for (const own of this.#options.mirror.state.subnetsOfNode(node.id)) {
      if (own.network !== network.name || cidr === undefined || !contains(cidr, own.subnet)) continue;
      const message = `node: "${node.name}" holds ${own.subnet} in network "${network.name}"; release that first`;
      throw new RequestError("FAILED_PRECONDITION", message);
    }
  }
}

function alreadyHeld(record: Subnet): RequestError {
  const who = record.nodeName === "" ? "nobody" : `node "${record.nodeName}"`;
  const verb = record.reserved ? "reserved for" : "leased to";
  return new RequestError(
    "ALREADY_EXISTS",
    `subnet: ${record.subnet} is ${verb} ${who}; release it first with: cnictl subnet release`,
  );
}

function notFound(message: string): never {
  throw new RequestError("NOT_FOUND", message);
}

function parseAddressOrRefuse(text: string): Address {
  try {
    return parseAddress(text);
  } catch (error) {
    if (error instanceof RangeError) return invalid("address", text, "is not an IP address");
    throw error;
  }
}
