import type { ListNodesResponse__Output as NodeList } from "../../proto/gen/podwire/v1/ListNodesResponse.ts";
import type { Network__Output as Network } from "../../proto/gen/podwire/v1/Network.ts";
import type { Node__Output as Node } from "../../proto/gen/podwire/v1/Node.ts";
import type { Pod__Output as Pod } from "../../proto/gen/podwire/v1/Pod.ts";
import type { Subnet__Output as Subnet } from "../../proto/gen/podwire/v1/Subnet.ts";
import type { Admin } from "../connection.ts";
import type { Context } from "../context.ts";

/** The time at which everything below is looked at: 2026-01-02T03:04:05Z. */
export const NOW = Date.UTC(2026, 0, 2, 3, 4, 5);

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const ago = (time: number) => NOW - time;

/** Two networks, three nodes of which one is gone and one is behind, a reservation, and pods of both kinds. */
export const networks: readonly Network[] = [
  {
    name: "default",
    cidrs: ["10.244.0.0/16", "fd00:244::/48"],
    ipv4SubnetLength: 24,
    ipv6SubnetLength: 64,
    backend: { type: "vxlan", mode: "flow", vni: 1, port: 0, directRouting: false, mtu: 0, tunnel: "" },
    masquerade: true,
    createdAt: ago(12 * DAY),
    generation: 0,
    previous: null,
    required: 0,
  },
  {
    name: "storage",
    cidrs: ["10.99.0.0/16"],
    ipv4SubnetLength: 0,
    ipv6SubnetLength: 0,
    backend: { type: "host-gw", mode: "", vni: 0, port: 0, directRouting: false, mtu: 9000, tunnel: "" },
    masquerade: false,
    createdAt: ago(90 * MINUTE),
    generation: 0,
    previous: null,
    required: 0,
  },
];

const lease = (subnet: Partial<Subnet> & Pick<Subnet, "subnet">): Subnet => ({
  network: "default",
  epoch: 7,
  nodeId: "",
  nodeName: "",
  addresses: [],
  vtepMac: "",
  reserved: false,
  expiresAt: NOW + 20 * HOUR,
  createdAt: ago(4 * HOUR),
  revision: 7,
  receives: 0,
  sends: 0,
  publicKey: "",
  ...subnet,
});

const node1 = { nodeId: "id-1", nodeName: "node-1", addresses: ["192.168.0.11", "fd00::11"] };
const node2 = { nodeId: "id-2", nodeName: "node-2", addresses: ["192.168.0.12"] };
const node10 = { nodeId: "id-10", nodeName: "node-10", addresses: ["192.168.0.20"] };

export const subnets: readonly Subnet[] = [
  lease({ subnet: "10.244.10.0/24", ...node2, epoch: 12, revision: 31 }),
  lease({ subnet: "10.244.9.0/24", ...node1 }),
  lease({ subnet: "fd00:244:0:9::/64", ...node1, vtepMac: "0a:58:00:00:00:01" }),
  lease({ subnet: "10.244.200.0/24", reserved: true, expiresAt: 0, createdAt: ago(30 * DAY) }),
  lease({ subnet: "10.244.11.0/24", ...node10, expiresAt: ago(1) }),
  lease({ subnet: "10.99.1.0/24", network: "storage", ...node1, reserved: true, expiresAt: 0, createdAt: ago(45_000) }),
];

const node = (fields: Partial<Node> & Pick<Node, "id" | "name" | "addresses">): Node => ({
  backends: ["vxlan/flow", "vxlan/static", "host-gw"],
  connected: true,
  connectedSince: ago(3 * HOUR),
  lastSeen: ago(2000),
  appliedRevision: 42,
  appliedAt: ago(5 * MINUTE),
  failures: [],
  conditions: [{ type: "Ready", status: true, reason: "", message: "" }],
  subnets: subnets.filter(({ nodeId }) => nodeId === fields.id),
  podCount: 0,
  version: "0.1.0",
  createdAt: ago(3 * DAY),
  probes: [],
  ...fields,
});

