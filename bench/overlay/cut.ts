import { setTimeout as sleep } from "node:timers/promises";
import { openNetlinkMonitor } from "../../kernel/netlink/monitor.ts";
import { NETLINK_NETFILTER, NetlinkSocket } from "../../kernel/netlink/socket.ts";
import { inNetns } from "../../kernel/netns.ts";
import { addressToBytes, parseAddress } from "../../net/address.ts";
import { createAuthority } from "../../test/cluster/harness/certificates.ts";
import { Cluster } from "../../test/cluster/harness/cluster.ts";
import { eventually } from "../../test/netns/harness/eventually.ts";
import type { Node } from "../../test/netns/harness/node.ts";
import { startUnderlay } from "../../test/netns/harness/underlay.ts";
import { quantile, type Stage } from "../measure.ts";
import { Sessions } from "./sessions.ts";

const AGENTS = 3;
/** NFNLGRP_NFTABLES, <linux/netfilter/nfnetlink.h>. */
const GROUP = 7;
/** NFT_MSG_DELSETELEM, <linux/netfilter/nf_tables.h> */
const DELETED_ELEMENT = 14;
/** Between removals: an agent rests for twice as long as its last pass took, and the next removal would count that. */
const PAUSE_MS = 1000;
/** So long that only news from the controller makes an agent look. */
const NO_RESYNC = "--resync-interval=3600";

export interface CutResult {
  /** Before the first removal; all but the agents are sessions without a kernel. */
  readonly peers: number;
  readonly agents: number;
  readonly removals: number;
  /** From the call that releases the node's subnet until the last agent's kernel takes nothing from its addresses. */
  readonly cut_ms: Spread;
  /** The same until the first of them does. */
  readonly first_ms: Spread;
  /** Until the controller had committed it and said so. */
  readonly commit_ms: Spread;
}

interface Spread {
  readonly median: number;
  readonly p99: number;
  readonly worst: number;
}

/** When a node's kernel told that elements were deleted, milliseconds since 1970, with the messages. */
class Deletions {
  readonly #told: { readonly at: number; readonly body: Buffer }[] = [];
  readonly #monitor: Disposable;

  constructor(stage: Stage, node: Node) {
    const socket = inNetns(node.netns, () => new NetlinkSocket(NETLINK_NETFILTER));
    socket.join([GROUP]);
    this.#monitor = openNetlinkMonitor({
      socket,
      onMessages: (messages) => {
        const at = now();
        for (const { type, body } of messages) {
          if ((type & 0xff) === DELETED_ELEMENT) this.#told.push({ at, body: Buffer.from(body) });
        }
      },
      onOverrun: () => {
        throw new Error(`notifications of ${node.name} were lost`);
      },
    });
    stage.teardown(() => this.close());
  }

  /** When the last element that holds one of the addresses went; undefined as long as one of them has lost none. */
  gone(addresses: readonly Uint8Array[]): number | undefined {
    const times = addresses.map(
      (address) => this.#told.findLast(({ body }) => body.includes(Buffer.from(address)))?.at,
    );
    return times.every((time) => time !== undefined) ? Math.max(...times) : undefined;
  }

  /** It keeps a thread of libuv's few. */
  close(): void {
    this.#monitor[Symbol.dispose]();
  }
}

/** Removes nodes of a cluster one after another. */
export async function measureCut(stage: Stage, peers: number, removals: number): Promise<CutResult> {
  const underlay = await startUnderlay(stage, AGENTS);
  const controllerFlags = ["--network-cidr=10.128.0.0/9"];
  const options = { nodes: AGENTS, controllerFlags, agentFlags: [NO_RESYNC] };
  const cluster = new Cluster(underlay, await createAuthority(stage), options);
  await cluster.startController();
  for (let i = 0; i < AGENTS; i++) await (await cluster.startAgent(i)).prints(/"msg":"conflist written"/);
  const sessions = new Sessions(stage, cluster, await cluster.clientTls("sessions"), "both families");
  console.error(`cut: ${peers - AGENTS} sessions and ${AGENTS} agents`);
  const joined = await sessions.join(Array.from({ length: peers - AGENTS }, (_, i) => i + 1));
  for (const node of cluster.nodes) {
    await eventually(
      async () => {
        const listed = await node.sh("nft list set inet podwire tunnel_peers4");
        return listed.split("4790 . ").length === peers; // all but itself
      },
      `${node.name} knows ${peers - 1} peers`,
    );
  }

  const admin = await cluster.admin();
  const deletions = cluster.nodes.map((node) => new Deletions(stage, node));
  const [commits, firsts, lasts]: number[][] = [[], [], []];
  for (const { subnet, addresses } of joined.slice(0, removals)) {
    await sleep(PAUSE_MS);
    const bytes = addresses.map((address) => addressToBytes(parseAddress(address)));
    const start = now();
    await admin.releaseSubnet({ network: "default", subnet, force: true });
    commits?.push(now() - start);
    const times = await eventually(() => {
      const all = deletions.map((each) => each.gone(bytes));
      return all.every((time) => time !== undefined) ? all : undefined;
    }, `${AGENTS} kernels take nothing from ${addresses}`);
    firsts?.push(Math.min(...times) - start);
    lasts?.push(Math.max(...times) - start);
  }
  sessions.stop();
  for (const each of deletions) each.close();
  for (const node of [...cluster.nodes, underlay.hub]) await node.stop();
  return {
    peers,
    agents: AGENTS,
    removals: lasts?.length ?? 0,
    cut_ms: spread(lasts),
    first_ms: spread(firsts),
    commit_ms: spread(commits),
  };
}

function spread(times: readonly number[] = []): Spread {
  return { median: quantile(times), p99: quantile(times, 0.99), worst: quantile(times, 1) };
}

function now(): number {
  return performance.timeOrigin + performance.now();
}
