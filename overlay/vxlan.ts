import type { BackendPart, NetworkContext } from "./backend.ts";
import type { VxlanBackend } from "./network.ts";
import { vxlanFlow } from "./vxlan-flow.ts";
import { vxlanStatic } from "./vxlan-static.ts";

/** VXLAN in the network's mode. */
export function vxlan(context: NetworkContext<VxlanBackend>): BackendPart {
  return context.backend.mode === "flow" ? vxlanFlow(context) : vxlanStatic(context);
}
