import type { Plugin } from "../../cni/plugin.ts";
import type { NodeMachine } from "../node/machine.ts";
import { attach } from "./attach.ts";
import type { InterfaceConf, InterfaceDesign } from "./design.ts";
import { checkAttachment, collect, detach, status } from "./verbs.ts";

/** A plugin that gives pods an interface each. */
export function makeInterfacePlugin<C extends InterfaceConf>(design: InterfaceDesign<C>, machine: NodeMachine): Plugin {
  const { name, knownArgs } = design;
  return {
    name,
    ...(knownArgs === undefined ? {} : { knownArgs }),
    add: (request) => attach(design, request, machine),
    del: (request) => detach(design, request, machine),
    check: (request) => checkAttachment(design, request, machine),
    gc: (request) => collect(design, request, machine),
    status: (request) => status(design, request, machine),
  };
}
