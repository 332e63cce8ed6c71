import type { Version } from "./spec.ts";

/** `main` makes an interface, `ipam` hands out addresses, `meta` comes after a main plugin in a chain. */
export type Role = "main" | "ipam" | "meta";

/** Which IPAM plugin of the folder main plugins are tried with. */
export type Ipam = "host-local" | "static" | undefined;

/** What a profile may use to make a configuration for one container. */
export interface Situation {
  /** 1 for the first container of a sandbox. */
  readonly number: number;
  readonly ipam: Ipam;
  readonly version: Version;
}

/** What a plugin of this name is given, and what it needs of the machine. */
export interface Profile {
  readonly role: Role;
  /** The keys of its own. */
  readonly conf: (situation: Situation) => object;
  /** The interface in the container, when a runtime would not say eth0. */
  readonly ifName?: string;
  /** Its links have another end on the machine, which a chained plugin can shape. */
  readonly hasHostEnd?: true;
  /** Takes the key `ipam`. */
  readonly takesIpam?: true;
  /** Lines of sh(1) on the machine, once in a sandbox and once for each container. */
  readonly prepare?: string;
  readonly prepareContainer?: (situation: Situation) => string;
  /** What the kernel must have: a line that fails when it has not, tried with the link up0 at hand. */
  readonly needs?: readonly { readonly what: string; readonly probe: string }[];
  /** Changes to its configuration that no plugin of this name can take, and what is wrong with each. */
  readonly wrong: Readonly<Record<string, object>>;
}

/** A link to the outside, for plugins that work on one. */
export const UPLINK = `
ip link add up0 type veth peer name up1
for file in /proc/sys/net/ipv6/conf/up*/accept_dad; do echo 0 >$file; done 2>/dev/null || :
ip address add 192.0.2.1/24 dev up0
ip link set up1 up; ip link set up0 up
ip route add default via 192.0.2.254
`;

/** The key `ipam` for a container, with both families. */
export function ipamConf({ ipam, number }: Pick<Situation, "ipam" | "number">): object {
  const routes = [{ dst: "0.0.0.0/0" }, { dst: "::/0" }];
  if (ipam === "static") {
    const addresses = [
      { address: `10.88.0.${number + 1}/16`, gateway: "10.88.0.1" },
      { address: `fd88::${(number + 1).toString(16)}/64`, gateway: "fd88::1" },
    ];
    return { type: "static", addresses, routes };
  }
  return { type: "host-local", ranges: [[{ subnet: "10.88.0.0/16" }], [{ subnet: "fd88::/64" }]], routes };
}

const SUBNET = { subnet: "10.88.0.0/24" };
const ranges = (...sets: readonly object[][]) => ({ ipam: { type: "host-local", ranges: sets } });
const link = (type: string, words = "") => ({
  what: `links of type ${type}`,
  probe: `ip link add link up0 name probe0 type ${type} ${words}; ip link del probe0`,
});
const plainLink = (type: string, words = "") => ({
  what: `links of type ${type}`,
  probe: `ip link add name probe0 type ${type} ${words}; ip link del probe0`,
});

const WRONG_MTU = { "mtu a text": { mtu: "big" }, "mtu a list": { mtu: [1500] } } as const;
const WRONG_MASTER = { "master a number": { master: 7 }, "master that does not exist": { master: "nosuch0" } } as const;

