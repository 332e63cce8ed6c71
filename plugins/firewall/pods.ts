import { CniError, Code, messageOf } from "../../cni/error.ts";
import type { Result } from "../../cni/result.ts";
import {
  addBridges,
  type BridgePolicy,
  bridgeDifference,
  bridgeElements,
  describeForwarded,
  ensureForwarding,
  FORWARDING_SETS,
  forwardedElements,
  forwardingProblems,
} from "../../firewall/forwarding.ts";
import { TABLE } from "../../firewall/nft-text.ts";
import { ownerComment } from "../../firewall/owner.ts";
import type { AttachmentName } from "../../kernel/mark.ts";
import type { NftElement } from "../../kernel/nftables/element-message.ts";
import { NftError } from "../../kernel/nftables/nft.ts";
import { getLink, type Link } from "../../kernel/rtnetlink/link.ts";
import type { RouteSocket } from "../../kernel/rtnetlink/socket.ts";
import { prefixAddress } from "../../net/prefix.ts";
import { hostInterfaces, ownIps } from "../chained/result.ts";
import { type ElementPart, putElements } from "../node/elements.ts";
import type { NodeMachine } from "../node/machine.ts";
import type { Restorable } from "../node/restore.ts";
import { lockTables, probed } from "../node/tables.ts";
import { DEFAULT_ADMIN_CHAIN, type FirewallConf } from "./conf.ts";

/** The plugin's part of the tables. */
export function forwardingPart({
  adminChain,
  ingressPolicy,
}: Pick<FirewallConf, "adminChain" | "ingressPolicy">): ElementPart {
  const isolation = ingressPolicy === "isolated";
  return {
    kind: "firewall",
    sets: FORWARDING_SETS,
    problems: (view) => forwardingProblems(view, { isolation }),
    ensure: () => ensureForwarding(adminChain, { isolation }),
    describe: describeForwarded,
    yields: () => true, // addresses and ports are only ever one pod's
  };
}

/** What brings the plugin's part back: one part for each administrator's chain that pods lead to. */
export const RESTORABLE_FORWARDING: Restorable = {
  kind: "firewall",
  parts(records) {
    const elements = records.flatMap((record) => record.elements);
    const isolated = elements.some(({ of }) => of.family === "bridge");
    const chains = new Set(elements.flatMap(({ jump }) => jump ?? []));
    const names = chains.size === 0 ? [DEFAULT_ADMIN_CHAIN] : [...chains];
    return names.map((adminChain) => forwardingPart({ adminChain, ingressPolicy: isolated ? "isolated" : "open" }));
  },
};

/** What an attachment needs. */
export interface Forwarded {
  readonly elements: readonly NftElement[];
  /** Absent where no bridge is known, and none has to be. */
  readonly bridge: BridgePolicy | undefined;
}

/** @throws CniError 7 when the policy needs a bridge and the chain has made none */
export function forwarded(
  name: AttachmentName,
  { adminChain, ingressPolicy }: FirewallConf,
  result: Result,
  node: RouteSocket,
): Forwarded {
  const links = hostInterfaces(result).flatMap((each) => getLink(node, each.name) ?? []);
  const bridge = links.find(({ kind }) => kind === "bridge");
  if (bridge === undefined && ingressPolicy !== "open") {
    throw new CniError(
      Code.invalidConfig,
      `ingressPolicy: "${ingressPolicy}" is about a bridge, and prevResult.interfaces names none; put firewall behind bridge, or leave the key out`,
    );
  }
  return {
    elements: forwardedElements({
      owner: ownerComment(name),
      addresses: ownIps(result, name.ifName).map(({ address }) => prefixAddress(address)),
      adminChain,
      isolatedPorts: ingressPolicy === "isolated" ? portsOf(bridge, links) : [],
    }),
    bridge: bridge && { network: name.network, bridge: bridge.name, policy: ingressPolicy },
  };
}

function portsOf(bridge: Link | undefined, links: readonly Link[]): string[] {
  return links.filter(({ master }) => bridge !== undefined && master === bridge.index).map((link) => link.name);
}

/** Puts the policy of the network's bridge, then the pod: it is never open for a moment. */
export function putForwarded(
  machine: NodeMachine,
  name: AttachmentName,
  conf: FirewallConf,
  { elements, bridge }: Forwarded,
): void {
  {
    using _lock = lockTables();
    prepareChain(machine, conf);
    if (bridge !== undefined) putBridge(machine, bridge);
  }
  putElements(machine, forwardingPart(conf), name, elements, bridge === undefined ? [] : bridgeElements(bridge));
}

/** The administrator's chain may be another one in each configuration. */
function prepareChain(machine: NodeMachine, conf: FirewallConf): void {
  const { adminChain } = conf;
  if (probed(machine, (probe) => probe.hasChain("inet", TABLE, adminChain))) return;
  using nft = machine.openNft();
  try {
    nft.run(forwardingPart(conf).ensure());
  } catch (error) {
    if (!(error instanceof NftError)) throw error;
    throw new CniError(
      Code.invalidConfig,
      `iptablesAdminChainName: "${adminChain}" cannot be a chain of table inet ${TABLE}: ${messageOf(error)}`,
    );
  }
}

/** One element or two, put by the network's first pod; the others find them there. */
function putBridge(machine: NodeMachine, bridge: BridgePolicy): void {
  using elements = machine.openNftElements();
  const { missing, excess } = bridgeDifference(elements, bridge);
  if (missing.length > 0) {
    using nft = machine.openNft();
    nft.run(addBridges(missing));
  }
  if (excess.length > 0) elements.change({ remove: excess });
}
