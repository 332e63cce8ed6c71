import type { InterfaceAddress } from "../kernel/rtnetlink/address.ts";
import type { Link } from "../kernel/rtnetlink/link.ts";
import type { BridgePort } from "../kernel/rtnetlink/link-kinds/bridge-port.ts";
import type { Vxlan } from "../kernel/rtnetlink/link-kinds/vxlan.ts";
import type { FdbEntry, Neighbour } from "../kernel/rtnetlink/neighbour.ts";
import type { IpEncap, NextHop, Route } from "../kernel/rtnetlink/route.ts";
import type { Rule } from "../kernel/rtnetlink/rule.ts";
import { type Address, isUnspecified } from "../net/address.ts";
import { formatEndpoint } from "../net/endpoint.ts";
import type { KernelState, WireguardState } from "./dump.ts";
import { printable } from "./table.ts";

/** IFF_*, <linux/if.h>, in the order in which ip(8) prints them. */
const LINK_FLAGS = [
  ["LOOPBACK", 0x8],
  ["BROADCAST", 0x2],
  ["POINTOPOINT", 0x10],
  ["MULTICAST", 0x1000],
  ["NOARP", 0x80],
  ["ALLMULTI", 0x200],
  ["PROMISC", 0x100],
  ["UP", 0x1],
  ["LOWER_UP", 0x10000],
] as const;

/** RT_TABLE_MAIN, which ip(8) leaves out. */
const MAIN_TABLE = 254;

/** A word of ip(8)'s output, or nothing. */
type Word = string | number | false | undefined;
type Names = KernelState["names"];

/** The state as `ip -d`, `bridge` and `nft` would print it, below a comment line a section; "" when there is nothing of ours. */
export function renderKernelState(state: KernelState): string {
  const { names, links, addresses, routes, neighbours, fdb, rules, wireguard, tables } = state;
  const section = (title: string, lines: readonly string[]) =>
    lines.length === 0 ? [] : [`# ${title}\n${lines.map((line) => `${line}\n`).join("")}`];
  return [
    ...section(
      "ip -d address",
      links.flatMap((link) => linkLines(link, addresses, names)),
    ),
    ...section("ip rule", rules.map(ruleLine)),
    ...section(
      "ip route",
      routes.flatMap((route) => routeLines(route, names)),
    ),
    ...section(
      "ip neighbour",
      neighbours.map((neighbour) => neighbourLine(neighbour, names)),
    ),
    ...section(
      "bridge fdb",
      fdb.map((entry) => fdbLine(entry, names)),
    ),
    ...section(
      "wg show",
      wireguard.flatMap((device) => wireguardLines(device, names)),
    ),
    ...tables.flatMap(({ family, name, text }) =>
      section(`nft list table ${family} ${name}`, text.trimEnd().split("\n").map(printableLine)),
    ),
  ].join("\n");
}

function linkLines(link: Link, addresses: readonly InterfaceAddress[], names: Names): string[] {
  const flags = LINK_FLAGS.filter(([, bit]) => (link.flags & bit) !== 0).map(([name]) => name);
  const peer = link.peerIndex === undefined || link.kind !== "veth" ? "" : `@if${link.peerIndex}`;
  const head = words(
    `${link.index}: ${link.name}${peer}:`,
    `<${[...(link.up && !link.lowerUp ? ["NO-CARRIER"] : []), ...flags].join(",")}>`,
    ["mtu", link.mtu],
    ["master", link.master && device(link.master, names)],
    ["state", link.operState.toUpperCase()],
    ["group", link.group === 0 ? "default" : link.group],
    ["qlen", link.txQueueLength > 0 && link.txQueueLength],
  );
  const details = [
    link.mac === undefined ? "link/none" : `link/ether ${link.mac}`,
    link.alias === undefined ? "" : `alias ${printable(link.alias)}`,
    tunnelWords(link, names),
    link.port === undefined ? "" : bridgePortWords(link.port),
    ...addresses.filter(({ index }) => index === link.index).map(addressWords),
  ];
  return [head, ...details.filter((line) => line !== "").map((line) => `    ${line}`)];
}

function tunnelWords(link: Link, names: Names): string {
  if (link.vxlan !== undefined) return vxlanWords(link.vxlan, names);
  const tunnel = link.gre ?? link.ipip;
  if (tunnel === undefined) return link.kind ?? "";
  return words(
    link.kind,
    tunnel.collectMetadata && "external",
    ["remote", isAnywhere(tunnel.remote) ? undefined : tunnel.remote],
    ["local", isAnywhere(tunnel.local) ? undefined : tunnel.local],
    ["dev", tunnel.dev && device(tunnel.dev, names)],
    ["ttl", tunnel.ttl],
    link.gre?.outputFlags === "key" && words(["key", link.gre.outputKey]),
    link.gre?.noEncapLimit && "encaplimit none",
  );
}

function isAnywhere(address: Address | undefined): boolean {
  return address === undefined || isUnspecified(address);
}

function vxlanWords(vxlan: Vxlan, names: Names): string {
  return words(
    "vxlan",
    vxlan.collectMetadata === true ? "external" : ["id", vxlan.id],
    ["remote", vxlan.remote],
    ["local", vxlan.local],
    ["dev", vxlan.dev && device(vxlan.dev, names)],
    vxlan.portRange && words(["srcport", vxlan.portRange.low], vxlan.portRange.high),
    ["dstport", vxlan.port],
    vxlan.gpe && "gpe",
    vxlan.gbp && "gbp",
    vxlan.learning === false && "nolearning",
    ["ttl", vxlan.ttl !== undefined && vxlan.ttl !== 0 && vxlan.ttl],
    ["df", vxlan.df !== "unset" && vxlan.df],
    vxlan.udpCsum === false && "noudpcsum",
    vxlan.udpZeroCsum6Tx && "udp6zerocsumtx",
    vxlan.udpZeroCsum6Rx && "udp6zerocsumrx",
  );
}