/** By name: what containernetworking/plugins documents for plugins of these names, and what others of the name must take too. */
export const PROFILES: Readonly<Record<string, Profile>> = {
  bridge: {
    role: "main",
    hasHostEnd: true,
    takesIpam: true,
    conf: () => ({ bridge: "cni-kit0", isGateway: true, ipMasq: true, hairpinMode: true }),
    needs: [plainLink("bridge"), plainLink("veth", "peer name probe1")],
    wrong: {
      ...WRONG_MTU,
      "bridge a number": { bridge: 7 },
      "isGateway a text": { isGateway: "yes" },
      "ipMasq a number": { ipMasq: 1 },
      "hairpinMode a text": { hairpinMode: "on" },
      "hairpinMode and promiscMode": { promiscMode: true },
      "vlan a text": { vlan: "ten" },
      "vlan 4095": { vlan: 4095 },
      "vlan -1": { vlan: -1 },
    },
  },
  ptp: {
    role: "main",
    hasHostEnd: true,
    takesIpam: true,
    conf: () => ({ ipMasq: true }),
    needs: [plainLink("veth", "peer name probe1")],
    wrong: { ...WRONG_MTU, "ipMasq a text": { ipMasq: "yes" } },
  },
  macvlan: {
    role: "main",
    takesIpam: true,
    conf: () => ({ master: "up0", mode: "bridge" }),
    needs: [link("macvlan", "mode bridge")],
    wrong: {
      ...WRONG_MTU,
      ...WRONG_MASTER,
      "mode that does not exist": { mode: "router" },
      "mtu above the master's": { mtu: 9000 },
    },
  },
  ipvlan: {
    role: "main",
    takesIpam: true,
    conf: () => ({ master: "up0", mode: "l2" }),
    needs: [link("ipvlan", "mode l2")],
    wrong: { ...WRONG_MTU, ...WRONG_MASTER, "mode that does not exist": { mode: "l4" } },
  },
  vlan: {
    role: "main",
    takesIpam: true,
    conf: ({ number }) => ({ master: "up0", vlanId: 100 + number }),
    needs: [link("vlan", "id 5")],
    wrong: {
      ...WRONG_MTU,
      ...WRONG_MASTER,
      "no master": { master: undefined },
      "vlanId 4095": { vlanId: 4095 },
      "vlanId -1": { vlanId: -1 },
      "vlanId a text": { vlanId: "five" },
    },
  },
  "host-device": {
    role: "main",
    takesIpam: true,
    conf: ({ number }) => ({ device: `nic${number}` }),
    prepareContainer: ({ number }) =>
      `ip link add nic${number} type veth peer name cable${number}; ip link set cable${number} up`,
    needs: [plainLink("veth", "peer name probe1")],
    wrong: {
      "no device": { device: undefined },
      "device that does not exist": { device: "nosuch0" },
      "device a number": { device: 7 },
    },
  },
  tap: {
    role: "main",
    takesIpam: true,
    conf: () => ({ multiQueue: true }),
    needs: [{ what: "/dev/net/tun", probe: "ip tuntap add probe0 mode tap; ip tuntap del probe0 mode tap" }],
    wrong: { ...WRONG_MTU, "multiQueue a text": { multiQueue: "yes" } },
  },
  dummy: {
    role: "main",
    takesIpam: true,
    conf: () => ({}),
    needs: [plainLink("dummy")],
    wrong: {},
  },
  loopback: {
    role: "main",
    ifName: "lo",
    conf: () => ({}),
    wrong: {},
  },
  "host-local": {
    role: "ipam",
    conf: () => ({}),
    wrong: {
      "no ranges": { ipam: { type: "host-local" } },
      "ranges a number": { ipam: { type: "host-local", ranges: 7 } },
      "ranges empty": ranges(),
      "a set that is empty": ranges([]),
      "a range without a subnet": ranges([{}]),
      "subnet no prefix": ranges([{ subnet: "10.88.0.0" }]),
      "subnet a word": ranges([{ subnet: "lan" }]),
      "subnet too long": ranges([{ subnet: "10.88.0.0/33" }]),
      "subnet without room": ranges([{ subnet: "10.88.0.1/32" }]),
      "gateway a word": ranges([{ ...SUBNET, gateway: "first" }]),
      "rangeStart outside": ranges([{ ...SUBNET, rangeStart: "10.99.0.1" }]),
      "rangeEnd outside": ranges([{ ...SUBNET, rangeEnd: "10.99.0.1" }]),
      "rangeEnd before rangeStart": ranges([{ ...SUBNET, rangeStart: "10.88.0.9", rangeEnd: "10.88.0.5" }]),
      "two sets that overlap": ranges([SUBNET], [{ subnet: "10.88.0.0/16" }]),
      "two families in a set": ranges([SUBNET, { subnet: "fd88::/64" }]),
      "a route that is none": { ipam: { type: "host-local", ranges: [[SUBNET]], routes: [{ dst: "away" }] } },
    },
  },
  static: {
    role: "ipam",
    conf: () => ({}),
    wrong: {
      "addresses a text": { ipam: { type: "static", addresses: "10.88.0.2/16" } },
      "an address without a length": { ipam: { type: "static", addresses: [{ address: "10.88.0.2" }] } },
      "an address that is a word": { ipam: { type: "static", addresses: [{ address: "mine/16" }] } },
      "a gateway that is a word": {
        ipam: { type: "static", addresses: [{ address: "10.88.0.2/16", gateway: "first" }] },
      },
    },
  },
  portmap: {
    role: "meta",
    conf: ({ number }) => ({
      capabilities: { portMappings: true },
      snat: true,
      runtimeConfig: {
        portMappings: [
          { hostPort: 20_000 + number, containerPort: 80, protocol: "tcp" },
          { hostPort: 20_000 + number, containerPort: 53, protocol: "udp" },
        ],
      },
    }),
    wrong: {
      "portMappings a text": { runtimeConfig: { portMappings: "80:80" } },
      "containerPort 0": { runtimeConfig: { portMappings: [{ hostPort: 80, containerPort: 0, protocol: "tcp" }] } },
      "containerPort a text": {
        runtimeConfig: { portMappings: [{ hostPort: 80, containerPort: "80", protocol: "tcp" }] },
      },
      "snat a text": { snat: "yes" },
      "conditionsV4 a text": { conditionsV4: "-d 10.0.0.1" },
    },
  },
  bandwidth: {
    role: "meta",
    conf: () => ({ ingressRate: 8_000_000, ingressBurst: 1_000_000, egressRate: 8_000_000, egressBurst: 1_000_000 }),
    needs: [
      { what: "links of type ifb", probe: plainLink("ifb").probe },
      {
        what: "the queueing discipline tbf",
        probe: "tc qdisc add dev up0 root tbf rate 1mbit burst 10kb latency 25ms",
      },
      { what: "the queueing discipline ingress", probe: "tc qdisc add dev up0 ingress" },
    ],
    wrong: {
      "a rate without a burst": { ingressBurst: undefined },
      "a burst without a rate": { egressRate: undefined },
      "ingressRate a text": { ingressRate: "8M" },
      "ingressRate -1": { ingressRate: -1 },
    },
  },
  firewall: {
    role: "meta",
    conf: () => ({}),
    wrong: {
      "backend that does not exist": { backend: "tablets" },
      "backend a number": { backend: 7 },
      "ingressPolicy a number": { ingressPolicy: 7 },
    },
  },
  tuning: {
    role: "meta",
    conf: () => ({ sysctl: { "net.ipv4.conf.IFNAME.log_martians": "1" }, mtu: 1400, promisc: true }),
    wrong: {
      ...WRONG_MTU,
      "sysctl a text": { sysctl: "net.ipv4.ip_forward=1" },
      "a sysctl's value a number": { sysctl: { "net.ipv4.conf.IFNAME.log_martians": 1 } },
      "a sysctl that does not exist": { sysctl: { "net.core.no_such_thing": "1" } },
      "a sysctl with a way out of /proc/sys/net": { sysctl: { "net/../kernel/hostname": "x" } },
      "a sysctl that is no network's": { sysctl: { "kernel.hostname": "x" } },
      "promisc a text": { promisc: "yes" },
      "mac a word": { mac: "mine" },
    },
  },
  sbr: {
    role: "meta",
    conf: () => ({}),
    wrong: { "table a text": { table: "main" } },
  },
  vrf: {
    role: "meta",
    conf: () => ({ vrfname: "blue" }),
    needs: [plainLink("vrf", "table 77")],
    wrong: {
      "no vrfname": { vrfname: undefined },
      "vrfname a number": { vrfname: 7 },
      "table a text": { table: "main" },
    },
  },
};
