import type { RouteSocket } from "../kernel/rtnetlink/socket.ts";
import type { DesiredState } from "../overlay/state.ts";
import { type Changes, converge, target } from "../reconcile/step.ts";
import { addressKind, fdbKind, neighbourKind } from "./entries.ts";
import { overlayLinkKind, wantedLinks } from "./links.ts";
import { routeKind } from "./routes.ts";
import type { Scope } from "./scope.ts";
import { sysctlKind } from "./sysctls.ts";

/**
 * Brings the kernel to the overlay's desired state: links, then what hangs on them, routes last; removes what is ours,
 * in the scope, and not wanted, in reverse order. Writes nothing when nothing differs.
 * @throws ReconcileError when some change could not be made; all others were
 */
export function applyOverlay(rt: RouteSocket, desired: DesiredState, scope: Scope = {}): Promise<Changes> {
  const sysctls = [...desired.links.flatMap((link) => link.sysctls), ...desired.sysctls];
  return converge([
    target(overlayLinkKind(rt, scope), wantedLinks(desired.links)),
    target(sysctlKind(sysctls), sysctls),
    target(addressKind(rt, scope), desired.addresses),
    target(neighbourKind(rt, scope), desired.neighbours),
    target(fdbKind(rt, scope), desired.fdb),
    target(routeKind(rt, scope), desired.routes),
  ]);
}
