import { readFileSync } from "node:fs";
import t, { type Test } from "tap";
import { hasGenericFamily } from "../../kernel/generic.ts";
import { getLink } from "../../kernel/rtnetlink/link.ts";
import { listRoutes } from "../../kernel/rtnetlink/route.ts";
import { openRoute } from "../../kernel/rtnetlink/socket.ts";
import type { Family } from "../../net/address.ts";
import { eventually } from "../netns/harness/eventually.ts";
import { type Feature, IN_GUEST, needs } from "../netns/harness/full-kernel.ts";
import { Pinging } from "../netns/harness/pinging.ts";
import { type Cluster, startCluster, type WiredPod } from "./harness/cluster.ts";
import { installSwitches } from "./harness/open-vswitch.ts";
import { exchange, pingFullSize } from "./harness/traffic.ts";

const LONG = process.env.PODWIRE_TEST_LONG === "1";

interface Backend {
  readonly type: string;
  readonly mode?: string;
  /** Of Open vSwitch. */
  readonly tunnel?: string;
  readonly directRouting?: boolean;
  readonly features: readonly Feature[];
  /** Bytes before a pod's packet on an underlay of that family. */
  readonly overhead: { readonly [F in Family]?: number };
  /** What pods may have; both families when absent. */
  readonly pods?: readonly Family[];
  /** Pods of a family need an underlay of the same family. */
  readonly alike?: true;
  /** Tunnels go over the family of the pods where the underlay has it, and not over IPv4. */
  readonly follows?: true;
}

/** Every backend in every mode. */
const BACKENDS: readonly Backend[] = [
  { type: "vxlan", mode: "flow", features: ["vxlan"], overhead: { 4: 36, 6: 56 } },
  { type: "vxlan", mode: "static", features: ["vxlan"], overhead: { 4: 50, 6: 70 }, follows: true },
  { type: "vxlan", mode: "flow", directRouting: true, features: ["vxlan"], overhead: { 4: 36, 6: 56 } },
  { type: "host-gw", features: [], overhead: { 4: 0, 6: 0 }, alike: true },
  { type: "gre", mode: "flow", features: ["gre", "ip6gre"], overhead: { 4: 24, 6: 44 } },
  { type: "gre", mode: "static", features: ["gre", "ip6gre"], overhead: { 4: 28, 6: 48 } },
  { type: "gre", mode: "static", directRouting: true, features: ["gre", "ip6gre"], overhead: { 4: 28, 6: 48 } },
  { type: "wireguard", features: ["wireguard"], overhead: { 4: 60, 6: 80 } },
  { type: "ipip", mode: "flow", features: ["ipip"], overhead: { 4: 20 }, pods: [4] },
  { type: "ipip", mode: "static", features: ["ipip"], overhead: { 4: 20 }, pods: [4] },
  ...openVswitch("vxlan", { 4: 50, 6: 70 }),
  ...openVswitch("gre", { 4: 42, 6: 62 }),
  ...openVswitch("geneve", { 4: 50, 6: 70 }),
];

/** By the datapath that it finds: the kernel's or its own. */
function openVswitch(tunnel: string, overhead: Backend["overhead"]): Backend[] {
  return ["flow", "static", "both"].map((mode) => ({ type: "ovs", mode, tunnel, features: [], overhead }));
}

interface Setup extends Backend {
  /** Of the pods. */
  readonly families: readonly Family[];
  readonly network: string;
  readonly mtu: number;
  readonly cidrs: readonly string[];
}

/** One cluster: networks of many kinds on the same three nodes. */
interface Wave {
  readonly name: string;
  readonly underlay: readonly Family[];
  readonly setups: readonly Setup[];
}

const PODS = { IPv4: [4], IPv6: [6], "both families": [4, 6] } as const;
const UNDERLAYS = { IPv4: [4], IPv6: [6], both: [4, 6] } as const;

/**
 * Without --long: over which underlay the backend runs and what its pods have. What a guest
 * runs is on one cluster, for each takes a minute there, and static gre and ipip are left to
 * test/netns/tunnel-backends.test.ts.
 */
const SHORT: Readonly<Record<string, readonly [keyof typeof UNDERLAYS, keyof typeof PODS]>> = {
  "vxlan flow": ["IPv6", "both families"],
  "vxlan static": ["IPv4", "both families"],
  "vxlan flow direct": ["IPv4", "IPv4"],
  "host-gw": ["IPv6", "IPv6"],
  "gre flow": ["IPv4", "both families"],
  "ipip flow": ["IPv4", "IPv4"],
  wireguard: ["IPv4", "both families"],
};

