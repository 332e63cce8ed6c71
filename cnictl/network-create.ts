import { BACKEND_TYPES, factsOf, type OptionalKey, typesWith, wireOf } from "../backends/backend.ts";
import { RANGES } from "../backends/check.ts";
import type { Wire } from "../backends/facts.ts";
import { oneOf } from "../backends/words.ts";
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
  const { backend: type } = options;
  const mode = options.mode ?? modesOf(type)[0] ?? "";
  const tunnel = options.tunnel ?? factsOf(type)?.tunnels?.[0];
  refuseExcess(options, wireOf({ type, mode, tunnel }));
  return {
    name,
    cidrs,
    ...subnetLengths(cidrs, options.subnetLength ?? []),
    backend: {
      type,
      ...(tunnel !== undefined && { tunnel }),
      mode,
      vni: integer("--vni", options.vni, ...RANGES.vni),
      port: integer("--port", options.port, ...RANGES.port),
      directRouting: options.directRouting ?? false,
      mtu: integer("--mtu", options.mtu, ...RANGES.mtu),
    },
    masquerade: options.masquerade,
  };
}

/** Options that are not for every backend, by what they are to it. */
const OPTION_OF = ["mode", "tunnel", "vni", "port", "directRouting"] as const satisfies readonly OptionalKey[];

function refuseExcess(options: NetworkOptions, wire: Wire | undefined): void {
  const { backend, mode, tunnel, vni, port } = options;
  for (const key of OPTION_OF) {
    const allowed = typesWith(key);
    if (options[key] === undefined || allowed.includes(backend)) continue;
    throw usageError(`--${kebab(key)} is for --backend ${allowed.join(", ")}, not ${backend}`);
  }
  const having = BACKEND_TYPES.filter((type) => modesOf(type).some((each) => each === mode));
  if (mode !== undefined && !having.includes(backend)) {
    throw usageError(`--mode ${mode} is for --backend ${having.join(", ")}, not ${backend}`);
  }
  if (port !== undefined && wire?.port === undefined) {
    throw usageError(`--port ${port}: tunnels of type ${tunnel} have no port`);
  }
  if (vni !== undefined && wire?.vni === undefined) throw usageError(`--vni ${vni} ${isOfAnotherMode(backend)}`);
}

function isOfAnotherMode(type: string): string {
  const { wires = {}, vniName = "number" } = factsOf(type) ?? {};
  const numbered = Object.keys(wires).filter((way) => wires[way]?.vni !== undefined);
  return `with --backend ${type} is the ${vniName} of --mode ${oneOf(numbered)}; the other mode sends none`;
}

function modesOf(type: string): readonly string[] {
  return factsOf(type)?.modes ?? [];
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
