import type { Lease__Output } from "../proto/gen/podwire/v1/Lease.ts";
import type { Network__Output } from "../proto/gen/podwire/v1/Network.ts";
import type { Subnet__Output } from "../proto/gen/podwire/v1/Subnet.ts";
import { type ClusterState, subnetKey } from "./cluster-state.ts";

/** What lies in the state folder: enough to go on after a restart without any controller. */
export interface SavedState {
  readonly state: ClusterState;
  /** Of the controller that was reached last: it decides which device is the underlay. */
  readonly controllerAddress: string | undefined;
}

/** Raised when what older agents wrote can no longer be read. */
const VERSION = 1;

/** One of each, for the types of their fields; the values are checked later, like those of a controller. */
const NETWORK = {
  name: "",
  cidrs: [""],
  ipv4SubnetLength: 0,
  ipv6SubnetLength: 0,
  masquerade: false,
  createdAt: 0,
} as const;
const SUBNET = {
  network: "",
  subnet: "",
  epoch: 0,
  nodeId: "",
  nodeName: "",
  addresses: [""],
  vtepMac: "",
  createdAt: 0,
} as const;
const LEASE = {
  network: "",
  state: "",
  reason: "",
  subnets: [{ subnet: "", epoch: 0 }],
  expiresAt: 0,
  ttlSeconds: 0,
} as const;
const KNOWN = { networks: [NETWORK], subnets: [SUBNET] } as const;
const FILE = { version: 0, revision: 0, ...KNOWN, leases: [LEASE] } as const;

export function encodeSavedState({ state, controllerAddress }: SavedState): string {
  const { revision, networks, subnets, leases, remembered } = state;
  return JSON.stringify({
    version: VERSION,
    revision,
    controllerAddress,
    networks: [...networks.values()],
    subnets: [...subnets.values()],
    leases: [...leases.values()],
    remembered: remembered && {
      until: remembered.until,
      networks: [...remembered.networks.values()],
      subnets: [...remembered.subnets.values()],
    },
  });
}

/** @throws Error saying why the text is not a state that this agent can use */
export function decodeSavedState(text: string): SavedState {
  const file: unknown = JSON.parse(text);
  const version = (file as { version?: unknown } | null)?.version;
  if (typeof version === "number" && version > VERSION)
    throw new Error(`it is of version ${version}, written by a newer agent; this one reads up to ${VERSION}`);
  const flaw = findFlaw(file, FILE, "");
  if (flaw !== undefined) throw new Error(`${flaw} is missing or of the wrong type`);
  const { revision, controllerAddress, leases, remembered, ...known } = file as Known & {
    revision: number;
    controllerAddress?: unknown;
    leases: Lease__Output[];
    remembered?: Known & { until: number };
  };
  const rememberedFlaw = remembered && findFlaw(remembered, { ...KNOWN, until: 0 }, "remembered");
  if (rememberedFlaw) throw new Error(`${rememberedFlaw} is missing or of the wrong type`);
  return {
    controllerAddress: typeof controllerAddress === "string" ? controllerAddress : undefined,
    state: {
      revision,
      ...maps(known),
      leases: new Map(leases.map((lease) => [lease.network, lease])),
      remembered: remembered && { until: remembered.until, ...maps(remembered) },
    },
  };
}

interface Known {
  readonly networks: Network__Output[];
  readonly subnets: Subnet__Output[];
}

function maps({ networks, subnets }: Known) {
  return {
    networks: new Map(networks.map((network) => [network.name, network])),
    subnets: new Map(subnets.map((subnet) => [subnetKey(subnet), subnet])),
  };
}

/** The path of the first part whose type is not the sample's; of a list, every item is like the sample's one. */
function findFlaw(value: unknown, sample: unknown, path: string): string | undefined {
  if (Array.isArray(sample)) {
    if (!Array.isArray(value)) return path;
    return firstFlaw(value.map((item, i) => [item, sample[0], `${path}[${i}]`]));
  }
  if (typeof value !== typeof sample || value === null) return path === "" ? "the state" : path;
  if (typeof sample !== "object" || sample === null) return undefined;
  const fields = value as Record<string, unknown>;
  return firstFlaw(
    Object.entries(sample).map(([key, each]) => [fields[key], each, path === "" ? key : `${path}.${key}`]),
  );
}

function firstFlaw(parts: readonly (readonly [value: unknown, sample: unknown, path: string])[]): string | undefined {
  for (const part of parts) {
    const flaw = findFlaw(...part);
    if (flaw !== undefined) return flaw;
  }
  return undefined;
}
