import { CniError, Code } from "../../cni/error.ts";
import type { Interface, Result } from "../../cni/result.ts";
import type { AttachmentName } from "../../kernel/mark.ts";
import { listAddresses } from "../../kernel/rtnetlink/address.ts";
import { getLink, type Link } from "../../kernel/rtnetlink/link.ts";
import { listRoutes } from "../../kernel/rtnetlink/route.ts";
import type { RouteSocket } from "../../kernel/rtnetlink/socket.ts";
import { type Prefix, prefixFamily } from "../../net/prefix.ts";
import { kernelRoutes } from "./pod.ts";

/** One thing that is not as ADD left it: `key: want …, have …`. */
export type Report = (key: string, want: unknown, have: unknown) => void;

/** What differs between what ADD made and what is there. */
export class Differences {
  readonly #found: string[] = [];

  /** As a function of its own, to be handed on. */
  readonly report: Report = (key, want, have) => {
    this.#found.push(`${key}: want ${show(want)}, have ${show(have)}`);
  };

  /** Problems that are sentences already. */
  add(problems: readonly string[]): void {
    this.#found.push(...problems);
  }

  /** @throws CniError 100 that lists them, when there are any */
  refuse({ ifName, containerId }: Pick<AttachmentName, "ifName" | "containerId">): void {
    if (this.#found.length === 0) return;
    throw new CniError(Code.checkFailed, `${ifName} of ${containerId} has changed: ${this.#found.join("; ")}`);
  }
}

/** What prevResult says of this attachment. */
export interface Told {
  readonly container: Interface;
  readonly ips: Result["ips"];
  readonly routes: Result["routes"];
}

/** @throws CniError 7 when prevResult has no such interface */
export function ownPart({ interfaces, ips, routes }: Result, ifName: string, netns: string): Told {
  const index = interfaces.findIndex(({ name, sandbox }) => name === ifName && sandbox === netns);
  const container = interfaces[index];
  if (container === undefined) {
    throw new CniError(
      Code.invalidConfig,
      `prevResult.interfaces: no interface "${ifName}" with sandbox "${netns}"; give the result of this attachment's ADD`,
    );
  }
  return { container, ips: ips.filter((ip) => ip.interface === undefined || ip.interface === index), routes };
}

export interface VethEnd {
  /** Whether it has to be up. */
  readonly up: boolean;
  /** The other end, when it was found. */
  readonly host: Link | undefined;
}

/** The pod's end of a veth: the interface, its addresses and its routes. */
export function checkVethEnd(pod: RouteSocket, { up, host }: VethEnd, told: Told, report: Report): void {
  const link = checkInterface(pod, { kind: "veth", up }, told, report);
  if (link !== undefined && host !== undefined) reportVethEnds(link, host, report);
}

/** Whether the pod's interface and the node's link belong together. */
export function reportVethEnds(link: Link, host: Link, report: Report): void {
  if (link.kind === "veth" && link.peerIndex !== host.index) report(`peer of ${link.name}`, host.index, link.peerIndex);
  if (link.mtu > host.mtu) report("mtu", `${host.mtu} or less`, link.mtu);
}

/**
 * The pod's interface as ADD answered it, with its addresses and routes.
 * @param kind undefined where it may be of any
 * @returns it, when it is there
 */
export function checkInterface(
  pod: RouteSocket,
  { kind, up }: { readonly kind: string | undefined; readonly up: boolean },
  { container, ips, routes }: Told,
  report: Report,
): Link | undefined {
  const link = getLink(pod, container.name);
  if (link === undefined) return void report("interface", container.name, undefined);
  if (kind !== undefined && link.kind !== kind) report(`${container.name} kind`, kind, link.kind);
  if (!link.up && up) report(container.name, "up", "down");
  if (container.mac !== undefined && link.mac !== container.mac.toLowerCase()) report("mac", container.mac, link.mac);
  if (container.mtu !== undefined && link.mtu !== container.mtu) report("mtu", container.mtu, link.mtu);
  const present: readonly Prefix[] = listAddresses(pod, { index: link.index }).map(({ address }) => address);
  for (const { address } of ips) if (!present.includes(address)) report("address", address, present);
  checkRoutes(pod, link.index, { ips, routes }, report);
  return link;
}

/** Looked for in every table, because plugins such as sbr move them. */
function checkRoutes(
  pod: RouteSocket,
  dev: number,
  { ips, routes }: Pick<Told, "ips" | "routes">,
  report: Report,
): void {
  if (routes.length === 0) return;
  const present = [4, 6].flatMap((family) => listRoutes(pod, { family: family as 4 | 6, table: 0 }));
  for (const { dst, via } of kernelRoutes(routes, ips, dev)) {
    const found = present.filter((route) => route.dst === dst && (route.dev === dev || route.multipath !== undefined));
    const served = found.some(
      (route) => via === undefined || route.via === via || route.multipath?.some((hop) => hop.via === via),
    );
    if (served) continue;
    const text = via === undefined ? dst : `${dst} via ${via}`;
    report(
      `route (IPv${prefixFamily(dst)})`,
      text,
      found.map((route) => `${route.dst} via ${route.via ?? "none"}`),
    );
  }
}

function show(value: unknown): string {
  if (value === undefined) return "nothing";
  if (Array.isArray(value)) return value.length === 0 ? "none" : value.join(", ");
  return String(value);
}
