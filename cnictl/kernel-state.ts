import { NFT_TABLE_PREFIX, parseMark, ROUTE_PROTOCOL } from "../kernel/mark.ts";
import { inNetns } from "../kernel/netns.ts";
import { openNft } from "../kernel/nftables/nft.ts";
import { listAddresses } from "../kernel/rtnetlink/address.ts";
import { type Link, listLinks } from "../kernel/rtnetlink/link.ts";
import { type FdbEntry, listFdb, listNeighbours } from "../kernel/rtnetlink/neighbour.ts";
import { listRoutes } from "../kernel/rtnetlink/route.ts";
import { listRules } from "../kernel/rtnetlink/rule.ts";
import { openRoute } from "../kernel/rtnetlink/socket.ts";
import { getDevice, openWireguard } from "../kernel/wireguard/device.ts";
import type { KernelState, NftTable, WireguardState } from "./dump.ts";
import { CommandError, ExitCode } from "./exit.ts";

/** RouteFilter.table: of every routing table. */
const EVERY_TABLE = 0;

/**
 * Reads what carries our marks in a network namespace (a path; this process's own without). A part that cannot be read is named in
 * `failures` and does not hide the others.
 * @throws CommandError when the namespace cannot be opened.
 */
export function readKernelState(netns?: string): KernelState {
  const failures: string[] = [];
  const attempt = <T>(what: string, read: () => readonly T[]): readonly T[] => {
    try {
      return read();
    } catch (error) {
      failures.push(`cannot read ${what}: ${(error as Error).message}`);
      return [];
    }
  };
  using rt = open(netns, openRoute);
  const all = attempt("links", () => listLinks(rt));
  const links = all.filter(({ alias }) => parseMark(alias) !== undefined);
  const overlays = links.filter(({ alias }) => parseMark(alias)?.role === "overlay");
  return {
    names: new Map(all.map(({ index, name }) => [index, name])),
    links,
    addresses: attempt("addresses", () => links.flatMap(({ index }) => listAddresses(rt, { index }))),
    routes: attempt("routes", () => listRoutes(rt, { table: EVERY_TABLE, protocol: ROUTE_PROTOCOL })),
    neighbours: attempt("neighbours", () => listNeighbours(rt, { protocol: ROUTE_PROTOCOL })),
    // The kernel keeps no mark on forwarding entries: those of our devices that lead to a peer, and were not learned, are ours.
    fdb: attempt("forwarding entries", () =>
      overlays.flatMap(({ index }) =>
        listFdb(rt, { index }).filter((entry) => entry.dst !== undefined && isPermanent(entry)),
      ),
    ),
    rules: attempt("rules", () => listRules(rt, { protocol: ROUTE_PROTOCOL })),
    wireguard: attempt("WireGuard", () => readWireguard(netns, overlays)),
    tables: attempt("nftables", () => readTables(netns)),
    failures,
  };
}

/** NUD_PERMANENT, <linux/neighbour.h>; bridge(8) sets NUD_NOARP beside it, which gives a state without a name. */
function isPermanent({ state = "permanent" }: FdbEntry): boolean {
  return state === "permanent" || (typeof state === "number" && (state & 0x80) !== 0);
}

function readWireguard(netns: string | undefined, overlays: readonly Link[]): readonly WireguardState[] {
  const links = overlays.filter(({ kind }) => kind === "wireguard");
  if (links.length === 0) return [];
  using wg = inNetns(netns, openWireguard);
  return links
    .flatMap(({ index }) => getDevice(wg, index) ?? [])
    .map(({ index, publicKey, listenPort, peers }) => ({
      index,
      ...(publicKey && { publicKey }),
      listenPort,
      peers: peers.map(({ presharedKey, ...peer }) => ({ ...peer, hasPresharedKey: presharedKey !== undefined })),
    }));
}

function readTables(netns: string | undefined): readonly NftTable[] {
  using nft = open(netns, openNft);
  return tableNames(nft.query("list tables"))
    .filter(({ name }) => name.startsWith(NFT_TABLE_PREFIX))
    .map(({ family, name }) => ({ family, name, text: nft.listText(`list table ${family} ${name}`) }));
}

/** Of libnftables-json(5)'s objects: {"table": {"family": …, "name": …}}. */
function tableNames(objects: readonly unknown[]): readonly { family: string; name: string }[] {
  return objects.flatMap((object) => {
    const { table } = object as { table?: { family: string; name: string } };
    return table === undefined ? [] : [table];
  });
}

function open<T>(netns: string | undefined, opener: (netns?: string) => T): T {
  try {
    return opener(netns);
  } catch (error) {
    throw new CommandError(`error: ${(error as Error).message}`, ExitCode.failure, { cause: error });
  }
}
