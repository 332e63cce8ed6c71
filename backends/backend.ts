import type { BackendFacts, Wire } from "./facts.ts";
import { BACKENDS } from "./table.ts";

export type BackendType = keyof typeof BACKENDS;

/** Never: the type has none. */
type ModeOf<T extends BackendType> = (typeof BACKENDS)[T]["modes"][number];
type TunnelOf<T extends BackendType> = (typeof BACKENDS)[T] extends { readonly tunnels: readonly (infer Tunnel)[] }
  ? Tunnel
  : never;

/** A choice that is there for the types that have it, and for no other. */
type Chosen<Key extends string, Value> = [Value] extends [never]
  ? { readonly [K in Key]?: never }
  : { readonly [K in Key]: Value };

/** A network's backend, checked, with its defaults; see check.ts. */
export type Backend<T extends BackendType = BackendType> = T extends BackendType
  ? { readonly type: T } & Chosen<"mode", ModeOf<T>> &
      Chosen<"tunnel", TunnelOf<T>> & {
        /** The network's number, 1..16777215; 0 where packets carry none. */
        readonly vni: number;
        /** UDP; 0 where packets have none. */
        readonly port: number;
        /** Peers on our own segment are reached without a tunnel. */
        readonly directRouting: boolean;
        /** Upper bound of the pods' MTU in bytes; 0: computed from the underlay alone. */
        readonly mtu: number;
      }
  : never;

/** What names one kind of a backend; as in messages, "" is as good as absent. */
export interface BackendKind {
  readonly type: string;
  readonly mode?: string | undefined;
  readonly tunnel?: string | undefined;
}

const FACTS: ReadonlyMap<string, BackendFacts> = new Map(Object.entries(BACKENDS));

/** All types, in the table's order. */
export const BACKEND_TYPES: readonly string[] = [...FACTS.keys()];

/** What is known of a type; undefined: nothing, as of one that a newer program has. */
export function factsOf(type: string): BackendFacts | undefined {
  return FACTS.get(type);
}

/** What its packets are like; undefined when the pods' go as they are, or nothing is known of it. */
export function wireOf({ type, mode, tunnel }: BackendKind): Wire | undefined {
  return factsOf(type)?.wires[tunnel || mode || "any"];
}

/** As nodes say what they can do: `gre/flow`, `host-gw`. */
export function backendName({ type, mode }: BackendKind): string {
  return mode ? `${type}/${mode}` : type;
}

/** {@link backendName} of every kind that this maker's devices serve. */
export function backendNames(maker: BackendFacts["maker"]): string[] {
  return kindsOf(maker).map(backendName);
}

/** A type without a mode, or each mode of a type. */
export function kindsOf(maker: BackendFacts["maker"]): BackendKind[] {
  return [...FACTS].flatMap(([type, facts]) => {
    if (facts.maker !== maker) return [];
    return facts.modes.length === 0 ? [{ type }] : facts.modes.map((mode) => ({ type, mode }));
  });
}

/** Keys of a network's backend that are not for every type. */
export type OptionalKey = "mode" | "tunnel" | "vni" | "port" | "directRouting";

/** The types that a key means something to. */
export function typesWith(key: OptionalKey): string[] {
  return BACKEND_TYPES.filter((type) => hasKey(factsOf(type), key));
}

function hasKey(facts: BackendFacts | undefined, key: OptionalKey): boolean {
  if (facts === undefined) return false;
  if (key === "mode") return facts.modes.length > 0;
  if (key === "tunnel") return facts.tunnels !== undefined;
  const wires = Object.values(facts.wires);
  return key === "directRouting" ? wires.length > 0 : wires.some((wire) => wire[key] !== undefined);
}

type DeviceKinds = { [T in BackendType]: keyof (typeof BACKENDS)[T]["devices"] }[BackendType];
/** Kinds of devices that the kernel makes for backends. */
export type DeviceKind = Extract<DeviceKinds, string>;

const KERNEL_OPTIONS: ReadonlyMap<string, string> = new Map(
  [...FACTS.values()].flatMap(({ devices }) => Object.entries(devices)),
);

/** {@link DeviceKind}, all of them. */
export const DEVICE_KINDS: ReadonlySet<string> = new Set(KERNEL_OPTIONS.keys());

/** What a kernel was built with that makes such devices; a module of it is loaded when the first is asked for. */
export function kernelOption(kind: DeviceKind): string {
  return KERNEL_OPTIONS.get(kind) ?? "";
}
