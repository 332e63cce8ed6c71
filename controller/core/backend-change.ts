import { backendName, factsOf } from "../../backends/backend.ts";
import { familyOf } from "../../net/address.ts";
import type { Backend__Output } from "../../proto/gen/podwire/v1/Backend.ts";
import { withFreeVni } from "./backend-conflict.ts";
import { RequestError } from "./error.ts";
import { type BackendRecord, checkBackend, type NetworkRecord } from "./record.ts";
import type { Network, State, Subnet } from "./state.ts";

/** Nodes named in one refusal. */
const MOST_NAMED = 5;

/**
 * The network's record with another backend, from which nodes receive on both. A change under way can be taken back: the
 * old backend is received by all still. Undefined when the network has that backend.
 * @throws RequestError FAILED_PRECONDITION, INVALID_ARGUMENT
 */
export function planBackendChange(state: State, network: Network, asked: Backend__Output): NetworkRecord | undefined {
  const { previous } = network;
  const generation = network.generation + 1;
  const wanted = checkBackend(asked, network.cidrs);
  if (isSame(wanted, network.backend, asked)) return undefined;
  const was = { backend: network.backend, since: network.backendSince };
  if (previous !== undefined && isSame(wanted, previous.backend, asked)) {
    return { ...recordOf(network), generation, backend: previous.backend, backendSince: previous.since, previous: was };
  }
  if (previous !== undefined) throw underWay(state, network, previous.backend);
  refuseUnable(state, network, wanted);
  const backend = withVni(state, network, wanted, asked);
  return { ...recordOf(network), generation, backend, backendSince: generation, previous: was };
}

/** The network's record without the old backend, when every node receives the new one and sends with it to all. */
export function planCompletion(state: State, network: Network): NetworkRecord | undefined {
  if (network.previous === undefined || pending(state, network).length > 0) return undefined;
  const { previous, ...record } = recordOf(network);
  return record;
}

/** The subnets of nodes that are not yet done with the change. */
export function pending(state: State, network: Network): Subnet[] {
  return [...state.subnetsOfNetwork(network.name)].filter(
    ({ nodeId, addresses, receives = 0, sends = 0 }) =>
      (nodeId !== "" || addresses.length > 0) && (receives < network.backendSince || sends < network.generation),
  );
}

function recordOf(network: Network): NetworkRecord {
  const { name, pools, createRevision, modRevision, ...record } = network;
  return record;
}

/** What stays in the same tunnels keeps its VNI; what moves needs one beside all that are in use, its own too. */
function withVni(
  state: State,
  network: Network,
  wanted: BackendRecord,
  asked: { readonly vni: number },
): BackendRecord {
  const { type, mode, tunnel, port, vni } = network.backend;
  const stays = wanted.type === type && wanted.mode === mode && wanted.tunnel === tunnel && wanted.port === port;
  if (!stays) return withFreeVni(wanted, state.networks.values(), asked);
  const others = [...state.networks.values()].filter(({ name }) => name !== network.name);
  const known = asked.vni || vni;
  return withFreeVni({ ...wanted, vni: known }, others, { vni: known });
}

/** A VNI that was not asked for is any. */
function isSame(wanted: BackendRecord, present: BackendRecord, asked: { readonly vni: number }): boolean {
  const vni = asked.vni === 0 ? present.vni : wanted.vni;
  return JSON.stringify({ ...wanted, vni }) === JSON.stringify(present);
}

function underWay(state: State, network: Network, previous: BackendRecord): RequestError {
  const nodes = [...new Set(pending(state, network).map(({ nodeName }) => nodeName))].sort();
  const waiting = nodes.length === 0 ? "" : ` and waits for ${named(nodes)}`;
  const change = `${backendName(previous)} to ${backendName(network.backend)}`;
  const message =
    `backend: network "${network.name}" is being changed from ${change}${waiting}; ` +
    `try again when that is done, or take it back by setting ${backendName(previous)}`;
  return new RequestError("FAILED_PRECONDITION", message);
}

/** Before anything is changed: whoever could not receive would be cut off. */
function refuseUnable(state: State, network: Network, wanted: BackendRecord): void {
  const name = backendName(wanted);
  const reasons = new Map<string, string[]>();
  for (const subnet of state.subnetsOfNetwork(network.name)) {
    const reason = inability(state, subnet, wanted);
    if (reason !== undefined) reasons.set(reason, [...(reasons.get(reason) ?? []), subnet.nodeName || subnet.subnet]);
  }
  if (reasons.size === 0) return;
  const why = [...reasons].map(([reason, nodes]) => `${named([...new Set(nodes)].sort())} ${reason}`).join("; ");
  const message = `backend: network "${network.name}" stays as it is, for not all of its nodes can take ${name}: ${why}`;
  throw new RequestError("FAILED_PRECONDITION", message);
}

function inability(state: State, { nodeId, addresses }: Subnet, wanted: BackendRecord): string | undefined {
  if (nodeId === "") return addresses.length === 0 ? undefined : "runs no podwire-agent";
  const node = state.nodes.get(nodeId);
  if (node === undefined) return "has never been seen";
  if (!node.backends.includes(backendName(wanted))) {
    return `can do only ${node.backends.join(", ") || "nothing"}; load or install what is missing there and restart podwire-agent`;
  }
  const { over = [] } = factsOf(wanted.type) ?? {};
  const reachable = over.length > 1 || addresses.some((address) => over.includes(familyOf(address)));
  return reachable ? undefined : `has no IPv${over.join()} address`;
}

function named(nodes: readonly string[]): string {
  const shown = nodes.slice(0, MOST_NAMED).map((node) => `"${node}"`);
  const more = nodes.length - shown.length;
  return `node ${shown.join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}
