import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { addressOfFile, decodeHolder } from "../ipam/reservation.ts";
import { type Mark, parseMark } from "../kernel/mark.ts";
import { listLinks } from "../kernel/rtnetlink/link.ts";
import type { RouteSocket } from "../kernel/rtnetlink/socket.ts";
import type { Address } from "../net/address.ts";
import type { Pod } from "../proto/gen/podwire/v1/Pod.ts";

type VethMark = Extract<Mark, { role: "veth" }>;

/**
 * The pods on this node, by the marks on their host-side links; their addresses by the files of host-local. There is no
 * list of our own that could be wrong.
 */
export function listPods(rt: RouteSocket, dataDir: string): Pod[] {
  const marks = listLinks(rt, { kind: "veth" }).flatMap(({ alias }) => {
    const mark = parseMark(alias);
    return mark?.role === "veth" ? [mark] : [];
  });
  const networks = new Map(
    [...new Set(marks.map(({ network }) => network))].map((name) => [name, reservations(dataDir, name)]),
  );
  return marks
    .map((mark) => pod(mark, networks.get(mark.network)?.get(holderKey(mark)) ?? []))
    .sort((a, b) => (podKey(a) < podKey(b) ? -1 : 1));
}

interface Reserved {
  readonly address: Address;
  readonly since: number;
}

function pod({ network, containerId, ifName, pod: named }: VethMark, reserved: readonly Reserved[]): Pod {
  return {
    network,
    containerId,
    interfaceName: ifName,
    ...(named === undefined ? {} : { namespace: named.namespace, name: named.name }),
    addresses: reserved.map(({ address }) => address),
    createdAt: reserved.length === 0 ? 0 : Math.min(...reserved.map(({ since }) => since)),
  };
}

function podKey({ network, containerId, interfaceName }: Pod): string {
  return `${network} ${containerId} ${interfaceName}`;
}

function holderKey({ containerId, ifName }: { readonly containerId: string; readonly ifName: string }): string {
  return `${containerId} ${ifName}`;
}

function reservations(dataDir: string, network: string): Map<string, Reserved[]> {
  const held = new Map<string, Reserved[]>();
  const folder = join(dataDir, network);
  for (const file of namesIn(folder)) {
    const address = addressOfFile(file);
    const found = address && readReservation(join(folder, file));
    if (!found) continue;
    held.set(found.key, [...(held.get(found.key) ?? []), { address, since: found.since }]);
  }
  return held;
}

/** Files come and go while pods do: one that is gone is nobody's. */
function readReservation(path: string): { key: string; since: number } | undefined {
  try {
    const holder = decodeHolder(readFileSync(path, "utf8"));
    if (holder.kind !== "attachment") return undefined;
    return { key: holderKey(holder.attachment), since: Math.round(statSync(path).mtimeMs) };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}
