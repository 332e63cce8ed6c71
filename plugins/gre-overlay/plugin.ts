import { invalid } from "../../cni/decode.ts";
import type { Plugin } from "../../cni/plugin.ts";
import { makeOverlay } from "../overlay/plugin.ts";

/** Its meshes are of GRE. */
export const greOverlay: Plugin = makeOverlay({
  name: "gre-overlay",
  backend({ mode, vni, port, directRouting }) {
    if (port !== undefined)
      throw invalid("mesh.port", port, "means nothing to GRE, which has no ports; remove the key");
    if (vni !== undefined && mode !== "static") {
      throw invalid("mesh.vni", vni, 'is the key of mode "static", and flow sends none; remove it or set that mode');
    }
    return { type: "gre", mode, directRouting, ...(vni !== undefined && { vni }) };
  },
});
