import type { Attachment } from "../../cni/attachment.ts";
import type { NetConf } from "../../cni/conf.ts";
import { boolean, integer, object, optional, string } from "../../cni/decode.ts";
import type { Plugin } from "../../cni/plugin.ts";
import type { Mac } from "../../net/mac.ts";
import { interfaceMac, interfaceMtu, optionalName, requestedMac } from "../interface/conf.ts";
import type { InterfaceConf, InterfaceDesign } from "../interface/design.ts";
import { makeInterfacePlugin } from "../interface/plugin.ts";
import { deletePodLink } from "../interface/pod-link.ts";
import type { NodeMachine } from "../node/machine.ts";
import { checkBridge, KIND, makeTap, requireTap } from "./device.ts";

/** The keys of the plugin, as the reference plugin names them. */
export interface TapConf extends InterfaceConf {
  readonly multiQueue: boolean;
  /** Bytes; absent: the kernel's default. */
  readonly mtu: number | undefined;
  readonly mac: Mac | undefined;
  readonly owner: number | undefined;
  readonly group: number | undefined;
  readonly selinuxContext: string | undefined;
  /** A bridge of the pod. */
  readonly bridge: string | undefined;
}

/** All ones is the kernel's word for nobody. */
const LARGEST_ID = 2 ** 32 - 2;

const keys = object({
  multiQueue: optional(boolean, false),
  mtu: optional(interfaceMtu),
  mac: optional(interfaceMac),
  owner: optional(integer(0, LARGEST_ID)),
  group: optional(integer(0, LARGEST_ID)),
  selinuxContext: optional(string),
  selinuxcontext: optional(string), // as it is often written; the reference plugin does not mind
  bridge: optional(optionalName),
});

const design: InterfaceDesign<TapConf> = {
  name: "tap",
  knownArgs: ["IP", "MAC"],
  kind: KIND,

  decode(conf: NetConf, attachment: Pick<Attachment, "args">) {
    const { multiQueue, mtu, mac, owner, group, bridge, ...given } = keys(conf.raw, "");
    const selinuxContext = given.selinuxContext || given.selinuxcontext || undefined;
    return { multiQueue, mtu, mac: requestedMac(conf, attachment) ?? mac, owner, group, selinuxContext, bridge };
  },

  make: makeTap,
  remove: (leftover) => deletePodLink(leftover, KIND),
  check: checkBridge,
  status: (_node, conf) => requireTap(conf),
};

/** Gives the container an interface whose other end is a program: the drop-in for the reference plugin of the same name. */
export function makeTapPlugin(machine: NodeMachine): Plugin {
  return makeInterfacePlugin(design, machine);
}
