import type { BackendFacts } from "./facts.ts";

const UDP = ["UDP", 8] as const;
const VXLAN = ["VXLAN", 8] as const;
const GENEVE = ["Geneve", 8] as const;
const ETHERNET = ["Ethernet", 14] as const;
const GRE = ["GRE", 4] as const;
const KEY = ["key", 4] as const;
const BOTH = [4, 6] as const;

/** Every backend there is, in the order in which people are told of them. */
export const BACKENDS = {
  vxlan: {
    about: "VXLAN: in mode flow VXLAN-GPE, with bare IP packets inside; in mode static as flannel speaks it",
    modes: ["flow", "static"],
    wires: {
      // IANA: 4790 is VXLAN-GPE's. Linux, and so flannel, takes 8472 for VXLAN.
      flow: { port: 4790, vni: "packet", headers: [UDP, VXLAN], inner: "gpe" },
      static: {
        port: 8472,
        vni: "device",
        headers: [UDP, VXLAN, ETHERNET],
        inner: "ethernet",
        vtepMac: true,
        followsPods: true,
      },
    },
    vniName: "network identifier",
    carries: BOTH,
    over: BOTH,
    maker: "kernel",
    devices: { vxlan: "CONFIG_VXLAN" },
  },
  gre: {
    about: "GRE around bare IP packets: 12 bytes less than VXLAN, where firewalls let IP protocol 47 pass",
    modes: ["flow", "static"],
    // With a key in static mode alone; no encapsulation limit option over IPv6.
    wires: {
      flow: { protocol: "gre", headers: [GRE], inner: "gre" },
      static: { protocol: "gre", vni: "device", headers: [GRE, KEY], inner: "gre-keyed" },
    },
    vniName: "key",
    carries: BOTH,
    over: BOTH,
    maker: "kernel",
    devices: { gre: "CONFIG_NET_IPGRE", ip6gre: "CONFIG_IPV6_GRE" },
  },
  ipip: {
    about: "IPv4 in IPv4, the smallest overhead of all tunnels; IP protocol 4",
    modes: ["flow", "static"],
    wires: {
      flow: { protocol: "ipip", headers: [], inner: "ip" },
      static: { protocol: "ipip", headers: [], inner: "ip" },
    },
    carries: [4],
    over: [4],
    otherwise: "gre",
    oneMode: true,
    maker: "kernel",
    devices: { ipip: "CONFIG_NET_IPIP" },
  },
  wireguard: {
    about: "WireGuard: everything between nodes is encrypted",
    modes: [],
    // The tag lies behind the packet, which is padded to 16 bytes, but never beyond the MTU. Everybody takes port 51820.
    wires: { any: { port: 51820, headers: [UDP, ["WireGuard", 16], ["tag", 16]] } },
    carries: BOTH,
    over: BOTH,
    nodeKeys: true,
    maker: "kernel",
    devices: { wireguard: "CONFIG_WIREGUARD" },
  },
  ovs: {
    about: "a mesh of Open vSwitch, where that carries your network already",
    modes: ["flow", "static", "both"],
    tunnels: ["vxlan", "gre", "geneve"],
    // Ports by IANA. Open vSwitch's flows know who may send what, but it shares the protocol GRE with others, and so their rules.
    wires: {
      vxlan: { port: 4789, vni: "device", headers: [UDP, VXLAN, ETHERNET] },
      gre: { protocol: "gre", vni: "device", headers: [GRE, KEY, ETHERNET], inner: "gre-ethernet" },
      geneve: { port: 6081, vni: "device", headers: [UDP, GENEVE, ETHERNET] },
    },
    vniName: "network identifier",
    carries: BOTH,
    over: BOTH,
    maker: "openvswitch",
    devices: {},
  },
  "host-gw": {
    about: "plain routes by way of the nodes' own addresses; every node must be on one segment",
    modes: [],
    wires: {},
    carries: BOTH,
    over: BOTH,
    maker: "kernel",
    devices: {},
  },
} as const satisfies Record<string, BackendFacts>;
