import { ADDRESS_BITS } from "../net/address.ts";
import { type Prefix, parseNetwork, prefixFamily, prefixLength } from "../net/prefix.ts";
import type { Network } from "../proto/gen/podwire/v1/Network.ts";
import type { Context } from "./context.ts";
import { ExitCode, usageError } from "./exit.ts";

export interface NetworkOptions {
  readonly cidr: readonly string[];
  readonly subnetLength?: readonly string[];
  readonly backend: string;
  readonly mode?: string;
  readonly tunnel?: string;
  readonly vni?: string;
  readonly port?: string;
  readonly mtu?: string;
  readonly directRouting?: boolean;
  readonly masquerade: boolean;
}

/** Bits of a VXLAN network identifier, RFC 7348. */
const LARGEST_VNI = 2 ** 24 - 1;

/** Every IPv4 host takes 576 bytes (RFC 791), and a link's MTU is no larger than 65535. */
const MTU_RANGE = [576, 65535] as const;

/** `cnictl network create`. */
export async function createNetwork(context: Context, name: string, options: NetworkOptions): Promise<ExitCode> {
  const network = networkFromOptions(name, options);
  using admin = await context.connect();
  const created = await admin.createNetwork({ network });
  context.out(`network/${created.name} created\n`);
  return ExitCode.ok;
}

/**
 * The network that the command line describes. What only the controller can know (names and VNIs in use) it checks itself.
 * @throws CommandError naming the option and the value.
 */
export function networkFromOptions(name: string, options: NetworkOptions): Network {
  const cidrs = options.cidr.map((text) => checked("--cidr", () => parseNetwork(text)));
  if (cidrs.length === 0)
    throw usageError("--cidr is needed: the addresses of the network's pods, such as 10.244.0.0/16");
  if (new Set(cidrs.map(prefixFamily)).size < cidrs.length) {
    throw usageError(`--cidr ${cidrs.join(",")}: a network has at most one CIDR of each family`);
  }
  const { backend: type, mode } = options;
  refuseExcess(options);
  return {
    name,
    cidrs,
    ...subnetLengths(cidrs, options.subnetLength ?? []),
    backend: {
      type,
      ...(type === "ovs" && { tunnel: options.tunnel ?? "vxlan" }),
      mode: type === "host-gw" || type === "wireguard" ? "" : (mode ?? "flow"),
      vni: integer("--vni", options.vni, 1, LARGEST_VNI),
      port: integer("--port", options.port, 1, 65535),
      directRouting: options.directRouting ?? false,
      mtu: integer("--mtu", options.mtu, ...MTU_RANGE),
    },
    masquerade: options.masquerade,
  };
}

/** The backends that an option is for. */
const OPTION_OF = {
  mode: ["vxlan", "gre", "ipip", "ovs"],
  tunnel: ["ovs"],
  vni: ["vxlan", "gre", "ovs"],
  port: ["vxlan", "wireguard", "ovs"],
  directRouting: ["vxlan", "gre", "ipip", "wireguard", "ovs"],
} as const satisfies Partial<Record<keyof NetworkOptions, readonly string[]>>;

function refuseExcess(options: NetworkOptions): void {
  const { backend, mode, tunnel, vni, port } = options;
  for (const key of Object.keys(OPTION_OF) as (keyof typeof OPTION_OF)[]) {
    const allowed: readonly string[] = OPTION_OF[key];
    if (options[key] === undefined || allowed.includes(backend)) continue;
    throw usageError(`--${kebab(key)} is for --backend ${allowed.join(", ")}, not ${backend}`);
  }
  if (mode === "both" && backend !== "ovs") throw usageError(`--mode both is for --backend ovs, not ${backend}`);
  if (tunnel === "gre" && port !== undefined) throw usageError(`--port ${port}: tunnels of type gre have no port`);
  if (backend === "gre" && vni !== undefined && mode !== "static") {
    throw usageError(`--vni ${vni} with --backend gre is the key of --mode static; the other mode sends none`);
  }
}

function subnetLengths(cidrs: readonly Prefix[], texts: readonly string[]): Partial<Network> {
  if (texts.length === 0) return {};
  if (texts.length !== cidrs.length) {
    throw usageError(`--subnet-length ${texts.join(",")}: give one for each of ${cidrs.join(",")}, in that order`);
  }
  const lengths = cidrs.map((cidr, i) => {
    const bits = ADDRESS_BITS[prefixFamily(cidr)];
    // Shorter than the CIDR there is no subnet, and the last two lengths leave no address to give to a pod.
    return [prefixFamily(cidr), integer("--subnet-length", texts[i], prefixLength(cidr), bits - 2)] as const;
  });
  const byFamily = new Map(lengths);
  return { ipv4SubnetLength: byFamily.get(4) ?? 0, ipv6SubnetLength: byFamily.get(6) ?? 0 };
}

/** 0, which leaves the choice to the controller or the agents, when the option was not given. */
function integer(option: string, text: string | undefined, least: number, most: number): number {
  if (text === undefined) return 0;
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= least && value <= most))
    throw usageError(`${option} ${text}: give a whole number from ${least} to ${most}`);
  return value;
}

function checked<T>(option: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw usageError(`${option}: ${(error as RangeError).message}`);
  }
}

function kebab(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
