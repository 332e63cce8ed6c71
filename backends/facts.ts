import type { Family } from "../net/address.ts";

/** Headers with their lengths in bytes, the outermost first. */
export type Headers = readonly (readonly [name: string, bytes: number])[];

/** Where in a tunnel's packet the inner one lies: names that firewall/inner-source.ts knows the offsets of. */
export type InnerFormat = "gpe" | "ethernet" | "gre" | "gre-keyed" | "gre-ethernet" | "ip";

/** IP protocols without ports (IANA), and the underlay families that tunnels go over with them. */
export const PROTOCOLS = {
  gre: { number: 47, families: [4, 6] },
  ipip: { number: 4, families: [4] },
} as const satisfies Record<string, { readonly number: number; readonly families: readonly Family[] }>;
export type TunnelProtocol = keyof typeof PROTOCOLS;

/** How the peers' subnets are reached, in one sentence each, which help texts show. */
export const MODES = {
  flow: "one device, one route a peer",
  static: "one device a peer; of vxlan as flannel does it",
  both: "one port a peer, and a common one for peers that have none yet",
} as const;
export type Mode = keyof typeof MODES;

/** What a backend's packets are like between nodes. Two of different kinds never share a UDP port. */
export interface Wire {
  /** The UDP port when none is chosen; absent: its packets have none. */
  readonly port?: number;
  /** Without a UDP port. */
  readonly protocol?: TunnelProtocol;
  /**
   * Present: they carry the network's number, `vni`. "device": it names a device too, so two networks of one node never
   * bear the same; "packet": it only tells the packets of one port apart, and the controller gives each network its own.
   */
  readonly vni?: "device" | "packet";
  /** All that lies between the outer IP header and a pod's packet, and behind that. */
  readonly headers: Headers;
  /** Absent: the tunnel itself knows who may send what. */
  readonly inner?: InnerFormat;
  /** Peers are sent to by the MAC address of their device, which every node derives from the peer's id (overlay/vtep.ts). */
  readonly vtepMac?: true;
  /** They go over the underlay of the pods' family when both nodes have it; else over IPv4 when both have that. */
  readonly followsPods?: true;
}

/** What the whole house knows of a backend. What it makes of peers is said by the pure function overlay/NAME.ts. */
export interface BackendFacts {
  /** For help texts. */
  readonly about: string;
  /** The first is the default; none: it has no modes. */
  readonly modes: readonly Mode[];
  /** What it wraps packets in, where a network may choose; the first is the default. */
  readonly tunnels?: readonly string[];
  /** By tunnel where there is a choice, else by mode, else under "any". None: the pods' packets go as they are. */
  readonly wires: Readonly<Record<string, Wire>>;
  /** What `vni` is called. */
  readonly vniName?: string;
  /** Families of pods. */
  readonly carries: readonly Family[];
  /** Families of underlays that its tunnels can go over. */
  readonly over: readonly Family[];
  /** What to take for a family that it cannot. */
  readonly otherwise?: string;
  /** Networks of it on one node are all of one mode: nothing in their packets tells devices apart. */
  readonly oneMode?: true;
  /** Peers are known by their nodes' public keys; the controller gives pairs of nodes preshared ones and rotates them. */
  readonly nodeKeys?: true;
  /** Who makes its devices. */
  readonly maker: "kernel" | "openvswitch";
  /** Kinds of its devices (IFLA_INFO_KIND), each with the option that the kernel must be built with. */
  readonly devices: Readonly<Record<string, string>>;
}
