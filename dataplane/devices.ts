import { parseMark } from "../kernel/mark.ts";
import { type Link, listLinks } from "../kernel/rtnetlink/link.ts";
import type { RouteSocket } from "../kernel/rtnetlink/socket.ts";
import { isOverlay, isOverlayIn, type Scope } from "./scope.ts";

/**
 * The namespace's links in one pass: listed once, and again after one was made or deleted. The name of an overlay device
 * stands for a device of ours alone: when a foreign one bears it, nothing is ever put on that.
 */
export class Devices {
  readonly #rt: RouteSocket;
  readonly #scope: Scope;
  readonly #overlayNames: ReadonlySet<string>;
  #links: readonly Link[] | undefined;
  #byName = new Map<string, Link>();
  #byIndex = new Map<number, Link>();
  /** Indices by the names that somebody asked for; asked again for each of thousands of objects. */
  #found = new Map<string, number>();

  /** @param overlayNames of the devices that are wanted */
  constructor(rt: RouteSocket, scope: Scope, overlayNames: Iterable<string>) {
    this.#rt = rt;
    this.#scope = scope;
    this.#overlayNames = new Set(overlayNames);
  }

  /** The overlay devices that the scope sees: its own and shared ones. */
  overlays(): Link[] {
    return this.#list().filter((link) => isOverlayIn(this.#scope, link));
  }

  nameOf(index: number): string | undefined {
    this.#list();
    return this.#byIndex.get(index)?.name;
  }

  /** Whether the device carries a mark of ours: tunnel, bridge or veth. */
  isOurs(index: number): boolean {
    this.#list();
    return parseMark(this.#byIndex.get(index)?.alias) !== undefined;
  }

  /** Whether it is one of the overlay devices that are wanted. */
  isWanted(name: string): boolean {
    return this.#overlayNames.has(name);
  }

  /** As the kernel has it now. */
  named(name: string): Link | undefined {
    this.forget();
    this.#list();
    return this.#byName.get(name);
  }

  /** @throws Error naming the device when it is not there, or is not ours and should be */
  indexOf(name: string): number {
    this.#list();
    const known = this.#found.get(name);
    if (known !== undefined) return known;
    const link = this.#byName.get(name);
    if (link === undefined) throw new Error(`device ${name} is not there`);
    if (this.#overlayNames.has(name)) refuseForeign(link);
    this.#found.set(name, link.index);
    return link.index;
  }

  /** @throws Error when a device of that name exists and is not an overlay device of ours */
  refuseForeign(name: string): void {
    this.forget();
    this.#list();
    const link = this.#byName.get(name);
    if (link !== undefined) refuseForeign(link);
  }

  /** Links changed: list them again when somebody asks. */
  forget(): void {
    this.#links = undefined;
  }

  #list(): readonly Link[] {
    if (this.#links !== undefined) return this.#links;
    const links = listLinks(this.#rt);
    this.#byName = new Map(links.map((link) => [link.name, link]));
    this.#byIndex = new Map(links.map((link) => [link.index, link]));
    this.#found = new Map();
    this.#links = links;
    return links;
  }
}

function refuseForeign(link: Link): void {
  const { name, kind } = link;
  if (isOverlay(link)) return;
  throw new Error(`device ${name} exists and is not ours (kind ${kind ?? "none"}); remove or rename it`);
}
