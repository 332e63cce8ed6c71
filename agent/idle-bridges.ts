import { parseMark } from "../kernel/mark.ts";
import { deleteLink, listLinks } from "../kernel/rtnetlink/link.ts";
import type { RouteSocket } from "../kernel/rtnetlink/socket.ts";
import { bridgeName } from "../plugins/overlay/delegate.ts";

/**
 * Deletes the bridges of overlay networks that are no more, with the routes over them. A bridge is kept between pods, so
 * that it need not be made for each; it goes when its network is deleted. Only those that we made and named, and that
 * have no port.
 * @param known the networks that there are
 * @returns the names of the bridges that are gone
 */
export function deleteIdleBridges(rt: RouteSocket, known: ReadonlySet<string>): string[] {
  const candidates = listLinks(rt, { kind: "bridge" }).filter(({ name, alias }) => {
    const mark = parseMark(alias);
    return mark?.role === "bridge" && !known.has(mark.network) && name === bridgeName(mark.network);
  });
  const idle = candidates.filter(({ index }) => listLinks(rt, { master: index }).length === 0);
  for (const { index } of idle) deleteLink(rt, index, { missingOk: true });
  return idle.map(({ name }) => name);
}
