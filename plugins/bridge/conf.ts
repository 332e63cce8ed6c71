import type { Attachment } from "../../cni/attachment.ts";
import type { NetConf } from "../../cni/conf.ts";
import { array, boolean, type Decoder, integer, invalid, object, oneOf, optional } from "../../cni/decode.ts";
import { CniError, Code } from "../../cni/error.ts";
import type { Mac } from "../../net/mac.ts";
import { interfaceName, requestedMac } from "../interface/conf.ts";

/** The bridge of a configuration that names none. */
export const DEFAULT_BRIDGE = "cni0";

/** The keys of the bridge plugin, as the reference plugin names them. */
export interface BridgeConf {
  /** Name of the bridge. */
  readonly bridge: string;
  /** The bridge has the first address of the pods' subnets and forwards. True with isDefaultGateway. */
  readonly isGateway: boolean;
  readonly isDefaultGateway: boolean;
  /** Another address of the bridge in an overlapping subnet is replaced instead of being an error. */
  readonly forceAddress: boolean;
  readonly ipMasq: boolean;
  /** Bytes; absent: the kernel's default. */
  readonly mtu: number | undefined;
  readonly hairpinMode: boolean;
  readonly promiscMode: boolean;
  readonly portIsolation: boolean;
  readonly macSpoofCheck: boolean;
  /** The pod's end stays down. */
  readonly disableContainerInterface: boolean;
  /** Duplicate address detection on the pod's IPv6 addresses, waited for. */
  readonly enableDad: boolean;
  /** VLAN ids of the port: the untagged one (0: none) and tagged ones. */
  readonly vlan: number;
  readonly vlanTrunk: readonly VlanRange[];
  /** The pod's MAC address, when somebody asked for one. */
  readonly mac: Mac | undefined;
  /** "iptables" where the configuration asks for it; masquerading is done by nftables all the same. */
  readonly ipMasqBackend: "iptables" | "nftables" | undefined;
}

/** Both ends belong to it. */
export interface VlanRange {
  readonly first: number;
  readonly last: number;
}

/** The largest MTU of a veth (ETH_MAX_MTU, <linux/if_ether.h>). */
const LARGEST_MTU = 65535;
/** 0 and 4095 are reserved by IEEE 802.1Q; here 0 stands for "none". */
const LAST_VLAN = 4094;

const vlanId = integer(1, LAST_VLAN);

const vlanRange: Decoder<VlanRange> = (value, path) => {
  const { id, minID, maxID } = object({ id: optional(vlanId), minID: optional(vlanId), maxID: optional(vlanId) })(
    value,
    path,
  );
  if (id !== undefined && minID === undefined && maxID === undefined) return { first: id, last: id };
  if (id === undefined && minID !== undefined && maxID !== undefined && minID <= maxID) {
    return { first: minID, last: maxID };
  }
  throw invalid(path, value, "needs either id, or minID and a maxID that is not smaller");
};

const keys = object({
  bridge: optional((value, path) => (value === "" ? undefined : interfaceName(value, path))),
  isGateway: optional(boolean, false),
  isDefaultGateway: optional(boolean, false),
  forceAddress: optional(boolean, false),
  ipMasq: optional(boolean, false),
  ipMasqBackend: optional((value, path) => (value === "" ? undefined : oneOf("iptables", "nftables")(value, path))),
  mtu: optional(integer(0, LARGEST_MTU), 0),
  hairpinMode: optional(boolean, false),
  promiscMode: optional(boolean, false),
  portIsolation: optional(boolean, false),
  macspoofchk: optional(boolean, false),
  disableContainerInterface: optional(boolean, false),
  enabledad: optional(boolean, false),
  vlan: optional(integer(0, LAST_VLAN), 0),
  vlanTrunk: optional(array(vlanRange), []),
  preserveDefaultVlan: optional(boolean, true),
});

/**
 * Reads and checks all keys of the plugin.
 * @throws CniError 7 that names key and value; 4 for `MAC` in CNI_ARGS
 */
export function decodeBridgeConf(conf: NetConf, attachment: Pick<Attachment, "args">): BridgeConf {
  const given = keys(conf.raw, "");
  if (given.hairpinMode && given.promiscMode) {
    throw new CniError(
      Code.invalidConfig,
      "hairpinMode: true cannot go with promiscMode: true, for every packet would come twice; choose one",
    );
  }
  if (given.disableContainerInterface && conf.ipam !== undefined) {
    throw new CniError(
      Code.invalidConfig,
      `disableContainerInterface: true cannot go with ipam.type: ${JSON.stringify(conf.ipam.type)}, for the interface stays down; remove one`,
    );
  }
  return {
    bridge: given.bridge ?? DEFAULT_BRIDGE,
    isGateway: given.isGateway || given.isDefaultGateway,
    isDefaultGateway: given.isDefaultGateway,
    forceAddress: given.forceAddress,
    ipMasq: given.ipMasq,
    ipMasqBackend: given.ipMasqBackend,
    mtu: given.mtu === 0 ? undefined : given.mtu,
    hairpinMode: given.hairpinMode,
    promiscMode: given.promiscMode,
    portIsolation: given.portIsolation,
    macSpoofCheck: given.macspoofchk,
    disableContainerInterface: given.disableContainerInterface,
    enableDad: given.enabledad,
    vlan: given.vlan,
    vlanTrunk: given.vlanTrunk,
    mac: requestedMac(conf, attachment),
  };
}
