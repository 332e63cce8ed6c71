import { existsSync, readdirSync, readlinkSync } from "node:fs";
import { basename, join } from "node:path";
import type { NetConf } from "../../cni/conf.ts";
import { type Decoder, invalid, mac, object, optional, string } from "../../cni/decode.ts";
import { CniError, Code } from "../../cni/error.ts";
import { getLink, type Link, listLinks } from "../../kernel/rtnetlink/link.ts";
import type { RouteSocket } from "../../kernel/rtnetlink/socket.ts";
import type { Mac } from "../../net/mac.ts";
import { optionalName } from "../interface/conf.ts";
import type { InterfaceConf } from "../interface/design.ts";

/** How the device was chosen. */
export type Choice =
  | { readonly name: string }
  | { readonly mac: Mac }
  /** Its folder in /sys/devices. */
  | { readonly kernelPath: string }
  /** Its address on the PCI bus, such as 0000:00:1f.6. */
  | { readonly pci: string }
  /** Its name on the auxiliary bus. */
  | { readonly auxiliary: string };

export interface DeviceConf extends InterfaceConf {
  readonly choice: Choice | undefined;
  /** The runtime says which with each ADD (capability deviceID). */
  readonly chosenByRuntime: boolean;
}

const PCI = "/sys/bus/pci/devices";
const AUXILIARY = "/sys/bus/auxiliary/devices";
/** Drivers that hand the device to a program (DPDK); there is no network interface then. */
const USERSPACE_DRIVERS = ["vfio-pci", "uio_pci_generic", "igb_uio"];

/** An empty text is as good as none. */
function textOf<T>(decode: Decoder<T>): Decoder<T | undefined> {
  return (value, path) => (value === "" ? undefined : decode(value, path));
}

const pciAddress: Decoder<string> = (value, path) => {
  const text = string(value, path);
  if (/^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/i.test(text)) return text;
  throw invalid(path, value, "is not an address on the PCI bus such as 0000:00:1f.6");
};

const kernelPath: Decoder<string> = (value, path) => {
  const text = string(value, path);
  if (text.startsWith("/sys/devices/") && !text.split("/").includes("..") && !text.includes("\0")) return text;
  throw invalid(path, value, "is not a folder below /sys/devices/");
};

/** A file name on one of the two buses. */
const busName: Decoder<string> = (value, path) => {
  const text = string(value, path);
  if (/^[A-Za-z0-9][A-Za-z0-9_.:-]*$/.test(text)) return text;
  throw invalid(path, value, "is no device's name on the PCI or the auxiliary bus");
};

const keys = object({
  device: optional(optionalName),
  hwaddr: optional(textOf(mac)),
  kernelpath: optional(textOf(kernelPath)),
  pciBusID: optional(textOf(pciAddress)),
});
const runtimeKeys = object({ deviceID: optional(textOf(busName)) });

/**
 * The first of device, hwaddr, kernelpath and pciBusID counts; a device of the runtime's takes the place of pciBusID.
 * @throws CniError 7
 */
export function decodeDeviceConf({ raw, runtimeConfig, capabilities }: NetConf): DeviceConf {
  const { device, hwaddr, kernelpath, pciBusID } = keys(raw, "");
  const { deviceID } = runtimeKeys(runtimeConfig, "runtimeConfig");
  const chosenByRuntime = capabilities.deviceID === true;
  const choose = (): Choice | undefined => {
    if (device !== undefined) return { name: device };
    if (hwaddr !== undefined) return { mac: hwaddr };
    if (kernelpath !== undefined) return { kernelPath: kernelpath };
    if (deviceID !== undefined) return onBus(deviceID);
    return pciBusID === undefined ? undefined : { pci: pciBusID };
  };
  return { choice: choose(), chosenByRuntime };
}

function onBus(deviceId: string): Choice {
  return existsSync(join(AUXILIARY, deviceId)) ? { auxiliary: deviceId } : { pci: deviceId };
}

/** Whether a driver has the device that makes no network interface of it. */
export function isForUserspace(choice: Choice): boolean {
  if (!("pci" in choice)) return false;
  try {
    return USERSPACE_DRIVERS.includes(basename(readlinkSync(join(PCI, choice.pci, "driver"))));
  } catch {
    return false; // it has no driver, or is not there
  }
}

/** @throws CniError 7 when the node has no such device */
export function findDevice(node: RouteSocket, choice: Choice): Link {
  const link = look(node, choice);
  if (link !== undefined) return link;
  const [[key, value] = []] = Object.entries(choice);
  throw new CniError(
    Code.invalidConfig,
    `${KEY_OF[key as keyof typeof KEY_OF]}: ${JSON.stringify(value)} is no network device of this node; see "ip link"`,
  );
}

const KEY_OF = {
  name: "device",
  mac: "hwaddr",
  kernelPath: "kernelpath",
  pci: "pciBusID",
  auxiliary: "runtimeConfig.deviceID",
} as const;

function look(node: RouteSocket, choice: Choice): Link | undefined {
  if ("name" in choice) return getLink(node, choice.name);
  if ("mac" in choice) return listLinks(node).find((link) => link.mac === choice.mac);
  for (const name of namesIn(choice)) {
    const link = getLink(node, name);
    if (link !== undefined) return link;
  }
  return undefined;
}

/** The network interfaces that sysfs shows of a device; those of virtio lie a folder deeper. */
function namesIn(choice: Exclude<Choice, { name: string } | { mac: Mac }>): readonly string[] {
  if ("kernelPath" in choice) return entries(join(choice.kernelPath, "net"));
  if ("auxiliary" in choice) return entries(join(AUXILIARY, choice.auxiliary, "net"));
  const folder = join(PCI, choice.pci);
  const virtio = entries(folder).filter((entry) => entry.startsWith("virtio"));
  return [...entries(join(folder, "net")), ...virtio.flatMap((entry) => entries(join(folder, entry, "net")))];
}

function entries(folder: string): readonly string[] {
  try {
    return readdirSync(folder).sort();
  } catch {
    return [];
  }
}
