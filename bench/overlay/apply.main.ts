import { readFileSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { applyOverlay } from "../../dataplane/apply.ts";
import { nodeRulesets, RulesetKeeper } from "../../dataplane/node-rules.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../../kernel/netlink/socket.ts";
import { nftGeneration } from "../../kernel/nftables/generation.ts";
import { RtnlGroup } from "../../kernel/rtnetlink/monitor.ts";
import { openRoute } from "../../kernel/rtnetlink/socket.ts";
import { desiredOverlay } from "../../overlay/desired.ts";
import type { Changes } from "../../reconcile/step.ts";
import { type Backend, clusterInput } from "./peers.ts";

/** What objects.ts asks for, as JSON on stdin; the answer is a list of {@link Pass} on stdout. */
export interface ApplyWish {
  readonly backend: Backend;
  readonly nodes: number;
  readonly passes: number;
  /** Whether to count what the kernel tells: it costs the kernel time, and ip -batch has nobody who listens. */
  readonly watch: boolean;
}

/** One pass over a state, milliseconds of each part. */
export interface Pass {
  /** From what the controller said to the objects that the kernel should hold. */
  readonly plan: number;
  /** Links, addresses, neighbours, FDB and routes: what `ip -batch` is compared with. */
  readonly overlay: number;
  /** Processor time of the same, of all threads. */
  readonly cpu: number;
  /** The nft rules and sets. */
  readonly rules: number;
  readonly changes: Changes;
  /** What the kernel told everybody about changes of links, addresses, neighbours, FDB and routes meanwhile. */
  readonly notifications: number;
  /** nft transactions. */
  readonly transactions: number;
}

const EVERYTHING = [
  RtnlGroup.link,
  RtnlGroup.neigh,
  RtnlGroup.ipv4Address,
  RtnlGroup.ipv4Route,
  RtnlGroup.ipv6Address,
  RtnlGroup.ipv6Route,
];

const { backend, nodes, passes, watch }: ApplyWish = JSON.parse(readFileSync(0, "utf8"));
setFlagsFromString("--interrupt-budget=16000"); // as the agent does it
const rt = openRoute();
const rules = new RulesetKeeper();
const done: Pass[] = [];
for (let i = 0; i < passes; i++) done.push(await pass());
process.stdout.write(JSON.stringify(done));

async function pass(): Promise<Pass> {
  using notified = new NetlinkSocket(NETLINK_ROUTE);
  if (watch) notified.join(EVERYTHING);
  const generation = nftGeneration();
  const begin = performance.now();
  const input = clusterInput(backend, 1, nodes);
  const desired = desiredOverlay(input);
  const rulesets = nodeRulesets(input);
  const planned = performance.now();
  const before = process.cpuUsage();
  const changes = await applyOverlay(rt, desired);
  const { user, system } = process.cpuUsage(before);
  const applied = performance.now();
  rules.apply(rulesets);
  const end = performance.now();
  return {
    plan: planned - begin,
    overlay: applied - planned,
    rules: end - applied,
    cpu: (user + system) / 1000,
    changes,
    notifications: watch ? count(notified) : 0,
    transactions: nftGeneration() - generation,
  };
}

/** How many came in; the socket's buffer holds those of some thousand changes, more than is ever looked at. */
function count(notified: NetlinkSocket): number {
  let messages = 0;
  for (let told = notified.poll(); told !== undefined; told = notified.poll())
    messages += told === "overrun" ? 1 : told.length;
  return messages;
}
