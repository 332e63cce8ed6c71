import { invalid } from "./error.ts";
import type { BackendRecord } from "./record.ts";
import type { Network } from "./state.ts";

/** A backend in use, and the network that uses it. */
interface Use {
  readonly name: string;
  readonly backend: BackendRecord;
}

/**
 * The backend with a VNI that is free when none was asked for. Two tunnels of one port (or keyed ones of GRE) must differ in their
 * VNI, and a port serves one mode only, as ipip does.
 * @param networks those that exist; a network whose backend is changed counts with both
 * @throws RequestError INVALID_ARGUMENT naming the network in the way
 */
export function withFreeVni(
  backend: BackendRecord,
  networks: Iterable<Network>,
  asked: { readonly vni?: number },
): BackendRecord {
  const inUse = [...networks].flatMap(uses);
  refuseSharedPort(backend, inUse);
  if (backend.type === "host-gw" || (backend.type === "gre" && backend.mode === "flow")) return backend;
  if (backend.type === "wireguard") return backend; // networks of one port share a device and its peers
  const others = inUse.filter(
    ({ backend: other }) =>
      (other.port === backend.port || backend.type === "ovs") &&
      other.type === backend.type &&
      other.tunnel === backend.tunnel &&
      (backend.type !== "gre" || other.mode === backend.mode),
  );
  const mixed = others.find((other) => other.backend.mode !== backend.mode);
  if (mixed !== undefined && backend.type !== "ovs") return refuseMixed(backend, mixed);
  if (backend.type === "ipip") return backend;
  const taken = new Map(others.map((other) => [other.backend.vni, other.name]));
  let { vni } = backend;
  while (!asked.vni && taken.has(vni)) vni++;
  const holder = taken.get(vni);
  const where = backend.type === "vxlan" ? ` on port ${backend.port}` : "";
  if (holder !== undefined) invalid("backend.vni", vni, `is used by network "${holder}"${where}; choose another or 0`);
  return { ...backend, vni };
}

/** Open vSwitch and the kernel's own VXLAN cannot both have a UDP port, nor VXLAN and Geneve. */
function refuseSharedPort(backend: BackendRecord, inUse: readonly Use[]): void {
  const kind = ({ type, tunnel }: BackendRecord) => (tunnel === undefined ? type : `${type} ${tunnel}`);
  for (const { name, backend: other } of inUse) {
    if (backend.port === 0 || other.port !== backend.port || kind(other) === kind(backend)) continue;
    const why = `serves network "${name}", which is of type ${kind(other)}; choose another port`;
    invalid("backend.port", backend.port, why);
  }
}

function uses({ name, backend, previous }: Network): Use[] {
  return [{ name, backend }, ...(previous === undefined ? [] : [{ name, backend: previous.backend }])];
}

function refuseMixed(backend: BackendRecord, other: Use): never {
  const mode = other.backend.mode ?? "";
  if (backend.type === "ipip") {
    const why = `is not that of network "${other.name}"; networks of type ipip share their tunnels, so use ${mode}`;
    return invalid("backend.mode", backend.mode, why);
  }
  return invalid("backend.port", backend.port, `serves network "${other.name}" in mode ${mode}; choose another port`);
}
