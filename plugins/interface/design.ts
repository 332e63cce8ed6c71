import type { Attachment } from "../../cni/attachment.ts";
import type { NetConf } from "../../cni/conf.ts";
import type { JsonObject } from "../../cni/json.ts";
import type { Logger } from "../../cni/log.ts";
import type { Interface, Result } from "../../cni/result.ts";
import type { AttachmentName } from "../../kernel/mark.ts";
import type { Netns } from "../../kernel/netns.ts";
import type { Link } from "../../kernel/rtnetlink/link.ts";
import type { RouteSocket } from "../../kernel/rtnetlink/socket.ts";
import type { Mac } from "../../net/mac.ts";
import type { NodeMachine } from "../node/machine.ts";
import type { Report, Told } from "./check.ts";
import type { AddressPlan } from "./plan.ts";

/**
 * What differs between the plugins that give a pod one interface: how it is made, how it is taken away, and what CHECK and
 * STATUS look at beside what all look at. The rest is written once (plugin.ts).
 */
export interface InterfaceDesign<C extends InterfaceConf> {
  /** The plugin's name. */
  readonly name: string;
  /** See {@link Plugin.knownArgs}. */
  readonly knownArgs?: readonly string[];
  /** IFLA_INFO_KIND of the pod's interface; absent where it may be of any. */
  readonly kind?: string;
  /** Without IPAM there is nothing that the interface could be for. */
  readonly needsAddresses?: boolean;
  /** The pod's address is its own even towards the subnet: all packets go to the gateway, which is the node. */
  readonly pointToPoint?: boolean;
  /** Attachments may have rules. */
  readonly masquerades?: boolean;

  /**
   * Reads and checks all keys of the plugin.
   * @throws CniError 7 that names key and value; 4 for CNI_ARGS
   */
  decode(conf: NetConf, attachment: Pick<Attachment, "args">): C;

  /** Addresses that come from elsewhere when there is no IPAM. */
  inherited?(conf: NetConf): Result | undefined;

  /**
   * Makes the interface in the pod, marked and down. What it made is gone again when it throws.
   * @returns undefined when the pod has no interface of this, by this configuration
   */
  make(place: Place, conf: C): Made | undefined;

  /** Takes away whatever an ADD may have made or left half-way, and nothing else. No interface is not an error. */
  remove(leftover: Leftover): Promise<void>;

  /** What GC finds of stale attachments by itself. */
  collect?(stale: Stale): Promise<void>;

  /** What differs from what ADD made, beside the interface's own kind, state, MAC address, MTU, addresses and routes. */
  check?(facts: Facts, conf: C, report: Report): void;

  /** Whether ADD looks for an interface of the pod at all. */
  isWithoutInterface?(conf: C): boolean;

  /** @throws CniError 50 when the node lacks what ADD needs */
  status?(node: RouteSocket, conf: C): void;
}

/** What every configuration has. */
export interface InterfaceConf {
  readonly ipMasq?: boolean;
  readonly ipMasqBackend?: "iptables" | "nftables" | undefined;
}

/** Where ADD makes the interface. */
export interface Place {
  readonly name: AttachmentName;
  readonly podName: { readonly namespace: string; readonly name: string } | undefined;
  readonly netConf: NetConf;
  readonly netns: Netns;
  /** A socket in the node's namespace. */
  readonly node: RouteSocket;
  /** A socket in the pod's. */
  readonly pod: RouteSocket;
  readonly machine: NodeMachine;
  readonly log: Logger;
}

/** What ADD made. */
export interface Made {
  /** The pod's interface. */
  readonly link: { readonly index: number; readonly mac?: Mac | undefined; readonly mtu: number };
  /** The node's end, which stands first in the answer. */
  readonly hostEnd?: Interface;
  readonly pciId?: string | undefined;
  /** It is of a kind that IPv4 has nothing to do with, such as CAN. */
  readonly withoutIpv4?: boolean;
  /** Prepares the node for the pod's addresses. */
  serve?(plan: AddressPlan): void;
  /** The last thing before the answer: whatever the kernel needs to be asked so that packets pass at once. */
  settle?(): void;
  remove(): void | Promise<void>;
}

/** What DEL has: the names, and the pod's namespace when it is still there. */
export interface Leftover {
  readonly name: AttachmentName;
  readonly netns: Netns | undefined;
  /** The configuration, whatever it says by now. */
  readonly raw: JsonObject;
  readonly machine: NodeMachine;
}

/** What GC has. */
export interface Stale {
  readonly network: string;
  /** The attachments to keep. */
  readonly valid: readonly AttachmentName[];
  readonly machine: NodeMachine;
}

/** What CHECK found. */
export interface Facts {
  readonly name: AttachmentName;
  readonly netConf: NetConf;
  readonly node: RouteSocket;
  readonly pod: RouteSocket;
  /** The pod's interface, when it is there. */
  readonly link: Link | undefined;
  readonly told: Told;
}
