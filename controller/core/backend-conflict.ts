import { clashOf, numbersApart } from "../../backends/clash.ts";
import { invalid, RequestError } from "./error.ts";
import type { BackendRecord } from "./record.ts";
import type { Network } from "./state.ts";

/**
 * The backend with a VNI that is free when none was asked for.
 * @param networks those that exist; a network whose backend is changed counts with both
 * @throws RequestError INVALID_ARGUMENT naming the network in the way
 */
export function withFreeVni(
  backend: BackendRecord,
  networks: Iterable<Network>,
  asked: { readonly vni?: number },
): BackendRecord {
  const taken = new Map<number, string>();
  for (const { name, backend: other } of [...networks].flatMap(uses)) {
    const clash = clashOf(backend, other, `network "${name}"`);
    if (clash !== undefined) throw new RequestError("INVALID_ARGUMENT", clash);
    const apart = numbersApart(backend, other);
    if (apart !== undefined) taken.set(other.vni, `"${name}"${apart === "packet" ? ` on port ${other.port}` : ""}`);
  }
  let { vni } = backend;
  while (!asked.vni && taken.has(vni)) vni++;
  const holder = taken.get(vni);
  if (holder !== undefined) invalid("backend.vni", vni, `is used by network ${holder}; choose another or 0`);
  return { ...backend, vni };
}

/** A backend in use, and the network that uses it. */
function uses({ name, backend, previous }: Network): { readonly name: string; readonly backend: BackendRecord }[] {
  return [{ name, backend }, ...(previous === undefined ? [] : [{ name, backend: previous.backend }])];
}