export const nodes: readonly Node[] = [
  node({
    id: "id-10",
    name: "node-10",
    addresses: ["192.168.0.20"],
    backends: ["vxlan/static"],
    connected: false,
    connectedSince: 0,
    lastSeen: ago(26 * HOUR),
    appliedRevision: 0,
    appliedAt: 0,
    conditions: [],
  }),
  node({
    id: "id-2",
    name: "node-2",
    addresses: ["192.168.0.12"],
    appliedRevision: 39,
    appliedAt: ago(12_000),
    failures: ["RTM_NEWROUTE 10.244.9.0/24: ENETUNREACH"],
    conditions: [
      { type: "Ready", status: true, reason: "", message: "" },
      { type: "Converged", status: false, reason: "KernelRefused", message: "1 change\x1b[31m failed\nnode-9 is fine" },
    ],
    podCount: 1,
    probes: [
      {
        network: "default",
        nodeId: "id-1",
        nodeName: "node-1",
        family: 4,
        verdict: "mtu-black-hole",
        message: "packets over 1364 bytes vanish (MTU black hole), and pods send up to 1464",
        since: ago(3 * MINUTE),
      },
      {
        network: "default",
        nodeId: "id-10",
        nodeName: "node-10",
        family: 4,
        verdict: "unreachable",
        message: "nothing comes back through the tunnel",
        since: ago(26 * HOUR),
      },
    ],
  }),
  node({
    id: "id-1",
    name: "node-1",
    addresses: ["192.168.0.11", "fd00::11"],
    podCount: 2,
    conditions: [
      { type: "Ready", status: true, reason: "", message: "" },
      {
        type: "MTU",
        status: true,
        reason: "default",
        message: "1464 = underlay eth0 1500 − 36 (vxlan flow over IPv4: IP 20, UDP 8, VXLAN 8)",
      },
      { type: "MTU", status: true, reason: "storage", message: "1500 = underlay eth0 1500 (plain route)" },
    ],
  }),
];

const container = (digit: string) => digit.repeat(64);

export const pods: readonly Pod[] = [
  {
    network: "default",
    containerId: container("b"),
    interfaceName: "eth0",
    namespace: "",
    name: "",
    addresses: ["10.244.9.3"],
    createdAt: ago(8 * DAY),
    nodeName: "node-1",
  },
  {
    network: "default",
    containerId: container("a"),
    interfaceName: "eth0",
    namespace: "shop",
    name: "web-0",
    addresses: ["10.244.9.2", "fd00:244:0:9::2"],
    createdAt: ago(95_000),
    nodeName: "node-1",
  },
  {
    network: "default",
    containerId: container("c"),
    interfaceName: "eth0",
    namespace: "shop",
    name: "db-0",
    addresses: ["10.244.10.2"],
    createdAt: ago(6 * MINUTE),
    nodeName: "node-2",
  },
];

const nodeList: NodeList = { nodes: [...nodes], revision: 42 };

const unused = () => Promise.reject(new Error("this test makes no such call"));

/** An Admin that answers from the cluster above; a test replaces what it needs. */
export function fakeAdmin(overrides: Partial<Admin> = {}): Admin {
  return {
    listNodes: async () => nodeList,
    listNetworks: async () => networks,
    listSubnets: async ({ network }) => subnets.filter((subnet) => network === undefined || subnet.network === network),
    listPods: async ({ network, nodeName }) =>
      pods.filter((pod) => (network ?? pod.network) === pod.network && (nodeName ?? pod.nodeName) === pod.nodeName),
    inspectAddress: unused,
    createNetwork: unused,
    setNetwork: unused,
    deleteNetwork: unused,
    reserveSubnet: unused,
    releaseSubnet: unused,
    async *watch() {
      yield;
    },
    [Symbol.dispose]: () => {},
    ...overrides,
  };
}

/** A context that keeps what is printed. */
export function fakeContext(admin: Admin = fakeAdmin()): Context & { printed: string; noted: string } {
  return {
    printed: "",
    noted: "",
    connect: async () => admin,
    out(text) {
      this.printed += text;
    },
    note(text) {
      this.noted += text;
    },
    now: () => NOW,
  };
}