function nameOf({ type, mode, tunnel, directRouting }: Backend): string {
  return [type, tunnel, mode, directRouting === true ? "direct" : undefined]
    .filter((word) => word !== undefined)
    .join(" ");
}

/** What a packet of the pods may measure; undefined: that backend does not go with these. */
function mtuOf(backend: Backend, pods: readonly Family[], underlay: readonly Family[]): number | undefined {
  if (backend.pods !== undefined && !pods.every((family) => backend.pods?.includes(family))) return undefined;
  if (backend.alike && !pods.every((family) => underlay.includes(family))) return undefined;
  const overV6 = backend.follows ? pods.includes(6) && underlay.includes(6) : !underlay.includes(4);
  const overhead = backend.overhead[overV6 || !underlay.includes(4) ? 6 : 4];
  return overhead === undefined ? undefined : 1500 - overhead;
}

/** Kernels without GRE and such run what needs none; the rest is a wave of its own, for a guest. */
function groupOf({ type, tunnel, features }: Backend): string {
  if (type === "ovs") return `Open vSwitch's ${tunnel}`;
  return features.every((feature) => feature === "vxlan") ? "vxlan and host-gw" : "the other tunnels";
}

const GROUPS = [...new Set(BACKENDS.map(groupOf))];

function waves(): Wave[] {
  return Object.entries(UNDERLAYS).flatMap(([over, underlay]) =>
    GROUPS.flatMap((group) =>
      // Of ipip, a node has one mode at a time.
      ["flow", "static"].flatMap((ipip) => {
        const backends = BACKENDS.filter((backend) => groupOf(backend) === group).filter(
          ({ type, mode }) => (type === "ipip" ? mode : "flow") === ipip,
        );
        const setups = backends.flatMap((backend) => setupsOf(backend, over, underlay));
        const name = `${group}${setups.some(({ type }) => type === "ipip") ? ` (ipip ${ipip})` : ""} over ${over}`;
        return setups.length === 0 ? [] : [{ name, underlay, setups: setups.map(withAddresses) }];
      }),
    ),
  );
}

function setupsOf(backend: Backend, over: string, underlay: readonly Family[]): Omit<Setup, "cidrs">[] {
  return Object.entries(PODS).flatMap(([pods, families]) => {
    const mtu = mtuOf(backend, families, underlay);
    const [shortOver, shortPods] = SHORT[nameOf(backend)] ?? [];
    if (mtu === undefined || (!LONG && (shortOver !== over || shortPods !== pods))) return [];
    return [{ ...backend, families, mtu, network: `${nameOf(backend)} ${families.join("")}`.replaceAll(" ", "-") }];
  });
}

function withAddresses(setup: Omit<Setup, "cidrs">, index: number): Setup {
  return {
    ...setup,
    cidrs: setup.families.map((family) => (family === 4 ? `10.${index}.0.0/16` : `fd10:${index}::/56`)),
  };
}

/** Networks with a pod on each of their nodes. */
class Wired {
  readonly cluster: Cluster;
  readonly pods = new Map<Setup, WiredPod[]>();

  constructor(cluster: Cluster, setups: readonly Setup[]) {
    this.cluster = cluster;
    for (const setup of setups) this.pods.set(setup, []);
  }

  async createNetworks(): Promise<void> {
    const admin = await this.cluster.admin();
    for (const [index, setup] of [...this.pods.keys()].entries()) {
      const { network: name, cidrs, type, mode = "", tunnel = "", directRouting = false } = setup;
      const vni = type === "vxlan" || type === "ovs" || mode === "static" ? 100 + index : 0;
      const backend = { type, mode, tunnel, directRouting, vni };
      await admin.createNetwork({ network: { name, cidrs: [...cidrs], backend, masquerade: false } });
    }
  }

  /** A pod in each network. */
  async addPods(index: number): Promise<void> {
    const node = this.cluster.node(index);
    for (const [{ network }, pods] of this.pods) {
      const lease = node.path(`/run/podwire/networks/${network}.json`);
      await eventually(() => JSON.parse(readFileSync(lease, "utf8")).ready === true, `${network} on ${node.name}`);
      const list = { cniVersion: "1.0.0", name: network, plugins: [{ type: "vxlan-overlay" }] };
      pods.push(await this.cluster.addPod(index, `${node.name}-${network}`, {}, list));
    }
  }

