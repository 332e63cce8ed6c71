import { delimiter } from "node:path";
import type { Test } from "tap";
import { type Attached, result } from "./bridge-fixture.ts";
import { BIN, type Node, startNode } from "./harness/node.ts";

/** Debian's containernetworking-plugins, 1.1.1. */
const REFERENCE = "/usr/lib/cni";

/** What is compared of an ADD. */
export interface Compared {
  readonly answer: Attached;
  /** Addresses, routes and the interface of the pod. */
  readonly pod: string;
  readonly node: string;
}

export interface Comparison {
  /** A plugin's configuration. */
  readonly conf: { readonly type: string; readonly [key: string]: unknown };
  /** What to look at on the node, for a shell. */
  readonly outside: string;
  /** What the node has before. */
  readonly setup?: string;
}

/** The same ADD by our plugin and by the reference's, each with its own IPAM on a node of its own. */
export async function compare(t: Test, comparison: Comparison): Promise<void> {
  const [ours, theirs] = await Promise.all(
    [BIN, REFERENCE].map(async (folder) => await attachBy(await startNode(t), folder, comparison)),
  );
  t.strictSame(shape(ours?.answer as Attached), shape(theirs?.answer as Attached));
  t.equal(ours?.pod, theirs?.pod);
  t.equal(ours?.node, theirs?.node);
}

/** One ADD by the plugins of a folder, with what the pod then has. */
async function attachBy(node: Node, folder: string, { conf, outside, setup }: Comparison): Promise<Compared> {
  if (setup !== undefined) await node.sh(setup);
  const pod = await node.pod("pod");
  const called = await node.run([`${folder}/${conf.type}`], {
    input: JSON.stringify({ cniVersion: "1.0.0", name: "test", ...conf }),
    env: {
      PATH: process.env.PATH ?? "",
      CNI_COMMAND: "ADD",
      CNI_PATH: [folder].join(delimiter),
      CNI_CONTAINERID: pod.containerId,
      CNI_NETNS: pod.netns,
      CNI_IFNAME: "eth0",
    },
  });
  const inside = await pod.runOk([
    "sh",
    "-c",
    "ip -4 route; ip -6 route | grep -v fe80; ip -br address show eth0; ip -o link show eth0",
  ]);
  return {
    answer: result({ ...called, json: JSON.parse(called.stdout) }),
    pod: comparable(inside),
    node: comparable(await node.sh(outside)),
  };
}

/** Without what is random or of each implementation's own choice. */
function comparable(text: string): string {
  return text
    .replace(/\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b/g, "MAC")
    .replace(/\bfe80::[0-9a-f:]+(\/64)?/g, "LINK-LOCAL")
    .replace(/\b(veth|pw)[0-9a-f]+/g, "HOST")
    .replace(/ group \S+| alias podwire .*/g, "")
    .replace(/@(if\d+|eth0|HOST)|^\d+: |link-netns \S+|link-netnsid \d+| nodad\b| qlen 1000/gm, "")
    .replace(/ ?\\/g, " ")
    .replace(/ (state )?(UP|DOWN|UNKNOWN)\b|,LOWER_UP|NO-CARRIER,/g, "")
    .replace(/ *LINK-LOCAL */g, "")
    .replace(/ state (forwarding|disabled)|\b(learning|listening)\b/g, "")
    .replace(/[ \t]+/g, " ");
}

/** 1.1.1 writes an empty dns, which says nothing. */
function shape({ interfaces, dns, ...answer }: Attached & { dns?: object }): unknown {
  const links = interfaces.map(({ name, sandbox, ...others }) => ({
    name: name.replace(/^(veth|pw)[0-9a-f]+$/, "HOST"),
    keys: Object.keys(others).sort(),
    sandboxed: sandbox !== undefined && sandbox !== "",
  }));
  return { ...answer, interfaces: links, dns: dns ?? {} };
}
