import type { Node } from "./node.ts";

const SECTIONS: readonly (readonly string[])[] = [
  ["ip", "-d", "link", "show"],
  ["ip", "address", "show"],
  ["ip", "-4", "route", "show", "table", "all"],
  ["ip", "-6", "route", "show", "table", "all"],
  ["ip", "neighbour", "show", "nud", "permanent"],
  ["bridge", "fdb", "show"],
  ["ip", "rule", "show"],
  ["nft", "list", "ruleset"],
];
/** Without the index beside host-local's files, which is a cache, the journal of calls, and what an agent is just writing. */
const FILES = [
  "sh",
  "-c",
  "find /var/lib/cni /run/podwire /var/lib/podwire -type f ! -path '*/.podwire/*' ! -path /var/lib/podwire/calls ! -path '/run/podwire/rehearsal/*' ! -path '/var/lib/podwire/agent/*.new' ! -name state.behind ! -path '/run/podwire/networks/*.new' ! -name nft.lock 2>/dev/null | sort",
] as const;

/**
 * Lines about what the kernel does by itself some time after a link changed: its own fe80:: address, learned MACs, and the
 * local routes of addresses, which are listed themselves.
 */
const BY_ITSELF =
  /LINK-LOCAL|fe80::|valid_lft|MAC dev \S+ (self|master \S+$)|^(local|broadcast|anycast|multicast) .* table local /;

/** What differs between two runs although nothing leaked: interface numbers, random addresses, timers, counters. */
const RANDOM: readonly (readonly [pattern: RegExp, replacement: string])[] = [
  [/^\d+: /gm, "N: "],
  [/@if\d+/g, "@ifN"],
  [/\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b/g, "MAC"],
  [/\b[0-9a-f]{4}\.([0-9a-f]{2}:?){6}\b|\b(designated_root|bridge_id) \S+/g, "BRIDGE-ID"],
  [/\bfe80::[0-9a-f:]+\b/g, "LINK-LOCAL"],
  [/(valid_lft|preferred_lft|expires) \S+/g, "$1 T"],
  [/\b(\w+_timer) +[\d.]+/g, "$1 T"],
  [/packets \d+ bytes \d+/g, "packets N bytes N"],
  [/ (tentative|dadfailed)\b/g, ""],
  [/NO-CARRIER,|,LOWER_UP| linkdown/g, ""],
  [/ state (UP|DOWN|UNKNOWN)/g, ""],
  [/ # handle \d+/g, ""],
  [/ proto kernel_(lo|ll|ra)\b/g, ""],
];

export interface SnapshotOptions {
  /** Also the names of files under /var/lib/cni, /var/lib/podwire and /run/podwire; true when absent. */
  readonly files?: boolean;
}

/** The node's state as text that is equal when nothing is left behind; made with ip(8), bridge(8), nft(8) and find(1). */
export async function snapshot(node: Node, { files = true }: SnapshotOptions = {}): Promise<string> {
  const sections = files ? [...SECTIONS, FILES] : SECTIONS;
  const texts = await Promise.all(sections.map((argv) => node.run(argv)));
  return sections.map((argv, i) => `# ${argv.join(" ")}\n${clean(texts[i]?.stdout ?? "")}`).join("\n");
}

/** The output of ip, bridge or nft without what the kernel changes by itself and what differs between two runs. */
export function clean(text: string): string {
  const replaced = RANDOM.reduce((so, [pattern, replacement]) => so.replace(pattern, replacement), text);
  const lines = replaced.split("\n").filter((line) => !BY_ITSELF.test(line));
  return lines
    .map((line) => line.trimEnd())
    .join("\n")
    .trim();
}
