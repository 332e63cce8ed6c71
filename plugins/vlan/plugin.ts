import { integer, object, optional } from "../../cni/decode.ts";
import { CniError, Code } from "../../cni/error.ts";
import type { Plugin } from "../../cni/plugin.ts";
import { isNetlinkError } from "../../kernel/netlink/error.ts";
import type { Link } from "../../kernel/rtnetlink/link.ts";
import type { InterfaceDesign, Made, Place } from "../interface/design.ts";
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
import { refuseTakenNames } from "../interface/veth.ts";
import type { NodeMachine } from "../node/machine.ts";

const KIND = "vlan";
/** 4095 is reserved by IEEE 802.1Q; 0 stands for frames that have a priority and no VLAN. */
const LAST_VLAN = 4094;

interface VlanConf extends LowerConf {
  readonly master: string;
  readonly vlanId: number;
}

const keys = object({ ...lowerKeys, vlanId: optional(integer(0, LAST_VLAN), 0) });

const design: InterfaceDesign<VlanConf> = {
  name: "vlan",
  kind: KIND,

  decode(conf) {
    const given = keys(conf.raw, "");
    const { master } = given;
    if (master === undefined) {
      throw new CniError(Code.invalidConfig, "master is missing; name the interface whose VLAN it is");
    }
    return { ...lowerConf(given), master, vlanId: given.vlanId };
  },

  make(place, conf) {
    const lower = findLower(place, conf);
    refuseLargeMtu(lower, conf);
    return joinVlan(place, conf, lower);
  },

  remove: (leftover) => deletePodLink(leftover, KIND),

  check(facts, conf, report) {
    checkLower(facts, conf, report);
    const id = facts.link?.vlan?.id;
    if (facts.link?.kind === KIND && id !== conf.vlanId) report("vlanId", conf.vlanId, id);
  },

  status(node, conf) {
    requireKind(node, KIND);
    requireLower(node, conf);
  },
};

/** One interface has one link a VLAN, in whatever namespace that is. */
function joinVlan(place: Place, conf: VlanConf, lower: Link): Made {
  const { mtu, vlanId } = conf;
  try {
    return makeOverLower(place, conf, KIND, (named) => ({
      ...named,
      kind: KIND,
      mtu: mtu ?? lower.mtu,
      lower: lower.index,
      vlan: { id: vlanId },
    }));
  } catch (error) {
    if (!isNetlinkError(error, "EEXIST")) throw error;
    refuseTakenNames(place.node, place.netns, place.name);
    throw new CniError(
      Code.invalidConfig,
      `vlanId: ${vlanId} of "${lower.name}" has a link already, maybe in another container; choose another VLAN`,
      { cause: error },
    );
  }
}

/** Gives the container a VLAN of one of the node's networks: the drop-in for the reference plugin of the same name. */
export function makeVlan(machine: NodeMachine): Plugin {
  return makeInterfacePlugin(design, machine);
}
