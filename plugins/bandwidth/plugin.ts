import type { Plugin } from "../../cni/plugin.ts";
import { chained } from "../chained/chained.ts";
import type { NodeMachine } from "../node/machine.ts";
import { add } from "./add.ts";
import { check } from "./check.ts";
import { decodeBandwidthConf } from "./conf.ts";
import { del, gc } from "./del.ts";

/** Limits what a pod gets and sends. */
export function makeBandwidth(machine: NodeMachine): Plugin {
  return chained({
    name: "bandwidth",
    add: (request) => add(request, machine),
    check: (request) => check(request, machine),
    del: (request) => del(request, machine),
    gc: (request) => gc(request, machine),
    async status({ conf }) {
      decodeBandwidthConf(conf);
    },
  });
}
