import type { NetConf } from "../../cni/conf.ts";
import { array, integer, invalid, object, optional, prefix, refine } from "../../cni/decode.ts";
import { CniError, Code } from "../../cni/error.ts";
import { networkOf, type Prefix } from "../../net/prefix.ts";

/** A limit of one direction. */
export interface Rate {
  /** Bytes a second, of whole frames. */
  readonly rate: number;
  /** Bytes that go at once after a pause. */
  readonly burst: number;
}

/** The keys of the bandwidth plugin, as the reference plugin names them; from bits to bytes. */
export interface BandwidthConf {
  /** What the pod gets. */
  readonly ingress: Rate | undefined;
  /** What the pod sends. */
  readonly egress: Rate | undefined;
  /** Absent: all is shaped. */
  readonly subnets: ShapedSubnets | undefined;
}

/** Networks of the other end that alone are shaped, or alone are not. */
export interface ShapedSubnets {
  readonly shaped: boolean;
  readonly prefixes: readonly Prefix[];
}

/** The kernel counts bursts in bytes, in 32 bits. */
const LARGEST_BURST = 8 * 0xffffffff - 1;
/** The slowest that can be told in whole bytes. */
const SMALLEST_RATE = 8;

const bits = optional(integer(0, Number.MAX_SAFE_INTEGER), 0);
/** Host bits do not matter, as with the reference plugin. */
const subnets = optional(array(refine(prefix, networkOf)), []);
const fields = {
  ingressRate: bits,
  ingressBurst: bits,
  egressRate: bits,
  egressBurst: bits,
  unshapedSubnets: subnets,
  shapedSubnets: subnets,
};
const limits = object(fields);
const ofRuntime = object({ bandwidth: optional(limits) });

/**
 * Reads the plugin's own keys, or, when there are none, `runtimeConfig.bandwidth`; never some of each.
 * @throws CniError 7
 */
export function decodeBandwidthConf({ raw, runtimeConfig }: Pick<NetConf, "raw" | "runtimeConfig">): BandwidthConf {
  const own = Object.keys(fields).some((key) => raw[key] !== undefined && raw[key] !== null);
  const given = own ? limits(raw, "") : ofRuntime(runtimeConfig, "runtimeConfig").bandwidth;
  if (given === undefined) return { ingress: undefined, egress: undefined, subnets: undefined };
  const path = own ? "" : "runtimeConfig.bandwidth.";
  const { unshapedSubnets, shapedSubnets } = given;
  if (unshapedSubnets.length > 0 && shapedSubnets.length > 0) {
    throw new CniError(Code.invalidConfig, `${path}unshapedSubnets and shapedSubnets: leave one of them out`);
  }
  const shaped = shapedSubnets.length > 0;
  const prefixes = shaped ? shapedSubnets : unshapedSubnets;
  return {
    ingress: rateOf(`${path}ingress`, given.ingressRate, given.ingressBurst),
    egress: rateOf(`${path}egress`, given.egressRate, given.egressBurst),
    subnets: prefixes.length === 0 ? undefined : { shaped, prefixes },
  };
}

function rateOf(path: string, rate: number, burst: number): Rate | undefined {
  if (rate === 0 && burst === 0) return undefined;
  if (burst === 0) throw invalid(`${path}Rate`, rate, `needs ${path}Burst beside it, in bits`);
  if (rate === 0) throw invalid(`${path}Burst`, burst, `needs ${path}Rate beside it, in bits a second`);
  if (rate < SMALLEST_RATE) throw invalid(`${path}Rate`, rate, `is less than ${SMALLEST_RATE} bits a second`);
  if (burst > LARGEST_BURST) throw invalid(`${path}Burst`, burst, "is more than 4 GB; it is counted in bits");
  return { rate: Math.floor(rate / 8), burst: Math.floor(burst / 8) };
}
