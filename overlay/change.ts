import { type BackendPart, type NetworkContext, unreachablePeer } from "./backend.ts";
import type { BackendChange, Peer } from "./network.ts";
import type { ChangeProgress, DesiredRoute, DesiredSwitch } from "./state.ts";

/**
 * Adds the part of the backend that is on its way out to that of the one that comes in: this node receives on both, and a
 * peer that does not yet take packets of the new one, or cannot be reached by it, is sent to as before.
 */
export function keepPrevious(
  part: BackendPart,
  previous: BackendPart,
  { network, peers }: Pick<NetworkContext, "network" | "peers">,
  { generation, required }: BackendChange,
): ChangeProgress {
  const after = routesByPeer(part);
  const before = routesByPeer(previous);
  const routes = new Map<string, DesiredRoute>();
  const waiting: Peer[] = [];
  const refusals: string[] = [];
  for (const peer of peers) {
    const old = before.get(peer.subnet);
    const next = (peer.receives ?? 0) >= required ? after.get(peer.subnet) : undefined;
    if (next === undefined && old !== undefined) waiting.push(peer);
    const route = next ?? old;
    if (route !== undefined) routes.set(peer.subnet, route);
    if (!after.has(peer.subnet)) refusals.push(noWay(network, peer, old !== undefined));
  }
  part.refusals.splice(0, part.refusals.length, ...refusals);
  part.routes.splice(0, part.routes.length, ...routes.values());
  part.links.push(...previous.links);
  part.addresses.push(...previous.addresses);
  part.neighbours.push(...previous.neighbours);
  part.fdb.push(...previous.fdb);
  part.wireguard.push(...previous.wireguard);
  part.switches.splice(0, part.switches.length, ...joined([...part.switches, ...previous.switches]));
  return { network: network.name, generation, complete: waiting.length === 0 };
}

/** A bridge that both have holds the ports and flows of both. */
function joined(switches: readonly DesiredSwitch[]): DesiredSwitch[] {
  const byName = new Map<string, DesiredSwitch>();
  for (const each of switches) {
    const { name, ports, flows } = each;
    const known = byName.get(name) ?? each;
    const allPorts = new Map([...ports, ...known.ports].map((port) => [port.name, port]));
    const allFlows = new Map([...known.flows, ...flows].map((flow) => [JSON.stringify(flow), flow]));
    byName.set(name, { ...known, ports: [...allPorts.values()], flows: [...allFlows.values()] });
  }
  return [...byName.values()];
}

function routesByPeer({ routes }: BackendPart): ReadonlyMap<string, DesiredRoute> {
  return new Map(routes.map((route) => [route.dst, route]));
}

/** The change waits for a peer to which the new backend has no way and the old one has. */
function noWay(network: NetworkContext["network"], peer: Peer, hadOne: boolean): string {
  const { type } = network.backend;
  const instead = hadOne ? `it is sent to as before, and the change waits` : "nor did the backend before";
  return unreachablePeer(network, peer, `backend ${type} has no way to it; ${instead}`);
}
