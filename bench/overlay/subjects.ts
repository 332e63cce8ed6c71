import { type Backend, podSubnet, underlayAddress } from "./peers.ts";

/** A tunnel that is measured: made by our code, or by hand with iproute2. */
export type Subject = {
  readonly name: string;
  /** Ours are compared with the best of those by hand of the same kind. */
  readonly kind: string;
} & (
  | { readonly by: "us"; readonly backend: Backend; readonly nodes?: number; readonly masquerade?: true }
  | {
      readonly by: "hand";
      /** Of the pods' links: the largest packet that fits. */
      readonly mtu: number;
      /** The commands for node `me` to reach the pods of node `other`. */
      readonly script: (me: number, other: number) => string;
    }
);

/** The kind of device that a kernel must know for all subjects of that kind; absent: none. */
export const DEVICE_KIND: Readonly<Record<string, string>> = { vxlan: "vxlan", gre: "gre", ipip: "ipip" };

const mac = (n: number) => `02:00:00:00:00:0${n}`;
const end = (n: number) => podSubnet(n).replace("/24", "");
const link = (me: number, add: string, mtu: number) =>
  `ip link add tun0 ${add}; ip link set tun0 mtu ${mtu} up; ip address add ${end(me)}/32 dev tun0`;
const encap = (me: number, other: number) =>
  `ip route add ${podSubnet(other)} encap ip id 1 src ${underlayAddress(me)} dst ${underlayAddress(other)} dev tun0 src ${end(me)}`;

/** A collect-metadata device and a route with its tunnel's ends. */
const metadata = (type: string, mtu: number) => ({
  mtu,
  script: (me: number, other: number) => `${link(me, `type ${type} external`, mtu)}; ${encap(me, other)}`,
});

/** A device for this one peer. */
const pointToPoint = (type: string, mtu: number) => ({
  mtu,
  script: (me: number, other: number) =>
    `${link(me, `type ${type} local ${underlayAddress(me)} remote ${underlayAddress(other)}`, mtu)}
    ip route add ${podSubnet(other)} dev tun0 src ${end(me)}`,
});

const CLASSIC = {
  mtu: 1450,
  script: (me: number, other: number) =>
    `${link(me, `address ${mac(me)} type vxlan id 1 local ${underlayAddress(me)} dstport 8472 nolearning`, 1450)}
    ip neighbour add ${end(other)} lladdr ${mac(other)} dev tun0 nud permanent
    bridge fdb add ${mac(other)} dev tun0 dst ${underlayAddress(other)} self permanent
    ip route add ${podSubnet(other)} via ${end(other)} dev tun0 onlink src ${end(me)}`,
};

const PLAIN = {
  mtu: 1500,
  script: (_: number, other: number) => `ip route add ${podSubnet(other)} via ${underlayAddress(other)}`,
};

/** All that is measured, in the order of the tables. One more backend is one more line. */
export const SUBJECTS: readonly Subject[] = [
  { name: "plain routes", kind: "host-gw", by: "hand", ...PLAIN },
  { name: "host-gw", kind: "host-gw", by: "us", backend: { type: "host-gw", mode: "" } },
  { name: "classic, FDB and neighbour", kind: "vxlan", by: "hand", ...CLASSIC },
  { name: "GPE, encap route", kind: "vxlan", by: "hand", ...metadata("vxlan dstport 4790 gpe", 1464) },
  { name: "vxlan flow", kind: "vxlan", by: "us", backend: { type: "vxlan", mode: "flow" } },
  { name: "vxlan static", kind: "vxlan", by: "us", backend: { type: "vxlan", mode: "static" } },
  { name: "device", kind: "gre", by: "hand", ...pointToPoint("gre", 1476) },
  { name: "encap route", kind: "gre", by: "hand", ...metadata("gre", 1476) },
  { name: "gre flow", kind: "gre", by: "us", backend: { type: "gre", mode: "flow" } },
  { name: "gre static", kind: "gre", by: "us", backend: { type: "gre", mode: "static" } },
  { name: "device", kind: "ipip", by: "hand", ...pointToPoint("ipip", 1480) },
  { name: "encap route", kind: "ipip", by: "hand", ...metadata("ipip", 1480) },
  { name: "ipip flow", kind: "ipip", by: "us", backend: { type: "ipip", mode: "flow" } },
  { name: "ipip static", kind: "ipip", by: "us", backend: { type: "ipip", mode: "static" } },
  { name: "vxlan flow, 5,000 peers", kind: "vxlan", by: "us", backend: { type: "vxlan", mode: "flow" }, nodes: 5001 },
  {
    name: "vxlan flow, masquerading",
    kind: "vxlan",
    by: "us",
    backend: { type: "vxlan", mode: "flow" },
    masquerade: true,
  },
];
