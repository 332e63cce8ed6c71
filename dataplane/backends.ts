import { existsSync } from "node:fs";
import { type BackendKind, backendName, backendNames, kindsOf } from "../backends/backend.ts";
import { createNetns, inNetns } from "../kernel/netns.ts";
import { addLink } from "../kernel/rtnetlink/link.ts";
import { openRoute } from "../kernel/rtnetlink/socket.ts";
import { desiredOverlay } from "../overlay/desired.ts";
import { parseNetworks, parseUnderlay } from "../overlay/parse-network.ts";
import { parseLeases, parsePeers } from "../overlay/parse-peers.ts";
import type { DesiredLink } from "../overlay/state.ts";

/** The names of the backends that this node can do: those of its kernel, and those of its Open vSwitch when the database's socket is there. */
export function nodeBackends(kernel: readonly string[], ovsdb: string): string[] {
  return [...kernel, ...(existsSync(ovsdb) ? backendNames("openvswitch") : [])];
}

/** The names of the backends that this kernel can do, `vxlan/flow` for instance: tried in a network namespace of its own, which then goes. */
export function availableBackends(): string[] {
  using netns = createNetns();
  return inNetns(netns, () => {
    using rt = openRoute();
    return kindsOf("kernel").flatMap((kind) => {
      try {
        for (const { sysctls: _none, ...link } of proof(kind)) if (link.kind !== "ovs") addLink(rt, link);
      } catch (error) {
        if (error instanceof Error && "code" in error && error.code === "EOPNOTSUPP") return [];
        if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
      }
      return [backendName(kind)];
    });
  });
}

/** The devices that such a network with one peer needs. */
function proof({ type, mode = "" }: BackendKind): readonly DesiredLink[] {
  const network = { name: "proof", cidrs: ["10.244.0.0/16"], backend: { type, mode }, masquerade: false };
  const underlay = parseUnderlay("lo", 1500, ["192.0.2.1/24"]);
  const { accepted: networks } = parseNetworks([network]);
  const { accepted: leases } = parseLeases([{ network: "proof", subnets: ["10.244.1.0/24"] }], { networks, underlay });
  const peer = { network: "proof", nodeId: "b", nodeName: "b", subnet: "10.244.2.0/24", addresses: ["192.0.2.2"] };
  const context = { nodeId: "a", networks, leases, underlay };
  return desiredOverlay({ ...context, peers: parsePeers([peer], context).accepted }).links;
}
