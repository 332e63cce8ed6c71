import type { Backend } from "../backends/backend.ts";
import { type BackendPart, emptyPart, type NetworkContext, unreachablePeer } from "./backend.ts";
import type { Peer, Underlay } from "./network.ts";
import type { DesiredRoute } from "./state.ts";
import { neighbouringAddress } from "./underlay.ts";

/** Plain routes: `10.244.2.0/24 via 192.0.2.2 dev eth0`. */
export function hostGateway({ network, peers, underlay }: NetworkContext<Backend<"host-gw">>): BackendPart {
  const part = emptyPart();
  for (const peer of peers) {
    const route = directRoute(peer, underlay);
    if (route !== undefined) part.routes.push(route);
    else part.refusals.push(unreachablePeer(network, peer, notOnSegment(peer, underlay)));
  }
  return part;
}

/** The route by way of the peer's own address; undefined when that is not on our segment. */
export function directRoute(peer: Peer, underlay: Underlay): DesiredRoute | undefined {
  const via = neighbouringAddress(peer, underlay);
  return via === undefined ? undefined : { dst: peer.subnet, type: "unicast", via, device: underlay.device };
}

function notOnSegment(peer: Peer, underlay: Underlay): string {
  const segment = `${underlay.device} (${underlay.addresses.join(", ")})`;
  return `host-gw needs its address ${peer.addresses.join(", ")} on the segment of ${segment}; use a tunnel backend`;
}
