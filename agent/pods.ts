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
 * list of our own that could be wrong: what was read of a file before is only believed while the pod that it names is
 * there, for nobody else can have the address then.
 */
export class PodList {
  readonly #rt: RouteSocket;
  readonly #dataDir: string;
  /** By path. */
  #known: ReadonlyMap<string, Reservation> = new Map();

  constructor(rt: RouteSocket, dataDir: string) {
    this.#rt = rt;
    this.#dataDir = dataDir;
  }

  list(): Pod[] {
    const marks = listLinks(this.#rt, { kind: "veth" }).flatMap(({ alias }) => {
      const mark = parseMark(alias);
      return mark?.role === "veth" ? [mark] : [];
    });
    const byHolder = this.#reservations(marks);
    return marks
      .map((mark) => pod(mark, byHolder.get(holderKey(mark)) ?? []))
      .sort((a, b) => (podKey(a) < podKey(b) ? -1 : 1));
  }

  #reservations(marks: readonly VethMark[]): ReadonlyMap<string, readonly Reserved[]> {
    const present = new Set(marks.map(holderKey));
    const known = new Map<string, Reservation>();
    const byHolder = new Map<string, Reserved[]>();
    for (const network of new Set(marks.map((mark) => mark.network))) {
      const folder = join(this.#dataDir, network);
      for (const file of namesIn(folder)) {
        const address = addressOfFile(file);
        if (address === undefined) continue;
        const path = join(folder, file);
        const before = this.#known.get(path);
        const found = before && present.has(before.holder) ? before : readReservation(path, network);
        if (found === undefined) continue;
        known.set(path, found);
        byHolder.set(found.holder, [...(byHolder.get(found.holder) ?? []), { address, since: found.since }]);
      }
    }
    this.#known = known;
    return byHolder;
  }
}

/** What a reservation's file says. */
interface Reservation {
  readonly holder: string;
  readonly since: number;
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

function holderKey({ network, containerId, ifName }: Omit<VethMark, "role" | "pod">): string {
  return `${network} ${containerId} ${ifName}`;
}

/** Files come and go while pods do: one that is gone is nobody's. */
function readReservation(path: string, network: string): Reservation | undefined {
  try {
    const holder = decodeHolder(readFileSync(path, "utf8"));
    if (holder.kind !== "attachment") return undefined;
    return { holder: holderKey({ network, ...holder.attachment }), since: Math.round(statSync(path).mtimeMs) };
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
