import type { InterfaceAddress } from "../kernel/rtnetlink/address.ts";
import type { Link } from "../kernel/rtnetlink/link.ts";
import type { FdbEntry, Neighbour } from "../kernel/rtnetlink/neighbour.ts";
import type { Route } from "../kernel/rtnetlink/route.ts";
import type { Rule } from "../kernel/rtnetlink/rule.ts";
import type { WireguardDevice, WireguardPeer } from "../kernel/wireguard/device.ts";
import type { Context } from "./context.ts";
import { ExitCode } from "./exit.ts";
import { parseFormat, renderValue } from "./format.ts";

/** What of podwire a network namespace holds. Indexes refer to `names`, which has foreign links too. */
export interface KernelState {
  readonly names: ReadonlyMap<number, string>;
  readonly links: readonly Link[];
  /** Those on our links. */
  readonly addresses: readonly InterfaceAddress[];
  readonly routes: readonly Route[];
  readonly neighbours: readonly Neighbour[];
  readonly fdb: readonly FdbEntry[];
  readonly rules: readonly Rule[];
  readonly wireguard: readonly WireguardState[];
  readonly tables: readonly NftTable[];
  /** What could not be read, and why: a sentence each. */
  readonly failures: readonly string[];
}

/** A WireGuard device of ours, without private and preshared keys. */
export interface WireguardState extends Pick<WireguardDevice, "index" | "publicKey" | "listenPort"> {
  readonly peers: readonly (Omit<WireguardPeer, "presharedKey"> & { readonly hasPresharedKey: boolean })[];
}

/** One of our nft tables as `nft list table` shows it. */
export interface NftTable {
  readonly family: string;
  readonly name: string;
  readonly text: string;
}

/** `cnictl dump`: what of podwire this node's kernel holds, in the words of ip(8), bridge(8) and nft(8). Asks no controller. */
export async function dump(context: Context, options: { output: string; netns?: string }): Promise<ExitCode> {
  const format = parseFormat(options.output, ["table", "json", "yaml"] as const);
  const { readKernelState } = await import("./kernel-state.ts");
  const state = readKernelState(options.netns);
  if (format === "table") {
    const { renderKernelState } = await import("./dump-text.ts");
    const text = renderKernelState(state);
    if (text === "" && state.failures.length === 0)
      context.note("No resources found: podwire has nothing in this network namespace.\n");
    context.out(text);
  } else {
    context.out(await renderValue(renderPlain(state), format));
  }
  for (const failure of state.failures) context.note(`error: ${failure}\n`);
  return state.failures.length === 0 ? ExitCode.ok : ExitCode.failure;
}

/** The state with link names where the kernel has indexes. */
export function renderPlain(state: KernelState): object {
  const { names, links, addresses, routes, neighbours, fdb, rules, wireguard, tables } = state;
  const named = <T extends { index: number }>({ index, ...rest }: T) => ({
    dev: names.get(index) ?? `if${index}`,
    ...rest,
  });
  const device = (index: number | undefined) => (index === undefined ? {} : { dev: names.get(index) ?? `if${index}` });
  return {
    links: links.map(({ master, ...link }) => ({
      ...link,
      ...(master === undefined ? {} : { master: names.get(master) ?? `if${master}` }),
      addresses: addresses.filter(({ index }) => index === link.index).map(({ index: _, ...address }) => address),
    })),
    routes: routes.map((route) => ({
      ...route,
      ...device(route.dev),
      ...(route.multipath && { multipath: route.multipath.map((hop) => ({ ...hop, ...device(hop.dev) })) }),
    })),
    neighbours: neighbours.map(named),
    fdb: fdb.map(named),
    rules,
    wireguard: wireguard.map(named),
    nftables: tables,
  };
}
