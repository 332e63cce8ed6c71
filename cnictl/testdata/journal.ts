import type { Call } from "../../journal/call.ts";
import { JournalWriter } from "../../journal/writer.ts";
import { NOW } from "./cluster.ts";

const web = "4f2d0c8e7a1b".repeat(5);
const db = "9e8d7c6b5a40".repeat(5);
const usual = { plugin: "bridge", network: "default", ifName: "eth0", code: 0 };

/** What a node was asked in the last hours, oldest first. */
export const journalled: readonly Call[] = [
  {
    ...usual,
    startedAt: NOW - 4 * 3_600_000,
    verb: "ADD",
    containerId: web,
    pod: { namespace: "shop", name: "web-0" },
    phases: {
      queue: 0.011,
      decode: 0.12,
      netns: 0.204,
      ipam: 0.231,
      link: 1.105,
      pod: 0.41,
      ready: 0.02,
      answer: 0.06,
    },
    ms: 2.161,
    addresses: ["10.244.9.2/24", "fd00:244:0:9::2/64"],
  },
  { startedAt: NOW - 900_000, plugin: "bridge", verb: "STATUS", network: "default", code: 0, phases: {}, ms: 0.31 },
  {
    ...usual,
    startedAt: NOW - 300_000,
    plugin: "vxlan-overlay",
    verb: "ADD",
    containerId: db,
    pod: { namespace: "shop", name: "db-0" },
    code: 11,
    message: 'network "default" cannot take a pod on this node: 10.244.9.0/24 is held by node "node-3" since yesterday',
    phases: { decode: 0.2, answer: 0.05 },
    ms: 0.25,
  },
  { ...usual, startedAt: NOW - 40_000, verb: "DEL", containerId: db, phases: { link: 151.2 }, ms: 151.7 },
  {
    ...usual,
    startedAt: NOW - 5000,
    verb: "DEL",
    containerId: web,
    pod: { namespace: "shop", name: "web-0" },
    phases: { rules: 0.9, link: 1.4 },
    ms: 2.3,
  },
];

/** Calls that would act on a terminal, and forge lines. */
export const hostile: Call = {
  startedAt: NOW - 1000,
  plugin: "bri\x1b[2Jdge",
  verb: "ADD\nDEL",
  network: "\x9b2J",
  containerId: "a\x07b",
  ifName: "e\rth0",
  pod: { namespace: "sh\u202eop", name: "web\x1b]0;x\x07\n" },
  code: 7,
  message: "bad\x1b[31m\nAGE   POD",
  phases: {},
  ms: 1,
  addresses: ["10.0.0.1\x1b/24"],
};

/** Writes a journal with these calls. */
export function writeJournal(path: string, calls: readonly Call[] = journalled): void {
  using journal = new JournalWriter(path, { log: console, now: () => 0 });
  for (const call of calls) journal.append(call);
}
