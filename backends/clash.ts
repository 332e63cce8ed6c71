import { type Backend, factsOf, wireOf } from "./backend.ts";

/**
 * Why a node cannot have both backends, of two networks or of one that is being changed; undefined: it can.
 * @param holder whose the second is, such as `network "pods"`
 */
export function clashOf(a: Backend, b: Backend, holder: string): string | undefined {
  if (factsOf(a.type)?.oneMode === true && a.type === b.type && a.mode !== b.mode) {
    const why = `networks of type ${a.type} share their tunnels, so use ${b.mode}`;
    return `backend.mode: "${a.mode}" is not that of ${holder}; ${why}`;
  }
  if (a.port === 0 || a.port !== b.port || wireOf(a) === wireOf(b)) return undefined;
  const differs = tunnelName(a) === tunnelName(b) ? ` in mode ${b.mode}` : `, which is of type ${tunnelName(b)}`;
  return `backend.port: ${a.port} serves ${holder}${differs}; choose another port`;
}

/**
 * Whether two networks with those backends must bear different numbers: "device" when one node cannot have both otherwise,
 * "packet" when nothing but their packets would be mistaken for one another.
 */
export function numbersApart(a: Backend, b: Backend): "device" | "packet" | undefined {
  const wire = wireOf(a);
  if (wire?.vni === undefined || wire !== wireOf(b)) return undefined;
  return wire.vni === "device" || a.port === b.port ? wire.vni : undefined;
}

function tunnelName({ type, tunnel }: Backend): string {
  return tunnel === undefined ? type : `${type} ${tunnel}`;
}
