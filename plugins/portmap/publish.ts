import type { Attachment } from "../../cni/attachment.ts";
import { CniError, Code } from "../../cni/error.ts";
import type { Result } from "../../cni/result.ts";
import { ownerComment } from "../../firewall/owner.ts";
import {
  describeMapping,
  ensurePortMap,
  isOfPodAddress,
  PORT_MAP_SETS,
  type PublishedPod,
  portMapProblems,
  publishedElements,
} from "../../firewall/port-map.ts";
import type { AttachmentName } from "../../kernel/mark.ts";
import { isNetlinkError } from "../../kernel/netlink/error.ts";
import type { NftElement } from "../../kernel/nftables/element-message.ts";
import { getLink } from "../../kernel/rtnetlink/link.ts";
import { getRoute } from "../../kernel/rtnetlink/route.ts";
import type { RouteSocket } from "../../kernel/rtnetlink/socket.ts";
import { readSysctl } from "../../kernel/sysctl.ts";
import { type Address, type Family, familyOf } from "../../net/address.ts";
import { prefixAddress } from "../../net/prefix.ts";
import { ownIps } from "../chained/result.ts";
import type { ElementPart } from "../node/elements.ts";
import type { Restorable } from "../node/restore.ts";
import { concernsFamily, type PortmapConf, particularAddress } from "./conf.ts";

export const PORT_MAP: ElementPart = {
  kind: "portmap",
  sets: PORT_MAP_SETS,
  problems: portMapProblems,
  ensure: ensurePortMap,
  describe: describeMapping,
  yields: isOfPodAddress,
};

export const RESTORABLE_PORT_MAP: Restorable = { kind: PORT_MAP.kind, parts: () => [PORT_MAP] };

/**
 * The pod's addresses that ports lead to: the first of each family on its interface.
 * @param result of the plugins before in the chain
 */
export function podAddresses(result: Result, { ifName }: Pick<Attachment, "ifName">): Address[] {
  const addresses = ownIps(result, ifName).map(({ address }) => prefixAddress(address));
  return ([4, 6] as const).flatMap((family) => addresses.find((each) => familyOf(each) === family) ?? []);
}

/**
 * The attachment's elements.
 * @throws CniError 7 when a port is mapped twice, to different ports
 */
export function mappingElements(
  name: AttachmentName,
  conf: PortmapConf,
  addresses: readonly Address[],
  node: RouteSocket,
): NftElement[] {
  const ephemeral = ephemeralPorts();
  const elements = addresses.flatMap((address) =>
    publishedElements(publishedPod(name, conf, address, node, ephemeral)),
  );
  const unique = new Map<string, NftElement>();
  for (const element of elements) {
    const key = [element.of.set, hex(element.key), hex(element.keyEnd)].join(" ");
    const before = unique.get(key);
    if (before !== undefined && hex(before.value) !== hex(element.value)) {
      throw new CniError(
        Code.invalidConfig,
        `runtimeConfig.portMappings: ${describeMapping(element)} is mapped to two different ports; leave one out`,
      );
    }
    unique.set(key, element);
  }
  return [...unique.values()];
}

function publishedPod(
  name: AttachmentName,
  { mappings, snat, masqAll, conditions }: PortmapConf,
  address: Address,
  node: RouteSocket,
  isEphemeral: (port: number) => boolean,
): PublishedPod {
  const family = familyOf(address);
  return {
    owner: ownerComment(name),
    address,
    mappings: mappings
      .filter((mapping) => concernsFamily(mapping, family))
      .map((mapping) => ({
        protocol: mapping.protocol,
        hostPort: mapping.hostPort,
        containerPort: mapping.containerPort,
        hostIP: particularAddress(mapping),
        loopback: !isEphemeral(mapping.hostPort),
      })),
    condition: conditions[family],
    snat: snat ? (masqAll ? "all" : "returning") : "none",
    way: wayTo(node, address),
  };
}

/** Where the node would send a packet for the pod, and from which address. */
function wayTo(node: RouteSocket, address: Address): PublishedPod["way"] {
  try {
    const { dev, src } = getRoute(node, address);
    const device = dev === undefined ? undefined : getLink(node, dev)?.name;
    return device === undefined ? undefined : { device, source: src };
  } catch (error) {
    if (isNetlinkError(error, "ENETUNREACH", "EHOSTUNREACH", "EACCES", "EINVAL")) return undefined;
    throw error;
  }
}

/**
 * Whether local processes may get the port as that of their own end. The source of packets to a mapped port at a loopback
 * address is replaced before connection tracking, so that they could not be told from answers to such a process.
 */
function ephemeralPorts(): (port: number) => boolean {
  const [first = 0, last = 65535] = readSysctl("net/ipv4/ip_local_port_range").split(/\s+/).map(Number);
  const reserved = readSysctl("net/ipv4/ip_local_reserved_ports")
    .split(",")
    .filter((range) => range !== "")
    .map((range) => range.split("-").map(Number));
  return (port) =>
    port >= first && port <= last && !reserved.some(([from = 0, to = from]) => port >= from && port <= to);
}

function hex(bytes: Uint8Array | undefined): string {
  return bytes === undefined ? "" : Buffer.from(bytes).toString("hex");
}

/** The families that the pod has addresses of and a mapping asks for. */
export function unservedFamilies({ mappings }: PortmapConf, addresses: readonly Address[]): readonly Family[] {
  return ([4, 6] as const).filter(
    (family) =>
      mappings.some(({ hostIP }) => hostIP !== undefined && familyOf(hostIP) === family) &&
      !addresses.some((address) => familyOf(address) === family),
  );
}
