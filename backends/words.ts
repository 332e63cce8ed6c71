import { BACKEND_TYPES, factsOf, typesWith } from "./backend.ts";
import { MODES, type Mode } from "./facts.ts";

/** `a, b or c` */
export function oneOf(words: readonly string[], last = "or"): string {
  const [end = "", ...before] = [...words].reverse();
  return before.length === 0 ? end : `${before.reverse().join(", ")} ${last} ${end}`;
}

/** Every mode there is. */
export const MODE_CHOICES = Object.keys(MODES) as readonly Mode[];

/** Every tunnel that some backend lets networks choose. */
export const TUNNEL_CHOICES: readonly string[] = [
  ...new Set(BACKEND_TYPES.flatMap((type) => factsOf(type)?.tunnels ?? [])),
];

/** A line a backend. */
export function aboutBackends(): string {
  const width = Math.max(...BACKEND_TYPES.map(({ length }) => length));
  return BACKEND_TYPES.map((type) => `  ${type.padEnd(width)}  ${factsOf(type)?.about ?? ""}`).join("\n");
}

/** `of vxlan, gre, ipip and ovs: flow (…) or static (…); of ovs also both (…)` */
export function modeWords(): string {
  const types = typesWith("mode");
  const having = (mode: string) => types.filter((type) => factsOf(type)?.modes.some((each) => each === mode));
  const told = (mode: Mode) => `${mode} (${MODES[mode]})`;
  const common = MODE_CHOICES.filter((mode) => having(mode).length === types.length);
  const rare = MODE_CHOICES.filter((mode) => !common.includes(mode));
  const more = rare.map((mode) => `; of ${oneOf(having(mode), "and")} also ${told(mode)}`);
  return `of ${oneOf(types, "and")}: ${oneOf(common.map(told))}${more.join("")}`;
}

/** `of ovs: vxlan, gre or geneve` */
export function tunnelWords(): string {
  return `of ${oneOf(typesWith("tunnel"), "and")}: ${oneOf(TUNNEL_CHOICES)}`;
}

/** `network identifier of vxlan and ovs, key of gre in mode static` */
export function vniWords(): string {
  const names = new Map<string, string[]>();
  for (const type of typesWith("vni")) {
    const { vniName = "number", wires = {} } = factsOf(type) ?? {};
    const all = Object.entries(wires);
    const numbered = all.filter(([, { vni }]) => vni !== undefined).map(([way]) => way);
    const where = numbered.length === all.length ? type : `${type} in mode ${oneOf(numbered)}`;
    names.set(vniName, [...(names.get(vniName) ?? []), where]);
  }
  return [...names].map(([name, where]) => `${name} of ${oneOf(where, "and")}`).join(", ");
}

/** `4790 for vxlan flow, …, 51820 for wireguard` */
export function portWords(): string {
  return BACKEND_TYPES.flatMap((type) =>
    Object.entries(factsOf(type)?.wires ?? {}).flatMap(([way, { port }]) =>
      port === undefined ? [] : [`${port} for ${way === "any" ? type : `${type} ${way}`}`],
    ),
  ).join(", ");
}
