import { type DeviceKind, kernelOption } from "../backends/backend.ts";
import { lackingDevices } from "../kernel/rtnetlink/device-kinds.ts";
import { addLink, deleteLink, type Link, setLink } from "../kernel/rtnetlink/link.ts";
import { type Address, isAddress, isUnspecified } from "../net/address.ts";
import type { DesiredLink } from "../overlay/state.ts";
import type { Kind } from "../reconcile/step.ts";
import type { Context } from "./apply.ts";
import type { Devices } from "./devices.ts";
import { isSwitchDevice, mayDelete } from "./scope.ts";
import type { Switches } from "./switches.ts";
import { applySysctl } from "./sysctls.ts";

/** A tunnel device, as wanted or as the kernel holds it. */
interface OverlayLink {
  readonly name: string;
  /** Absent for what the kernel holds. */
  readonly wanted?: DesiredLink;
  /** Absent for what is wanted. */
  readonly held?: Link;
}

/** Tunnel devices of ours. One whose tunnel attributes differ is deleted and made anew; the kernel can't change them all. */
export function overlayLinkKind({ rt, scope, devices, switches }: Context): Kind<OverlayLink> {
  return {
    name: "link",
    key: ({ name }) => name,
    // A switch's device goes with its bridge.
    list: () =>
      devices
        .overlays()
        .filter((held) => !isSwitchDevice(held) || devices.isWanted(held.name))
        .map((held) => ({ name: held.name, held })),
    same: ({ held }, { wanted }) =>
      held !== undefined && wanted !== undefined && sameTunnel(held, wanted) && sameSettings(held, wanted),
    put: async ({ wanted }, existing) => {
      if (wanted === undefined) return;
      const { name, mtu, alias, mac, sysctls } = wanted;
      if (wanted.kind === "ovs") {
        await refuseOtherDevice(name, devices, switches);
        for (const sysctl of sysctls) applySysctl(sysctl);
      } else if (existing?.held === undefined || !sameTunnel(existing.held, wanted)) {
        if (existing !== undefined) deleteLink(rt, name, { missingOk: true });
        else devices.refuseForeign(name);
        const { sysctls: _written, ...link } = wanted;
        withReason(wanted.kind, () => addLink(rt, link));
        for (const sysctl of sysctls) applySysctl(sysctl); // before any packet can come in
      }
      setLink(rt, name, { mtu, alias, mac, up: true });
      devices.forget();
    },
    remove: ({ name, held }) => {
      if (held !== undefined && mayDelete(scope, held)) deleteLink(rt, name, { missingOk: true });
    },
  };
}

export function wantedLinks(links: readonly DesiredLink[]): OverlayLink[] {
  return links.map((wanted) => ({ name: wanted.name, wanted }));
}

/** @throws Error unless the device of that name is the one that Open vSwitch made for a bridge of ours */
async function refuseOtherDevice(name: string, devices: Devices, switches: Switches | undefined): Promise<void> {
  await switches?.deviceMade(name);
  const link = devices.named(name);
  if (switches !== undefined && link !== undefined && isSwitchDevice(link)) return;
  throw new Error(`device ${name} is not that of a bridge of Open vSwitch (kind ${link?.kind ?? "none"})`);
}

function withReason(kind: DeviceKind, make: () => void): void {
  try {
    make();
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
    if (code === "EOPNOTSUPP") throw new Error(lackingDevices(kind, kernelOption(kind)), { cause });
    if (code === "EEXIST") {
      const command = `ip -d link show type ${kind}`;
      throw new Error(`another device has the same tunnel; find it with "${command}" and remove it`, { cause });
    }
    throw cause;
  }
}

/** What tells a tunnel from another of its kind. Absent is as good as zero, which is what the kernel tells then. */
const TUNNEL_PROPERTIES = [
  "collectMetadata",
  "gpe",
  "port",
  "learning",
  "local",
  "remote",
  "inputFlags",
  "outputFlags",
  "inputKey",
  "outputKey",
  "noEncapLimit",
] as const;

function sameTunnel(held: Link, wanted: DesiredLink): boolean {
  if (wanted.kind === "ovs") return isSwitchDevice(held);
  if (held.kind !== wanted.kind) return false;
  if (wanted.kind === "wireguard") return true; // rtnetlink knows no more of it; see wireguard.ts
  const [a, b] = [tunnelProperties(held), tunnelProperties(wanted)];
  if (TUNNEL_PROPERTIES.some((name) => present(a[name]) !== present(b[name]))) return false;
  return b.collectMetadata === true || present(a.id) === present(b.id);
}

function tunnelProperties({
  vxlan,
  gre,
  ipip,
}: Partial<Pick<Link, "vxlan" | "gre" | "ipip">>): Record<string, unknown> {
  return { ...vxlan, ...gre, ...ipip };
}

function present(value: unknown): unknown {
  if (typeof value === "string" && isAddress(value) && isUnspecified(value as Address)) return undefined;
  return value || undefined;
}

function sameSettings(held: Link, wanted: DesiredLink): boolean {
  return (
    held.up &&
    held.mtu === wanted.mtu &&
    held.alias === wanted.alias &&
    (wanted.mac === undefined || held.mac === wanted.mac)
  );
}
