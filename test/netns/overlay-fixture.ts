import { createHash } from "node:crypto";
import { applyOverlay } from "../../dataplane/apply.ts";
import type { WireguardSecrets } from "../../dataplane/wireguard.ts";
import { currentNetns, enterNetns, openNetns } from "../../kernel/netns.ts";
import { openRoute } from "../../kernel/rtnetlink/socket.ts";
import { writeSysctl } from "../../kernel/sysctl.ts";
import { clamped, publicKeyOf, SecretKey } from "../../kernel/wireguard/keys.ts";
import { desiredOverlay } from "../../overlay/desired.ts";
import { ipScript } from "../../overlay/ip-script.ts";
import type { OverlayInput } from "../../overlay/network.ts";
import { parseNetworks, parseUnderlay, type UncheckedNetwork } from "../../overlay/parse-network.ts";
import { parseLeases, parsePeers } from "../../overlay/parse-peers.ts";
import type { DesiredState } from "../../overlay/state.ts";
import type { Changes } from "../../reconcile/step.ts";
import type { Feature } from "./harness/full-kernel.ts";
import type { Sandbox } from "./sandbox.ts";

export const NODES = { red: 1, blue: 2, cyan: 3 } as const;
export type NodeName = keyof typeof NODES;
export const POD_CIDRS = { 4: "10.244.0.0/16", 6: "fd00:244::/48" };

export interface Setup {
  readonly backend: UncheckedNetwork["backend"];
  readonly underlay: readonly (4 | 6)[];
  readonly cidrs: readonly string[];
  readonly masquerade?: boolean;
  /** "eth0" when absent. */
  readonly device?: string;
}

export const underlayAddress = (family: 4 | 6, i: number) => (family === 4 ? `192.0.2.${i}` : `2001:db8::${i}`);
const nodad = (family: 4 | 6) => (family === 6 ? "nodad" : "");
const subnets = (setup: Setup, i: number) =>
  setup.cidrs.map((cidr) => (cidr.includes(":") ? `fd00:244:0:${i}::/64` : `10.244.${i}.0/24`));

export function stateOf(node: NodeName, setup: Setup, nodes: readonly NodeName[]): DesiredState {
  return desiredOverlay(inputOf(node, setup, nodes));
}

/** What the node is told. */
export function inputOf(node: NodeName, setup: Setup, nodes: readonly NodeName[]): OverlayInput {
  const i = NODES[node];
  const own = setup.underlay.map((family) => `${underlayAddress(family, i)}/${family === 4 ? 24 : 64}`);
  const underlay = parseUnderlay(setup.device ?? "eth0", 1500, own);
  const spec = { name: "pods", cidrs: setup.cidrs, backend: setup.backend, masquerade: setup.masquerade ?? false };
  const networks = parseNetworks([spec]).accepted;
  const leases = parseLeases([{ network: "pods", subnets: subnets(setup, i) }], { networks, underlay }).accepted;
  const context = { nodeId: node, networks, leases, underlay };
  const peers = nodes.flatMap((nodeId) =>
    subnets(setup, NODES[nodeId]).map((subnet) => {
      const addresses = setup.underlay.map((family) => underlayAddress(family, NODES[nodeId]));
      const publicKey = publicKeyOf(privateKey(nodeId));
      return { network: "pods", nodeId, nodeName: nodeId, subnet, addresses, publicKey };
    }),
  );
  return { ...context, peers: parsePeers(peers, context).accepted };
}

function hashed(...words: readonly string[]): Uint8Array {
  return createHash("sha256").update(words.join(" ")).digest();
}

/** A node's WireGuard key: always the same. */
export function privateKey(node: NodeName): SecretKey {
  return new SecretKey(clamped(hashed("key of", node)));
}

/** The preshared key of two nodes; another one each epoch. */
export function pairKey(a: NodeName, b: NodeName, epoch: number): SecretKey {
  return new SecretKey(hashed(...[a, b].toSorted(), String(epoch)));
}

