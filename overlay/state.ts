import type { Gre } from "../kernel/rtnetlink/link-kinds/gre.ts";
import type { Ipip } from "../kernel/rtnetlink/link-kinds/ipip.ts";
import type { Vxlan } from "../kernel/rtnetlink/link-kinds/vxlan.ts";
import type { IpEncap } from "../kernel/rtnetlink/route.ts";
import type { Address } from "../net/address.ts";
import type { Mac } from "../net/mac.ts";
import type { Prefix } from "../net/prefix.ts";
import type { WireguardPublicKey } from "../net/wireguard-key.ts";

/** What the kernel should hold for the overlays: plain data with device names. Everything carries our marks. */
export interface DesiredState {
  readonly links: readonly DesiredLink[];
  readonly addresses: readonly DesiredAddress[];
  readonly neighbours: readonly DesiredNeighbour[];
  readonly fdb: readonly DesiredFdbEntry[];
  /** One a device. */
  readonly wireguard: readonly DesiredWireguard[];
  /** To be put after neighbours, FDB and WireGuard peers, or the first packets are lost. */
  readonly routes: readonly DesiredRoute[];
  /** Bridges of Open vSwitch, to be made before the links, for theirs are among those; flows before the routes. */
  readonly switches: readonly DesiredSwitch[];
  /** The node's own, to be written in this order, before the routes. */
  readonly sysctls: readonly DesiredSysctl[];
  /** The pods' MTU in bytes, by network name. */
  readonly podMtu: Readonly<Record<string, number>>;
  /** How far this node is when all of this is in the kernel, for each network whose backend is being changed. */
  readonly changes: readonly ChangeProgress[];
  /** Sentences about what was asked for and is not programmed. */
  readonly refusals: readonly string[];
}

export interface ChangeProgress {
  readonly network: string;
  readonly generation: number;
  /** Whether every peer is sent to with the new backend. */
  readonly complete: boolean;
}

/** A tunnel's kind and what the kernel has under that: it can't be changed on a living device, so a different one is made anew. */
export type TunnelDevice =
  | { readonly kind: "vxlan"; readonly vxlan: Vxlan }
  | { readonly kind: "gre" | "ip6gre"; readonly gre: Gre }
  | { readonly kind: "ipip"; readonly ipip: Ipip }
  | { readonly kind: "wireguard" }
  /** A bridge's own device, which Open vSwitch makes. */
  | { readonly kind: "ovs" };

/** A tunnel device, to be made, given its sysctls, and set up. */
export type DesiredLink = TunnelDevice & {
  readonly name: string;
  readonly mtu: number;
  /** The mark of ownership (IFLA_IFALIAS). */
  readonly alias: string;
  /** Absent without inner Ethernet. */
  readonly mac?: Mac;
  /** To be written while the link is still down: no router advertisement ever reaches it. */
  readonly sysctls: readonly DesiredSysctl[];
};

/** A bridge of Open vSwitch with nothing in it but tunnel ports. What meets none of its flows is dropped. */
export interface DesiredSwitch {
  /** Also of the bridge's own device, which is one of the links. */
  readonly name: string;
  /** In the mark of ownership. */
  readonly network: string;
  /** Of the bridge's own device. */
  readonly mac: Mac;
  /** Of the bridge's own device. */
  readonly mtu: number;
  /** The device that tunnel packets leave by. */
  readonly underlay: string;
  readonly ports: readonly DesiredTunnelPort[];
  readonly flows: readonly DesiredFlow[];
}

export interface DesiredTunnelPort {
  readonly name: string;
  readonly type: "gre" | "ip6gre" | "vxlan" | "geneve";
  /** As ovs-vswitchd.conf.db(5) names them, "Tunnel Options". */
  readonly options: Readonly<Record<string, string>>;
}

/** In words of ovs-fields(7) and ovs-actions(7), made of checked values only. */
export interface DesiredFlow {
  readonly priority: number;
  /** Name of the port by which a packet comes in, or LOCAL. */
  readonly from: string;
  readonly match: string;
  /** Actions before the output. */
  readonly set: readonly string[];
  /** Name of the port by which it goes out, or LOCAL. */
  readonly to: string;
}

export interface DesiredAddress {
  readonly device: string;
  readonly address: Prefix;
}

/** Permanent. */
export interface DesiredNeighbour {
  readonly device: string;
  readonly address: Address;
  readonly mac: Mac;
}

/** Permanent, on the device itself (NTF_SELF). */
export interface DesiredFdbEntry {
  readonly device: string;
  readonly mac: Mac;
  readonly dst: Address;
}

/** What a WireGuard device holds. The private and the preshared keys are given to the dataplane apart; they stand in no state. */
export interface DesiredWireguard {
  readonly device: string;
  readonly listenPort: number;
  /** Each key once. */
  readonly peers: readonly DesiredWireguardPeer[];
}

export interface DesiredWireguardPeer {
  readonly publicKey: WireguardPublicKey;
  readonly endpoint: { readonly address: Address; readonly port: number };
  /** What is sent to it, and the only sources that are taken from it. */
  readonly allowedIps: readonly Prefix[];
}

/** In the main table with our route protocol. Key: dst and metric. */
export interface DesiredRoute {
  readonly dst: Prefix;
  /** "local": the destination is this node itself, though no device bears it. */
  readonly type: "unicast" | "unreachable" | "local";
  readonly device?: string;
  readonly via?: Address;
  readonly onlink?: true;
  readonly src?: Address;
  /** RTAX_MTU in bytes. */
  readonly mtu?: number;
  /** Absent: the kernel's own (0, or 1024 for IPv6). */
  readonly metric?: number;
  readonly encap?: IpEncap;
}

export interface DesiredSysctl {
  /** With "/" between the parts, because device names may hold dots. */
  readonly key: string;
  readonly value: string;
  /** Write only when the present value is this one. */
  readonly onlyFrom?: string;
  /** A kernel without the key (IPv6 off) is fine. */
  readonly missingOk?: true;
}
