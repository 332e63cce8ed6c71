import type { Plugin } from "../../cni/plugin.ts";
import { makeOverlay } from "../overlay/plugin.ts";

/** Its meshes are of VXLAN. */
export const vxlanOverlay: Plugin = makeOverlay({
  name: "vxlan-overlay",
  backend: ({ mode, vni = 1, port, directRouting }) => ({
    type: "vxlan",
    mode,
    vni,
    directRouting,
    ...(port !== undefined && { port }),
  }),
});
