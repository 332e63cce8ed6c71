import { type Prefix, prefixFamily } from "../net/prefix.ts";
import { BACKEND_TYPES, type Backend, factsOf, typesWith, wireOf } from "./backend.ts";
import type { BackendFacts } from "./facts.ts";
import { oneOf } from "./words.ts";

/** A backend as the controller, a file or a user says it. What is absent, 0 or "" gets its default. */
export interface UncheckedBackend {
  /** "vxlan" when empty. */
  readonly type: string;
  readonly mode?: string;
  readonly tunnel?: string;
  readonly vni?: number;
  readonly port?: number;
  readonly directRouting?: boolean;
  readonly mtu?: number;
}

/** A VXLAN network identifier has 24 bits (RFC 7348); every IPv4 host takes 576 bytes (RFC 791), and no link more than 65535. */
export const RANGES = { vni: [1, 0xff_ffff], port: [1, 0xffff], mtu: [576, 0xffff] } as const;

const DEFAULT_TYPE = "vxlan";

/**
 * Checks the backend of a network with those CIDRs against hostile or mistaken values, and fills defaults. Keys that mean
 * nothing to a type are left out, for a command line has defaults for them; a tunnel has none.
 * @throws RangeError `backend.KEY: VALUE` and what would be right
 */
export function checkBackend(
  source: { readonly [Key in keyof UncheckedBackend]?: unknown },
  cidrs: readonly Prefix[],
): Backend {
  const type = choice("type", source.type, DEFAULT_TYPE, BACKEND_TYPES);
  const facts = factsOf(type);
  if (facts === undefined) throw new RangeError(`backend.type: ${shown(type)} is unknown`);
  const { modes, tunnels } = facts;
  if (tunnels === undefined && source.tunnel) {
    refuse("tunnel", source.tunnel, `is for type ${oneOf(typesWith("tunnel"))}, not ${type}`);
  }
  const mtu = source.mtu ? number("mtu", source.mtu, " or 0, which has it computed") : 0;
  const kind = {
    type,
    ...(modes.length > 0 && { mode: choice("mode", source.mode, modes[0], modes) }),
    ...(tunnels && { tunnel: choice("tunnel", source.tunnel, tunnels[0], tunnels) }),
  };
  const wire = wireOf(kind);
  const stranger = cidrs.find((cidr) => !facts.carries.includes(prefixFamily(cidr)));
  if (stranger !== undefined) refuse("type", type, carriesNot(facts, stranger));
  return {
    ...kind,
    vni: wire?.vni === undefined ? 0 : number("vni", source.vni || 1),
    port: wire?.port === undefined ? 0 : number("port", source.port || wire.port),
    directRouting: source.directRouting === true,
    mtu,
  } as Backend;
}

function carriesNot({ carries, otherwise = "another" }: BackendFacts, cidr: Prefix): string {
  return `carries IPv${carries.join()} alone, and CIDR ${cidr} is IPv${prefixFamily(cidr)}; use ${otherwise}`;
}

function choice(key: "type" | "mode" | "tunnel", value: unknown, standard = "", allowed: readonly string[]): string {
  const chosen = value || standard;
  const known = allowed.find((each) => each === chosen);
  return known ?? refuse(key, chosen, `is unknown; use ${oneOf(allowed)}`);
}

function number(key: keyof typeof RANGES, value: unknown, more = ""): number {
  const [low, high] = RANGES[key];
  if (typeof value === "number" && Number.isInteger(value) && value >= low && value <= high) return value;
  return refuse(key, value, `is not a whole number in ${low}..${high}${more}`);
}

function refuse(key: keyof UncheckedBackend, value: unknown, advice: string): never {
  throw new RangeError(`backend.${key}: ${shown(value)} ${advice}`);
}

function shown(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value.slice(0, 80)) : String(value);
}
