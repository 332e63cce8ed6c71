import type { NetConf } from "../../cni/conf.ts";
import { object, optional } from "../../cni/decode.ts";
import { CniError, Code } from "../../cni/error.ts";
import type { Plugin } from "../../cni/plugin.ts";
import { emptyOr } from "../interface/conf.ts";
import type { InterfaceDesign } from "../interface/design.ts";
import {
  checkLower,
  findLower,
  type LowerConf,
  lowerConf,
  lowerKeys,
  makeOverLower,
  requireLower,
} from "../interface/lower.ts";
import { makeInterfacePlugin } from "../interface/plugin.ts";
import { deletePodLink, requireKind } from "../interface/pod-link.ts";
import type { NodeMachine } from "../node/machine.ts";

const KIND = "ipvlan";

interface IpvlanConf extends LowerConf {
  readonly mode: "l2" | "l3" | "l3s";
}

const keys = object({ ...lowerKeys, mode: optional(emptyOr("l2", "l3", "l3s")) });

const design: InterfaceDesign<IpvlanConf> = {
  name: "ipvlan",
  kind: KIND,
  needsAddresses: true,

  decode(conf) {
    const given = keys(conf.raw, "");
    return { ...lowerConf(given), mode: given.mode ?? "l2" };
  },

  /** Behind another plugin that has asked for addresses, it takes those. */
  inherited: ({ prevResult }) => (prevResult !== undefined && prevResult.ips.length > 0 ? prevResult : undefined),

  make(place, conf) {
    const master = conf.master ?? masterBefore(place.netConf);
    const lower = findLower(place, { ...conf, master });
    // It has its master's MAC address and no other.
    return makeOverLower(place, conf, KIND, (named) => ({
      ...named,
      kind: KIND,
      mtu: conf.mtu,
      lower: lower.index,
      ipvlan: { mode: conf.mode },
    }));
  },

  remove: (leftover) => deletePodLink(leftover, KIND),

  check(facts, conf, report) {
    checkLower(facts, conf, report);
    const mode = facts.link?.ipvlan?.mode;
    if (facts.link?.kind === KIND && mode !== conf.mode) report("mode", conf.mode, mode);
  },

  status(node, conf) {
    requireKind(node, KIND);
    requireLower(node, conf);
  },
};

/** The only interface that the plugin before in the chain answered with. @throws CniError 7 when it was not one */
function masterBefore({ prevResult }: NetConf): string | undefined {
  if (prevResult === undefined) return undefined;
  const [first, ...others] = prevResult.interfaces;
  if (first !== undefined && others.length === 0 && first.name !== "") return first.name;
  throw new CniError(
    Code.invalidConfig,
    `master is missing, and prevResult has ${prevResult.interfaces.length} interfaces instead of the one that it could be`,
  );
}

/** Gives the container addresses on a network of the node by the node's own MAC address: the drop-in for the reference plugin. */
export function makeIpvlan(machine: NodeMachine): Plugin {
  return makeInterfacePlugin(design, machine);
}
