import type { Plugin } from "../../cni/plugin.ts";
import type { NodeMachine } from "../node/machine.ts";
import { add } from "./add.ts";
import { check } from "./check.ts";
import { del } from "./del.ts";
import { gc } from "./gc.ts";
import { status } from "./status.ts";

/** Joins containers by a Linux bridge: the drop-in for the reference plugin of the same name. */
export function makeBridge(machine: NodeMachine): Plugin {
  return {
    name: "bridge",
    knownArgs: ["IP", "MAC"],
    add: (request) => add(request, machine),
    del: (request) => del(request, machine),
    check: (request) => check(request, machine),
    gc: (request) => gc(request, machine),
    status: (request) => status(request, machine),
  };
}
