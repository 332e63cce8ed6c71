import type { Logger } from "pino";
import { ATTACHMENT_SETS } from "../firewall/attachment-sets.ts";
import { NFT_TABLE_PREFIX } from "../kernel/mark.ts";
import { openNftMonitor } from "../kernel/nftables/monitor.ts";
import { openMonitor, RtnlGroup } from "../kernel/rtnetlink/monitor.ts";
import { createReconciler, type Reconciler } from "../reconcile/loop.ts";
import { relevanceOf } from "./relevance.ts";
import { WATCH_FILTER } from "./watch-filter.ts";

export interface LoopTimes {
  readonly periodMs: number;
  /** Between two runs, however often they are asked for. */
  readonly shortestRestMs?: number;
}

/** What was taken away by hand is back soon enough, and the pods that start have the processor. */
const WATCH_REST_MS = 20;
/** Elements of pods, which are their plugin's affair. */
const PODS_SETS = new Set(ATTACHMENT_SETS.map(({ set }) => set));
const BACKOFF = { initialMs: 200, maxMs: 10_000 } as const;

/**
 * Runs the work when triggered and at least every `periodMs`, and again with back-off when it fails. A failure is logged
 * once, and once more when it is over, however often it repeats.
 */
export function createLoop(
  name: string,
  work: () => Promise<void>,
  log: Logger,
  { periodMs, shortestRestMs = 0 }: LoopTimes,
): Reconciler {
  let said = "";
  return createReconciler({
    pass: work,
    clock: {
      now: () => performance.now(), // a corrected clock must not make it wait for an hour
      setTimeout,
      clearTimeout: (timer) => clearTimeout(timer as NodeJS.Timeout),
    },
    random: Math.random,
    periodMs,
    rest: 2,
    shortestRestMs,
    backoff: BACKOFF,
    onPass: (outcome) => {
      const problem = outcome.ok ? "" : String(outcome.error);
      if (problem === said) return;
      if (outcome.ok) log.info(`${name} succeeded again`);
      else log.error({ err: outcome.error, retryInMs: outcome.retryInMs }, `${name} failed`);
      said = problem;
    },
  });
}

export interface Watched {
  /** The overlay may no longer be as desired. */
  overlay(): void;
  /** Pods came or went. */
  pods(): void;
  /** Chains or sets of ours came, went or changed. */
  rules(): void;
}

/** Calls back when the kernel tells of a change. */
export function watchKernel({ overlay, pods, rules }: Watched): Disposable {
  const routes = openMonitor({
    restMs: WATCH_REST_MS,
    filter: WATCH_FILTER,
    groups: [
      RtnlGroup.link,
      RtnlGroup.neigh,
      RtnlGroup.ipv4Address,
      RtnlGroup.ipv6Address,
      RtnlGroup.ipv4Route,
      RtnlGroup.ipv6Route,
    ],
    onMessages: (events) => {
      const found = new Set(events.map(relevanceOf));
      if (found.has("pods")) pods();
      if (found.has("overlay")) overlay();
    },
    onOverrun: () => {
      pods();
      overlay();
    },
  });
  const tables = openNftMonitor({
    restMs: WATCH_REST_MS,
    quietSets: PODS_SETS,
    onChange: (changed) => {
      if (changed.size > 0 && !changed.has(NFT_TABLE_PREFIX)) return;
      rules();
      overlay();
    },
  });
  return {
    [Symbol.dispose]() {
      routes[Symbol.dispose]();
      tables[Symbol.dispose]();
    },
  };
}