/** What a node keeps for WireGuard: its own key and those that it shares with the others. */
export function secretsOf(node: NodeName, epoch = 1): WireguardSecrets {
  const names = Object.keys(NODES) as NodeName[];
  const pairs = new Map(names.map((other) => [publicKeyOf(privateKey(other)), pairKey(node, other, epoch)]));
  return { privateKey: privateKey(node), presharedKey: (peer) => pairs.get(peer) };
}

/** The kinds of tunnel that the setup makes. */
export function kindsOf(setup: Setup): Feature[] {
  return [...new Set(stateOf("red", setup, ["red", "blue"]).links.map(({ kind }) => kind as Feature))];
}

/** Nodes on one segment, each with a pod behind a veth that stands for the bridge. Strict rp_filter everywhere. */
export async function build(
  sandbox: Sandbox,
  setup: Setup,
  nodes: readonly NodeName[],
  apply: (node: NodeName, state: DesiredState) => unknown = byScript(sandbox),
): Promise<void> {
  sandbox.sh("ip link add lan0 type bridge && ip link set lan0 up");
  for (const node of nodes) {
    const i = NODES[node];
    const { podMtu, ...state } = stateOf(node, setup, nodes);
    const own = setup.underlay.map((f) => `${underlayAddress(f, i)}/${f === 4 ? 24 : 64} dev eth0 ${nodad(f)}`);
    // A batch a namespace: in a guest starting a program is what costs.
    sandbox.sh(`ip netns add ${node}; ip netns add pod-${node}`);
    for (const name of [node, `pod-${node}`])
      writeSysctl("net/ipv6/conf/default/accept_dad", 0, { netns: sandbox.netns(name) });
    for (const conf of ["all", "default"])
      writeSysctl(`net/ipv4/conf/${conf}/rp_filter`, 1, { netns: sandbox.netns(node) });
    sandbox.sh(`
      ip -batch - <<<'link add port${i} type veth peer name eth0 netns ${node}
        link set port${i} master lan0 up'
      ip -n ${node} -batch - <<<'link set lo up
        link set eth0 up
        ${own.map((address) => `address add ${address}`).join("\n")}
        link add pod0 mtu ${podMtu.pods} type veth peer name eth0 mtu ${podMtu.pods} netns pod-${node}
        address add 10.244.${i}.1/24 dev pod0
        address add fd00:244:0:${i}::1/64 dev pod0 nodad
        link set pod0 up'
      ip -n pod-${node} -batch - <<<'link set eth0 up
        address add 10.244.${i}.2/24 dev eth0
        address add fd00:244:0:${i}::2/64 dev eth0 nodad
        route add default via 10.244.${i}.1
        route add default via fd00:244:0:${i}::1'`);
    await apply(node, { ...state, podMtu });
  }
}

/** With ip(8), by the commands that say the same. */
function byScript(sandbox: Sandbox): (node: NodeName, state: DesiredState) => void {
  return (node, state) => void sandbox.sh(`ip netns exec ${node} bash -eu`, ipScript(state).join("\n"));
}

/** With our own code, as often as asked. @returns what each of the passes changed */
export async function applyIn(
  sandbox: Sandbox,
  node: NodeName,
  state: DesiredState,
  times = 1,
  secrets: WireguardSecrets = secretsOf(node),
): Promise<Changes[]> {
  using home = currentNetns();
  using there = openNetns(sandbox.netns(node));
  const passes: Changes[] = [];
  enterNetns(there); // no callback, for passes let the event loop run; nothing else does in here
  try {
    using rt = openRoute();
    for (let i = 0; i < times; i++) passes.push(await applyOverlay(rt, state, { secrets }));
  } finally {
    enterNetns(home);
  }
  return passes;
}

export const podAddress = (cidr: string, i: number, host: number | string = 2) =>
  cidr.includes(":") ? `fd00:244:0:${i}::${host}` : `10.244.${i}.${host}`;
