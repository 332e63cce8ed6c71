import { join } from "node:path";
import { BIN, type Node } from "../../test/netns/harness/node.ts";
import type { Ended, Launcher, Start } from "./launcher.ts";

export type Side = "ours" | "peer";
export const SIDES = ["ours", "peer"] as const;
export type Verb = "ADD" | "DEL";

export const PEER_BIN = "/usr/lib/cni";

/** One side's node with its pods; each side has one of its own, so that neither meets the other's rules. */
export interface Stand {
  readonly side: Side;
  readonly node: Node;
  readonly bin: string;
  /** Names of the pods' network namespaces, which are container IDs too. */
  readonly pods: readonly string[];
}

/** One side's node with so many pods' namespaces, made by one process. */
export async function makeStand(side: Side, node: Node, bin: string, pods: number): Promise<Stand> {
  const names = Array.from({ length: pods }, (_, i) => `pod-${i}`);
  await node.runOk(["ip", "-batch", "-"], {
    input: names.map((name) => `netns add ${name}\n`).join(""),
    timeout: 300_000,
  });
  return { side, node, bin: side === "ours" ? bin : PEER_BIN, pods: names };
}

/** What a runtime has written down: a plugin's configuration, and how the pod's interface is called. */
export interface Network {
  readonly conf: { readonly type: string; readonly name: string } & Record<string, unknown>;
  /** `eth0` when absent. */
  readonly ifName?: string;
}

/** The network that most rows are about: bridge with host-local. */
export function bridgeNetwork(name: string, subnets: readonly string[], keys: object = {}): Network {
  return {
    conf: {
      cniVersion: "1.0.0",
      name,
      type: "bridge",
      bridge: `br-${name}`,
      isGateway: true,
      ipMasq: false,
      ...keys,
      ipam: {
        type: "host-local",
        ranges: subnets.map((subnet) => [{ subnet }]),
        routes: subnets.map((subnet) => ({ dst: subnet.includes(":") ? "::/0" : "0.0.0.0/0" })),
      },
    },
  };
}

/** One pod on one network of one side. */
export interface Attachment {
  readonly stand: Stand;
  readonly network: Network;
  readonly pod: string;
}

/** A call as libcni makes it. @param prevResult what ADD answered, which a runtime passes to DEL */
export function callOf({ stand, network, pod }: Attachment, verb: Verb, prevResult?: string): Start {
  const input = prevResult === undefined ? network.conf : { ...network.conf, prevResult: JSON.parse(prevResult) };
  return {
    node: stand.node,
    program: join(stand.bin, network.conf.type),
    input: JSON.stringify(input),
    env: {
      PATH: process.env.PATH ?? "",
      CNI_COMMAND: verb,
      CNI_CONTAINERID: pod,
      CNI_NETNS: `/run/netns/${pod}`,
      CNI_IFNAME: network.ifName ?? "eth0",
      CNI_PATH: stand.bin,
    },
  };
}

/** `true` in the node: what the launcher itself, fork, exec and exit cost. */
export function nothing({ node }: Stand): Start {
  return { node, program: "/bin/true", input: "", env: {} };
}

/** ADDs, then DELs with what they answered; `times` are the calls' outcomes in the attachments' order. */
export interface AddedAndDeleted {
  readonly ADD: readonly Ended[];
  readonly DEL: readonly Ended[];
}

export type Way = (launcher: Launcher, starts: readonly Start[], verb: Verb) => Promise<readonly Ended[]>;
export const serially: Way = (launcher, starts) => launcher.serially(starts);

/** Attaches and detaches. @throws Error with the answer of the first call that fails */
export async function addAndDelete(
  launcher: Launcher,
  attachments: readonly Attachment[],
  way: Way = serially,
): Promise<AddedAndDeleted> {
  const added = await calls(launcher, attachments, "ADD", [], way);
  const deleted = await calls(launcher, attachments, "DEL", added, way);
  return { ADD: added, DEL: deleted };
}

export async function calls(
  launcher: Launcher,
  attachments: readonly Attachment[],
  verb: Verb,
  added: readonly Ended[],
  way: Way = serially,
): Promise<readonly Ended[]> {
  const starts = attachments.map((each, i) => callOf(each, verb, added[i]?.stdout));
  const ended = await way(launcher, starts, verb);
  for (const [i, { code, stdout }] of ended.entries()) {
    const at = attachments[i];
    if (code === 0 || at === undefined) continue;
    throw new Error(`${verb} of ${at.pod} by ${starts[i]?.program} (${at.stand.side}): exit ${code}: ${stdout}`);
  }
  return ended;
}

/** What the pods have on the node: links, and reservations in the pods' names. Nothing after as many DELs as ADDs. */
export async function contents({ node }: Stand): Promise<string> {
  const links = await node.sh("ip -o link show type veth | grep -v ' eth0@' || true");
  const reservations = await node.sh("grep -rlE '^pod-' /var/lib/cni/networks || true");
  return `${links}${reservations}`.trim();
}

export const DEFAULT_BIN = BIN;