function bridgePortWords(port: BridgePort): string {
  return words(
    "bridge_slave",
    ["hairpin", onOff(port.hairpin)],
    ["isolated", onOff(port.isolated)],
    ["learning", onOff(port.learning)],
  );
}

function addressWords({ address, peer, broadcast, scope, noDad, noPrefixRoute }: InterfaceAddress): string {
  return words(
    [address.includes(":") ? "inet6" : "inet", address],
    ["peer", peer],
    ["brd", broadcast],
    ["scope", scope === "universe" ? "global" : scope],
    noDad && "nodad",
    noPrefixRoute && "noprefixroute",
  );
}

function routeLines(route: Route, names: Names): string[] {
  const head = words(
    route.type === "unicast" ? undefined : route.type,
    route.dst.endsWith("/0") ? "default" : route.dst,
    hopWords(route, names),
    ["table", route.table !== MAIN_TABLE && route.table],
    ["proto", route.protocol],
    ["scope", route.scope !== "universe" && route.scope],
    ["src", route.src],
    ["metric", route.metric],
    route.onlink && "onlink",
    ["mtu", route.mtu],
    ["advmss", route.advmss],
  );
  const hops = (route.multipath ?? []).map((hop) =>
    words("    nexthop", hopWords(hop, names), ["weight", hop.weight ?? 1], hop.onlink && "onlink"),
  );
  return [head, ...hops];
}

function hopWords({ encap, via, dev }: Pick<NextHop, "encap" | "via" | "dev">, names: Names): string {
  return words(encap && encapWords(encap), ["via", via], ["dev", dev && device(dev, names)]);
}

function encapWords({ id, dst, src, ttl, tos, flags = [] }: IpEncap): string {
  const family = dst.includes(":") ? "ip6" : "ip";
  return words(
    ["encap", family],
    ["id", id],
    ["src", src],
    ["dst", dst],
    ["ttl", ttl || undefined],
    ["tos", tos || undefined],
    flags.join(" "),
  );
}

function neighbourLine({ address, index, mac, state = "permanent", protocol }: Neighbour, names: Names): string {
  return words(address, ["dev", device(index, names)], ["lladdr", mac], String(state).toUpperCase(), [
    "proto",
    protocol,
  ]);
}

/** Only permanent entries are ours, see readKernelState. */
function fdbLine({ mac, index, dst, port, vni, sourceVni, self, master }: FdbEntry, names: Names): string {
  return words(
    mac,
    ["dev", device(index, names)],
    ["dst", dst],
    ["port", port],
    ["vni", vni],
    ["src_vni", sourceVni],
    self && "self",
    master && "master",
    "permanent",
  );
}

/** As wg(8) sets them; what they are beside that, behind it. */
function wireguardLines({ index, publicKey, listenPort, peers }: WireguardState, names: Names): string[] {
  const name = device(index, names);
  return [
    words(name, ["listen-port", listenPort], ["public-key", publicKey ?? "(none)"]),
    ...peers.map((peer) =>
      words(
        name,
        ["peer", peer.publicKey],
        ["endpoint", peer.endpoint && formatEndpoint({ host: peer.endpoint.address, port: peer.endpoint.port })],
        ["allowed-ips", peer.allowedIps.join()],
        ["persistent-keepalive", peer.persistentKeepalive || undefined],
        peer.hasPresharedKey && "preshared-key (hidden)",
        ["latest-handshake", peer.lastHandshake ? new Date(peer.lastHandshake * 1000).toISOString() : "never"],
        ["received", peer.receivedBytes],
        ["sent", peer.sentBytes],
      ),
    ),
  ];
}

function ruleLine(rule: Rule): string {
  const { action = "table" } = rule;
  return words(
    `${rule.priority ?? 0}:`,
    rule.invert && "not",
    ["from", rule.src ?? "all"],
    ["to", rule.dst],
    [
      "fwmark",
      rule.mark !== undefined &&
        `0x${rule.mark.toString(16)}${rule.mask === undefined ? "" : `/0x${rule.mask.toString(16)}`}`,
    ],
    ["iif", rule.iif],
    ["oif", rule.oif],
    action === "table" ? ["lookup", rule.table] : action === "goto" ? ["goto", rule.goto] : action,
    ["suppress_prefixlength", rule.suppressPrefixLength],
    ["proto", rule.protocol],
  );
}

/** Joins what is there with spaces; a pair whose second word is missing is left out. */
function words(...parts: readonly (Word | readonly [name: string, value: Word])[]): string {
  const given = (word: Word) => word !== undefined && word !== false && word !== "";
  return parts
    .flatMap((part) => (Array.isArray(part) ? (given(part[1]) ? part : []) : given(part as Word) ? [part] : []))
    .join(" ");
}

function onOff(value: boolean | undefined): Word {
  return value === undefined ? undefined : value ? "on" : "off";
}

function device(index: number, names: Names): string {
  return names.get(index) ?? `if${index}`;
}

/** Tabs are nft's indentation; everything else that could act on a terminal is escaped. */
function printableLine(line: string): string {
  return line.split("\t").map(printable).join("\t");
}
