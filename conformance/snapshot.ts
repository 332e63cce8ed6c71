/** One thing that a machine holds, in words, and how somebody could take it away by hand. */
export interface Item {
  readonly kind: "link" | "address" | "route" | "rule" | "neighbour" | "qdisc" | "ruleset" | "file" | "process";
  readonly text: string;
  /** A line of sh(1) that runs on the machine; absent when there is no such line for this one thing. */
  readonly remove?: string;
}

/** What a machine and its containers hold, by their words. */
export type Snapshot = ReadonlyMap<string, Item>;

/** What each network namespace is asked. */
const ASK_NAMESPACE = `
s() { printf '\\036%s\\n' "$1"; }
s link; ip -j -d link show
s address; ip -j address show
s route; ip -j -4 route show table all
s route; ip -j -6 route show table all 2>/dev/null
s rule4; ip -j -4 rule show
s rule6; ip -j -6 rule show 2>/dev/null
s neighbour; ip -j neighbour show nud permanent
s qdisc; tc -j qdisc show 2>/dev/null
`;

/**
 * What the machine alone is asked. Tables of the old iptables are looked at only where somebody has used them. Hidden files are a
 * plugin's own affair: a cache, an index.
 */
const ASK_MACHINE = `
s ruleset; nft -s list ruleset 2>/dev/null
if read -r x </proc/net/ip_tables_names; then s ruleset; iptables-legacy-save; fi 2>/dev/null
if read -r x </proc/net/ip6_tables_names; then s ruleset; ip6tables-legacy-save; fi 2>/dev/null
s file; find /run /var/lib /run/.kit/etc -xdev \\( -path /run/netns -o -path /run/.kit/work -o -path /run/.kit/bin -o -name daemon.log -o -name '.?*' \\) -prune -o ! -type d -print | sort -u
s process; echo "self $$"; grep -H -E '^(Name|State|PPid):' /proc/[0-9]*/status 2>/dev/null
`;

/** The script that {@link readSnapshot} reads the output of. @param containers names of namespaces, as `ip netns` has them */
export function snapshotScript(containers: readonly string[]): string {
  const each = containers.map(
    (name) => `printf '\\035%s\\n' ${name}; ip netns exec ${name} sh -c "$ask" 2>/dev/null || :`,
  );
  const ask = `ask='${ASK_NAMESPACE.replaceAll("'", "'\\''")}'`;
  return [ask, ASK_NAMESPACE, ASK_MACHINE, ...each, ":"].join("\n");
}

/** Reads what {@link snapshotScript} printed, leaving out what the kernel does by itself. */
export function readSnapshot(output: string): Snapshot {
  const items = new Map<string, Item>();
  const [machine = "", ...containers] = output.split("\x1d");
  const put = (item: Item) => items.set(item.text, item);
  for (const item of readNamespace(machine, undefined)) put(item);
  for (const text of containers) {
    const name = text.slice(0, text.indexOf("\n"));
    for (const item of readNamespace(text.slice(name.length + 1), name)) put(item);
  }
  return items;
}

/** Of `after`, what `before` had not. */
export function added(before: Snapshot, after: Snapshot): Item[] {
  return [...after.values()].filter(({ text }) => !before.has(text));
}

type Fields = Readonly<Record<string, unknown>>;

function readNamespace(output: string, container: string | undefined): Item[] {
  const sections = output.split("\x1e").slice(1);
  return sections.flatMap((section) => {
    const title = section.slice(0, section.indexOf("\n"));
    const text = section.slice(title.length + 1);
    if (title === "ruleset") return readRuleset(text);
    if (title === "file") return readFiles(text);
    if (title === "process") return readProcesses(text);
    return readObjects(title, text, container);
  });
}

function readObjects(title: string, text: string, container: string | undefined): Item[] {
  const where = container === undefined ? "" : `container ${container}: `;
  const enter = container === undefined ? "" : `-n ${container} `;
  return parseList(text)
    .flatMap((fields) => describe(title, fields, container !== undefined))
    .map(({ kind, text, remove }) => {
      const line = remove === undefined ? {} : { remove: remove.replace(/^(ip|tc) /, `$1 ${enter}`) };
      return { kind, text: `${where}${text}`, ...line };
    });
}

function describe(title: string, fields: Fields, inside: boolean): Item[] {
  switch (title) {
    case "link":
      return describeLink(fields, inside);
    case "address":
      return describeAddresses(fields);
    case "route":
      return describeRoute(fields);
    case "rule4":
    case "rule6":
      return describeRule(fields, title === "rule4" ? "-4" : "-6");
    case "neighbour":
      return [{ kind: "neighbour", text: `neighbour ${fields.dst} dev ${fields.dev} lladdr ${fields.lladdr}` }];
    default:
      return describeQdisc(fields);
  }
}

/** A bridge's MTU and address follow its ports; of a container's links all that a plugin may change counts. */
function describeLink(fields: Fields, inside: boolean): Item[] {
  const { ifname, mtu, txqlen, address, master, ifalias } = fields;
  const kind = (fields.linkinfo as Fields | undefined)?.info_kind;
  const flags = (fields.flags as readonly string[] | undefined) ?? [];
  const words = [`link ${ifname}`];
  if (kind !== undefined) words.push(`type ${kind}`);
  if (master !== undefined) words.push(`master ${master}`);
  if (kind !== "bridge") words.push(`mtu ${mtu}`);
  if (inside && txqlen !== undefined) words.push(`qlen ${txqlen}`);
  if (inside) words.push(String(address));
  words.push(...["PROMISC", "ALLMULTI"].filter((flag) => flags.includes(flag) && (inside || kind !== undefined)));
  const alias = { kind: "link", text: `alias "${ifalias}" of link ${ifname}` } as const;
  const link = { kind: "link", text: words.join(" ") } as const;
  const removable = ifname === "lo" ? link : { ...link, remove: `ip link del ${ifname}` };
  return ifalias === undefined ? [removable] : [removable, alias];
}

