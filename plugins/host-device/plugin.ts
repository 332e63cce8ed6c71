import { CniError, Code } from "../../cni/error.ts";
import type { Plugin } from "../../cni/plugin.ts";
import { parseMark } from "../../kernel/mark.ts";
import type { InterfaceDesign } from "../interface/design.ts";
import { makeInterfacePlugin } from "../interface/plugin.ts";
import type { NodeMachine } from "../node/machine.ts";
import { type DeviceConf, decodeDeviceConf, findDevice, isForUserspace } from "./device.ts";
import { giveBack, giveBackStale, lend } from "./loan.ts";

const design: InterfaceDesign<DeviceConf> = {
  name: "host-device",

  decode: decodeDeviceConf,

  make(place, conf) {
    const { choice } = conf;
    if (choice === undefined) throw new CniError(Code.invalidConfig, NOT_CHOSEN);
    if (isForUserspace(choice)) return undefined;
    return lend(place, findDevice(place.node, choice), "pci" in choice ? choice.pci : undefined);
  },

  isWithoutInterface: ({ choice }) => choice !== undefined && isForUserspace(choice),

  remove: giveBack,
  collect: giveBackStale,

  check({ link }, _conf, report) {
    if (link !== undefined && parseMark(link.alias)?.role !== "device") report("alias", "ours", link.alias);
  },

  status(_node, { choice, chosenByRuntime }) {
    if (choice === undefined && !chosenByRuntime) throw new CniError(Code.invalidConfig, NOT_CHOSEN);
  },
};

const NOT_CHOSEN =
  "device is missing, and so are hwaddr, kernelpath, pciBusID and runtimeConfig.deviceID; one of them says which device";

/** Lends the container a device of the node: the drop-in for the reference plugin of the same name. */
export function makeHostDevice(machine: NodeMachine): Plugin {
  return makeInterfacePlugin(design, machine);
}
