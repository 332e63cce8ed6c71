import type { RouteSocket } from "../kernel/rtnetlink/socket.ts";
import type { DesiredState } from "../overlay/state.ts";
import { type Changes, converge, target } from "../reconcile/step.ts";
import { Devices } from "./devices.ts";
import { addressKind, fdbKind, neighbourKind } from "./entries.ts";
import { overlayLinkKind, wantedLinks } from "./links.ts";
import { routeKind } from "./routes.ts";
import type { Scope } from "./scope.ts";
import { switchTargets } from "./switch-kinds.ts";
import type { Switches } from "./switches.ts";
import { sysctlKind } from "./sysctls.ts";
import { WireguardPass, type WireguardSecrets } from "./wireguard.ts";

/** What an apply works on. */
export interface Context {
  readonly rt: RouteSocket;
  readonly scope: Scope;
  readonly devices: Devices;
  readonly switches: Switches | undefined;
}

export interface ApplyOptions {
  /** Everything of ours when absent. */
  readonly scope?: Scope;
  /** Needed where the state has WireGuard devices. */
  readonly secrets?: WireguardSecrets | undefined;
  /** Of Open vSwitch; without it nothing there is looked at, and none can be made. */
  readonly switches?: Switches | undefined;
}

/**
 * Brings the kernel to the overlay's desired state: links, then what hangs on them, routes last; removes what is ours,
 * in the scope, and not wanted, in reverse order. Writes nothing when nothing differs. Lets the event loop run between
 * portions, so the state may be a newer one when it ends: run it again then.
 * @throws ReconcileError when some change could not be made; all others were
 */
export async function applyOverlay(
  rt: RouteSocket,
  desired: DesiredState,
  { scope = {}, secrets, switches }: ApplyOptions = {},
): Promise<Changes> {
  const sysctls = [...desired.links.flatMap((link) => link.sysctls), ...desired.sysctls];
  const devices = new Devices(
    rt,
    scope,
    desired.links.map(({ name }) => name),
  );
  const context = { rt, scope, devices, switches };
  const ovs = switchTargets(switches, desired.switches);
  using wireguard = new WireguardPass(devices, desired.wireguard, secrets);
  return await converge([
    ovs.bridges,
    ovs.ports,
    target(overlayLinkKind(context), wantedLinks(desired.links)),
    target(sysctlKind(sysctls), sysctls),
    target(addressKind(context), desired.addresses),
    target(neighbourKind(context), desired.neighbours),
    target(fdbKind(context), desired.fdb),
    wireguard.devices(),
    wireguard.peers(),
    ovs.flows,
    target(routeKind(context), desired.routes),
  ]);
}