/** Without those that the kernel gives by itself: link-local ones, and the loopback link's own. */
function describeAddresses(fields: Fields): Item[] {
  const infos = (fields.addr_info as readonly Fields[] | undefined) ?? [];
  return infos
    .filter(({ local }) => !/^(fe80:.*|127\.0\.0\.1|::1)$/.test(String(local)))
    .map(({ local, prefixlen }) => {
      const words = `${local}/${prefixlen} dev ${fields.ifname}`;
      return { kind: "address", text: `address ${words}`, remove: `ip address del ${words}` } as const;
    });
}

function describeRoute(fields: Fields): Item[] {
  const { type = "unicast", dst, gateway, dev, table, metric, protocol, scope, prefsrc } = fields;
  if (protocol === "kernel" || protocol === "ra") return [];
  if (["local", "broadcast", "multicast", "anycast"].includes(String(type))) return [];
  const known = { via: gateway, dev, table, metric };
  const words = Object.entries(known).flatMap(([word, value]) => (value === undefined ? [] : [`${word} ${value}`]));
  const route = [type === "unicast" ? "" : type, dst, ...words].filter((word) => word !== "").join(" ");
  const family = String(dst).includes(":") || String(gateway ?? "").includes(":") ? "-6 " : "";
  const more = [scope === undefined ? "" : ` scope ${scope}`, prefsrc === undefined ? "" : ` src ${prefsrc}`].join("");
  return [{ kind: "route", text: `route ${family}${route}${more}`, remove: `ip ${family}route del ${route}` }];
}

function describeRule(fields: Fields, family: string): Item[] {
  const words = JSON.stringify(fields).replace(/["{}]/g, "").replaceAll(",", " ");
  return [{ kind: "rule", text: `rule ${family} ${words}`, remove: `ip ${family} rule del pref ${fields.priority}` }];
}

function describeQdisc(fields: Fields): Item[] {
  const { kind, dev, root, parent, handle } = fields;
  if (["noqueue", "fq_codel", "pfifo_fast", "mq", "fq"].includes(String(kind))) return [];
  const place = root === true ? "root" : kind === "ingress" || kind === "clsact" ? kind : `parent ${parent}`;
  const text = `qdisc ${kind} dev ${dev} ${place}`;
  return [
    { kind: "qdisc", text, remove: `tc qdisc del dev ${dev} ${place === "root" ? `root handle ${handle}` : place}` },
  ];
}

/** A line each, behind its table and chain, so that equal rules of two chains stay apart. */
function readRuleset(text: string): Item[] {
  const path: string[] = [];
  const items: Item[] = [];
  const counts = new Map<string, number>();
  for (const raw of text.replace(/,\n\s+/g, ", ").split("\n")) {
    const line = raw
      .trim()
      .replace(/\[\d+:\d+\]/, "")
      .replace(/\bexpires \S+/g, "");
    if (line === "" || line.startsWith("#")) continue;
    if (line === "}") {
      path.pop();
      continue;
    }
    const words = `${["ruleset", ...path].join(" ")}: ${line}`;
    if (line.endsWith("{")) path.push(line.slice(0, -1).trim());
    const count = (counts.get(words) ?? 0) + 1; // the same rule twice is two rules
    counts.set(words, count);
    items.push({ kind: "ruleset", text: count === 1 ? words : `${words} (${count})` });
  }
  return items.flatMap(splitElements);
}

/** The elements of a set or map are one line of text, but come and go one by one. */
function splitElements(item: Item): Item[] {
  const [, before, elements] = /^(.*: elements = \{) (.*?) ?\}?$/.exec(item.text) ?? [];
  if (before === undefined || elements === undefined) return [item];
  return elements.split(", ").map((element) => ({ kind: "ruleset", text: `${before} ${element}` }) as const);
}

function readFiles(text: string): Item[] {
  return text
    .split("\n")
    .filter((path) => path !== "")
    .map((path) => ({ kind: "file", text: `file ${path.replace(/^\/run\/\.kit\/etc\//, "/etc/")}` }));
}

/** All but the first process of the sandbox and those that make the snapshot. Zombies hold nothing. */
function readProcesses(text: string): Item[] {
  const self = /^self (\d+)$/m.exec(text)?.[1] ?? "";
  const processes = new Map<string, Record<string, string>>();
  for (const [, pid = "", key = "", value = ""] of text.matchAll(/^\/proc\/(\d+)\/status:(\w+):\s+(.*)$/gm)) {
    processes.set(pid, { ...processes.get(pid), [key]: value });
  }
  const counts = new Map<string, number>();
  for (const [pid, { Name = "", State = "", PPid }] of processes) {
    if (pid === "1" || pid === self || PPid === self || State.startsWith("Z")) continue;
    counts.set(Name, (counts.get(Name) ?? 0) + 1);
  }
  return [...counts].map(([name, count]) => ({ kind: "process", text: `process ${name} (${count})` }));
}

function parseList(text: string): Fields[] {
  if (text.trim() === "") return [];
  // ip(8) prints {} for what it leaves out
  return (JSON.parse(text) as Fields[]).filter((fields) => Object.keys(fields).length > 0);
}