  /** All that is wrong between the pods of any network, on as many nodes as have one. */
  async problems(): Promise<string[]> {
    const problems: string[] = [];
    for (const [{ network, mtu }, pods] of this.pods) {
      for (const { pod } of pods) {
        using rt = openRoute(pod.netnsFromOutside);
        const found = getLink(rt, "eth0")?.mtu;
        if (found !== mtu) problems.push(`${network}: the MTU of ${pod.name} is ${found}, not ${mtu}`);
      }
      const failures = [...(await exchange(pods, mtu)), ...(await pingFullSize(pods, mtu))];
      problems.push(...failures.map((failure) => `${network}: ${failure}`));
    }
    return problems;
  }

  /** Pings from the first node to the second in each network and family, until what is returned is called. */
  async pinging(): Promise<() => Promise<string[]>> {
    const under: { readonly what: string; readonly pinging: Pinging }[] = [];
    for (const [{ network }, [from, to]] of this.pods) {
      for (const address of to?.addresses ?? []) {
        if (from !== undefined)
          under.push({
            what: `${network}, ${address}`,
            pinging: await Pinging.start(from.pod, address, IN_GUEST ? 0.2 : 0.02),
          });
      }
    }
    return async () => {
      const lost = await Promise.all(under.map(async ({ what, pinging }) => ({ what, lost: await pinging.lost() })));
      return lost.flatMap(({ what, lost }) => (lost.length === 0 ? [] : [`${what}: ${lost}`]));
    };
  }
}

/** Waits until no route of the node leads to one of the subnets. */
async function forgotten(cluster: Cluster, index: number, subnets: readonly string[]): Promise<void> {
  const node = cluster.node(index);
  await eventually(() => {
    using rt = openRoute(node.netns);
    return !listRoutes(rt).some(({ dst }) => dst !== undefined && subnets.includes(dst));
  }, `${node.name} forgets ${subnets}`);
}

async function leave(t: Test, { cluster }: Wired, index: number): Promise<void> {
  const { name } = cluster.node(index);
  const admin = await cluster.admin();
  await cluster.agents[index]?.stop();
  const held = (await admin.listSubnets({})).filter(({ nodeName }) => nodeName === name);
  t.ok(held.length > 0);
  for (const { network, subnet } of held) await admin.releaseSubnet({ network, subnet, force: true });
  for (const other of [0, 1])
    await forgotten(
      cluster,
      other,
      held.map(({ subnet }) => subnet),
    );
}

for (const { name, underlay, setups } of waves()) {
  const title = `${name}: ${setups.map(({ network }) => network).join(", ")}: pods of all nodes reach each other, nodes join and leave, a killed agent loses nothing`;
  t.test(title, needs(...new Set(setups.flatMap(({ features }) => features))), async (t) => {
    const switched = setups.some(({ type }) => type === "ovs");
    // In a process of its own it loses packets of anybody's when links come and go and when TCP fills its queues.
    const inKernel = !switched || hasGenericFamily("ovs_datapath");
    const cluster = await startCluster(t, {
      nodes: 3,
      agents: 2,
      families: underlay,
      controllerFlags: ["--network-cidr=10.244.0.0/16"],
      ...(switched && { prepare: async (underlay) => void (await installSwitches(underlay)) }),
    });
    const wired = new Wired(cluster, setups);
    await wired.createNetworks();
    for (const index of [0, 1]) await wired.addPods(index);
    await cluster.converged(2);
    let lost = inKernel ? await wired.pinging() : undefined;

    await cluster.startAgent(2);
    await eventually(() => cluster.hasConflist(2), "the third node's conflist");
    await wired.addPods(2);
    await cluster.converged(3);
    t.strictSame(await wired.problems(), [], "a node has joined");

    lost ??= await wired.pinging();
    await cluster.agents[0]?.stop("SIGKILL");
    const agent = await cluster.startAgent(0);
    await agent.prints(/"msg":"connected"/);
    await cluster.converged(3);
    if (!inKernel) t.strictSame(await lost(), [], "no ping was lost meanwhile");
    t.strictSame(await wired.problems(), [], "an agent was killed and is back");

    await leave(t, wired, 2);
    for (const pods of wired.pods.values()) pods.pop();
    t.strictSame(await wired.problems(), [], "a node has left");
    if (inKernel) t.strictSame(await lost(), [], "no ping was lost between the others");
  });
}
