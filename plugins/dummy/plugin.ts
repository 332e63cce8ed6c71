import type { Plugin } from "../../cni/plugin.ts";
import type { InterfaceConf, InterfaceDesign } from "../interface/design.ts";
import { makeInterfacePlugin } from "../interface/plugin.ts";
import { deletePodLink, makePodLink, requireKind } from "../interface/pod-link.ts";
import { podMac } from "../interface/veth.ts";
import type { NodeMachine } from "../node/machine.ts";

const KIND = "dummy";

/** It has no keys but `ipam`. */
const design: InterfaceDesign<InterfaceConf> = {
  name: "dummy",
  kind: KIND,
  needsAddresses: true,
  decode: () => ({}),
  make: (place) =>
    makePodLink(place, KIND, (named) => ({ ...named, kind: KIND, mac: podMac(place.name, { mac: undefined }) })),
  remove: (leftover) => deletePodLink(leftover, KIND),
  status: (node) => requireKind(node, KIND),
};

/** Gives the container an interface that leads nowhere: the drop-in for the reference plugin of the same name. */
export function makeDummy(machine: NodeMachine): Plugin {
  return makeInterfacePlugin(design, machine);
}
