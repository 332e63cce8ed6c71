import type { Plugin } from "../../cni/plugin.ts";
import { add } from "./add.ts";
import { check, status } from "./check.ts";
import { del, gc } from "./del.ts";
import type { Machine } from "./machine.ts";

/** IPAM: hands out addresses of configured ranges, remembered in files, as the reference plugin of the same name. */
export function makeHostLocal(machine: Machine): Plugin {
  return {
    name: "host-local",
    knownArgs: ["IP"],
    add: (request) => add(request, machine),
    del: (request) => del(request, machine),
    check: (request) => check(request, machine),
    gc: (request) => gc(request, machine),
    status: (request) => status(request, machine),
  };
}
