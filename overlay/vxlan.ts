import type { Backend } from "../backends/backend.ts";
import type { BackendPart, NetworkContext } from "./backend.ts";
import { vxlanFlow } from "./vxlan-flow.ts";
import { vxlanStatic } from "./vxlan-static.ts";

/** VXLAN in the network's mode. */
export function vxlan(context: NetworkContext<Backend<"vxlan">>): BackendPart {
  return context.backend.mode === "flow" ? vxlanFlow(context) : vxlanStatic(context);
}
