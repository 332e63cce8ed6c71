import type { Attachment } from "../../cni/attachment.ts";
import type { NetConf } from "../../cni/conf.ts";
import { integer, object, optional } from "../../cni/decode.ts";
import type { Plugin } from "../../cni/plugin.ts";
import type { Mac } from "../../net/mac.ts";
import { emptyOr, interfaceMac, requestedMac } from "../interface/conf.ts";
import type { InterfaceDesign } from "../interface/design.ts";
import {
  checkLower,
  findLower,
  type LowerConf,
  lowerConf,
  lowerKeys,
  makeOverLower,
  refuseLargeMtu,
  requireLower,
} from "../interface/lower.ts";
import { makeInterfacePlugin } from "../interface/plugin.ts";
import { deletePodLink, requireKind } from "../interface/pod-link.ts";
import { podMac } from "../interface/veth.ts";
import type { NodeMachine } from "../node/machine.ts";

const KIND = "macvlan";
const LARGEST_QUEUE = 2 ** 32 - 1;

interface MacvlanConf extends LowerConf {
  readonly mode: "bridge" | "private" | "vepa" | "passthru";
  readonly mac: Mac | undefined;
  /** Packets. */
  readonly broadcastQueueLength: number | undefined;
}

const keys = object({
  ...lowerKeys,
  mode: optional(emptyOr("bridge", "private", "vepa", "passthru")),
  mac: optional(interfaceMac),
  bcqueuelen: optional(integer(0, LARGEST_QUEUE), 0),
});

const design: InterfaceDesign<MacvlanConf> = {
  name: "macvlan",
  knownArgs: ["IP", "MAC"],
  kind: KIND,

  decode(conf: NetConf, attachment: Pick<Attachment, "args">) {
    const given = keys(conf.raw, "");
    return {
      ...lowerConf(given),
      mode: given.mode ?? "bridge",
      mac: requestedMac(conf, attachment) ?? given.mac,
      broadcastQueueLength: given.bcqueuelen === 0 ? undefined : given.bcqueuelen,
    };
  },

  make(place, conf) {
    const lower = findLower(place, conf);
    refuseLargeMtu(lower, conf);
    const { mode, broadcastQueueLength } = conf;
    // In passthru mode the interface has its master's address, unless another is asked for, which the master then gets.
    const mac = mode === "passthru" ? conf.mac : podMac(place.name, conf);
    return makeOverLower(place, conf, KIND, (named) => ({
      ...named,
      kind: KIND,
      mac,
      mtu: conf.mtu,
      lower: lower.index,
      macvlan: { mode, broadcastQueueLength },
    }));
  },

  remove: (leftover) => deletePodLink(leftover, KIND),

  check(facts, conf, report) {
    checkLower(facts, conf, report);
    const mode = facts.link?.macvlan?.mode;
    if (facts.link?.kind === KIND && mode !== conf.mode) report("mode", conf.mode, mode);
  },

  status(node, conf) {
    requireKind(node, KIND);
    requireLower(node, conf);
  },
};

/** Gives the container a MAC address of its own on a network of the node: the drop-in for the reference plugin of the same name. */
export function makeMacvlan(machine: NodeMachine): Plugin {
  return makeInterfacePlugin(design, machine);
}
