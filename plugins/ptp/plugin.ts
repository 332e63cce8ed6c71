import type { NetConf } from "../../cni/conf.ts";
import { object, optional } from "../../cni/decode.ts";
import type { Plugin } from "../../cni/plugin.ts";
import { hostVethName } from "../../kernel/mark.ts";
import { getLink } from "../../kernel/rtnetlink/link.ts";
import { interfaceMtu, masqueradeKeys } from "../interface/conf.ts";
import type { InterfaceConf, InterfaceDesign, Made, Place } from "../interface/design.ts";
import { makeInterfacePlugin } from "../interface/plugin.ts";
import { addVeth, deleteVeth, listVeths } from "../interface/veth.ts";
import type { NodeMachine } from "../node/machine.ts";
import { checkHostEnd, serveAddresses } from "./host-end.ts";

interface PtpConf extends InterfaceConf {
  /** Bytes, of both ends; absent: the kernel's default. */
  readonly mtu: number | undefined;
}

const keys = object({ ...masqueradeKeys, mtu: optional(interfaceMtu) });

const design: InterfaceDesign<PtpConf> = {
  name: "ptp",
  kind: "veth",
  needsAddresses: true,
  pointToPoint: true,
  masquerades: true,

  decode({ raw }: NetConf) {
    const { ipMasq, ipMasqBackend, mtu } = keys(raw, "");
    return { ipMasq, ipMasqBackend, mtu };
  },

  make({ name, podName, netns, node, machine }: Place, { mtu }): Made {
    const veth = addVeth(node, { attachment: name, pod: podName, netns, conf: { mtu } });
    return {
      link: { index: veth.podIndex, mac: veth.podMac, mtu: veth.mtu },
      hostEnd: { name: veth.name, mac: veth.mac, mtu: veth.mtu },
      serve: (plan) => serveAddresses(node, veth, plan),
      settle: () => void getLink(node, veth.index), // a question about the link makes the kernel see its carrier now
      remove: () => deleteVeth(name, machine),
    };
  },

  remove: ({ name, machine }) => deleteVeth(name, machine),

  async collect({ network, valid, machine }) {
    using node = machine.openNode();
    const names = new Set(valid.map(hostVethName));
    const stale = listVeths(node, network).filter((link) => !names.has(link.name));
    await machine.deleteLinks(stale.map(({ index }) => index));
  },

  check: checkHostEnd,
};

/** Joins each container to the node by a veth of its own: the drop-in for the reference plugin of the same name. */
export function makePtp(machine: NodeMachine): Plugin {
  return makeInterfacePlugin(design, machine);
}
