import type { Plugin } from "../../cni/plugin.ts";
import { chained } from "../chained/chained.ts";
import type { NodeMachine } from "../node/machine.ts";
import { add } from "./add.ts";
import { check } from "./check.ts";
import { del } from "./del.ts";
import { gc } from "./gc.ts";
import { status } from "./status.ts";

/** Lets pods through, by way of an administrator's chain, and closes networks to one another: the drop-in for the reference plugin of the same name. */
export function makeFirewall(machine: NodeMachine): Plugin {
  return chained({
    name: "firewall",
    add: (request) => add(request, machine),
    del: (request) => del(request, machine),
    check: (request) => check(request, machine),
    gc: (request) => gc(request, machine),
    status: (request) => status(request, machine),
  });
}
