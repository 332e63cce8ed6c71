import type { Plugin } from "../../cni/plugin.ts";
import { add } from "./add.ts";
import { check, status } from "./check.ts";
import { del, gc } from "./del.ts";
import type { DhcpMachine } from "./machine.ts";

/**
 * IPAM: leases an address from a DHCP server, as the reference plugin of the same name, but without a daemon of its own: the
 * agent renews what lies in the folder of leases. Reads any key of CNI_ARGS that the configuration names, and refuses none.
 */
export function makeDhcp(machine: DhcpMachine): Plugin {
  return {
    name: "dhcp",
    add: (request) => add(request, machine),
    del: (request) => del(request, machine),
    check: (request) => check(request, machine),
    gc: (request) => gc(request, machine),
    status: (request) => status(request, machine),
  };
}
