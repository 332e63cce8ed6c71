import { addLink, deleteLink, type Link, setLink } from "../kernel/rtnetlink/link.ts";
import type { DesiredLink } from "../overlay/state.ts";
import type { Kind } from "../reconcile/step.ts";
import type { Context } from "./apply.ts";
import { mayDelete } from "./scope.ts";
import { applySysctl } from "./sysctls.ts";

/** A VXLAN device, as wanted or as the kernel holds it. */
interface OverlayLink {
  readonly name: string;
  /** Absent for what the kernel holds. */
  readonly wanted?: DesiredLink;
  /** Absent for what is wanted. */
  readonly held?: Link;
}

/** VXLAN devices of ours. A device whose tunnel attributes differ is deleted and made anew; the kernel can't change them. */
export function overlayLinkKind({ rt, scope, devices }: Context): Kind<OverlayLink> {
  return {
    name: "link",
    key: ({ name }) => name,
    list: () => devices.overlays().map((held) => ({ name: held.name, held })),
    same: ({ held }, { wanted }) =>
      held !== undefined && wanted !== undefined && sameTunnel(held, wanted) && sameSettings(held, wanted),
    put: ({ wanted }, existing) => {
      if (wanted === undefined) return;
      const { name, kind, vxlan, sysctls, ...settings } = wanted;
      if (existing?.held === undefined || !sameTunnel(existing.held, wanted)) {
        if (existing !== undefined) deleteLink(rt, name, { missingOk: true });
        else devices.refuseForeign(name);
        addLink(rt, { name, kind, vxlan, ...settings });
        for (const sysctl of sysctls) applySysctl(sysctl); // before any packet can come in
      }
      setLink(rt, name, { ...settings, up: true });
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

function sameTunnel({ vxlan = {} }: Link, { vxlan: wanted }: DesiredLink): boolean {
  return (
    (vxlan.collectMetadata ?? false) === (wanted.collectMetadata ?? false) &&
    (vxlan.gpe ?? false) === (wanted.gpe ?? false) &&
    vxlan.port === wanted.port &&
    vxlan.learning === wanted.learning &&
    (wanted.collectMetadata === true || vxlan.id === wanted.id) &&
    vxlan.local === wanted.local
  );
}

function sameSettings(held: Link, wanted: DesiredLink): boolean {
  return (
    held.up &&
    held.mtu === wanted.mtu &&
    held.alias === wanted.alias &&
    (wanted.mac === undefined || held.mac === wanted.mac)
  );
}
