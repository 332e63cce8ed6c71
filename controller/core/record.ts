import type { Backend } from "../../backends/backend.ts";
import { checkBackend as checkAnyBackend } from "../../backends/check.ts";
import type { Address, Family } from "../../net/address.ts";
import type { Mac } from "../../net/mac.ts";
import { type Prefix, prefixFamily } from "../../net/prefix.ts";
import type { WireguardPublicKey } from "../../net/wireguard-key.ts";
import { invalid, RequestError, refusing } from "./error.ts";
import {
  checkCidrs,
  checkInteger,
  checkList,
  checkMac,
  checkName,
  checkNodeAddresses,
  checkPrefix,
  checkPublicKey,
  checkSubnetLength,
  checkText,
} from "./validate.ts";

/** networks/NAME */
export interface NetworkRecord {
  readonly cidrs: readonly Prefix[];
  /** Length of a node's subnet, for the families of `cidrs`. */
  readonly subnetLengths: { readonly [F in Family]?: number };
  readonly backend: BackendRecord;
  readonly masquerade: boolean;
  readonly createdAt: number;
  /** Grows with each change of the backend; 0 until the first. */
  readonly generation: number;
  /** The generation from which a node takes the backend's packets. */
  readonly backendSince: number;
  /** While a change is under way: the backend that was, and is received still. */
  readonly previous?: { readonly backend: BackendRecord; readonly since: number };
}

/** Checked, with its defaults. */
export type BackendRecord = Backend;

/** nodes/ID */
export interface NodeRecord {
  readonly name: string;
  readonly addresses: readonly Address[];
  readonly backends: readonly string[];
  readonly version: string;
  readonly bootId: string;
  readonly createdAt: number;
  /** Of its WireGuard; "": it has told none. */
  readonly publicKey: WireguardPublicKey | "";
  /** The newest secret of which it has its preshared keys; see pair-keys.ts. 0: none. */
  readonly secretsEpoch: number;
}

/** subnets/NETWORK/SUBNET: a lease or a reservation. */
export interface SubnetRecord {
  /** "": reserved for whoever has the name or an address below, or for nobody. */
  readonly nodeId: string;
  readonly nodeName: string;
  readonly addresses: readonly Address[];
  readonly vtepMac?: Mac;
  /** Its node's; "": none. */
  readonly publicKey: WireguardPublicKey | "";
  /** Never expires. */
  readonly reserved: boolean;
  /** Milliseconds since the Unix epoch; 0 never. */
  readonly expiresAt: number;
  readonly createdAt: number;
  /** While the network's backend is changed: the generation whose packets the node takes; absent: none yet. */
  readonly receives?: number;
  /** The generation with whose backend it sends to every peer. */
  readonly sends?: number;
}

/** released/NETWORK/SUBNET: an administrator took this lease away; its old owner is told so. Forgotten after a lease's time. */
export interface ReleaseRecord {
  readonly nodeId: string;
  readonly epoch: number;
  readonly releasedAt: number;
}

export const KEYS = {
  networks: "networks/",
  nodes: "nodes/",
  subnets: "subnets/",
  released: "released/",
  secrets: "secrets/",
} as const;

export function networkKey(name: string): string {
  return `${KEYS.networks}${name}`;
}

export function nodeKey(id: string): string {
  return `${KEYS.nodes}${id}`;
}

export function subnetKey(network: string, subnet: Prefix): string {
  return `${KEYS.subnets}${subnetPath(network, subnet)}`;
}

export function releaseKey(network: string, subnet: Prefix): string {
  return `${KEYS.released}${subnetPath(network, subnet)}`;
}

function subnetPath(network: string, subnet: Prefix): string {
  return `${network}/${subnet.replace("/", "-")}`;
}

/** Reads what {@link subnetKey} or {@link releaseKey} wrote after its first part. @throws RequestError */
export function parseSubnetPath(path: string): { network: string; subnet: Prefix } {
  const [network, subnet, ...rest] = path.split("/");
  if (subnet === undefined || rest.length > 0) return invalid("key", path, "is not NETWORK/SUBNET");
  const parsed = checkPrefix("key", subnet.replace(/-(\d+)$/, "/$1"));
  if (parsed.replace("/", "-") !== subnet) return invalid("key", path, "is not in canonical form");
  return { network: checkName("key", network), subnet: parsed };
}

/** Reads a network from a request or the store; fills defaults (lengths 24 and 64, those of backends). @throws RequestError */
export function checkNetwork(value: object): NetworkRecord {
  const source = value as Record<string, unknown>;
  const cidrs = checkCidrs("cidrs", source.cidrs);
  const lengths = objectAt(source, "subnetLengths");
  const subnetLengths = Object.fromEntries(
    cidrs.map((cidr) => {
      const family = prefixFamily(cidr);
      return [
        family,
        checkSubnetLength(`subnet length of ${cidr}`, lengths[family] || DEFAULT_SUBNET_LENGTH[family], cidr),
      ];
    }),
  );
  const backend = checkBackend(objectAt(source, "backend"), cidrs);
  const previous = source.previous === undefined ? undefined : objectAt(source, "previous");
  return {
    cidrs,
    subnetLengths,
    backend,
    masquerade: source.masquerade === true,
    createdAt: checkTime("createdAt", source.createdAt),
    generation: checkTime("generation", source.generation ?? 0),
    backendSince: checkTime("backendSince", source.backendSince ?? 0),
    ...(previous && {
      previous: {
        backend: checkBackend(objectAt(previous, "backend"), cidrs),
        since: checkTime("previous.since", previous.since),
      },
    }),
  };
}

const DEFAULT_SUBNET_LENGTH = { 4: 24, 6: 64 } as const;

/** Reads the backend of a network with those CIDRs; fills defaults. @throws RequestError */
export function checkBackend(value: object, cidrs: readonly Prefix[]): BackendRecord {
  return refusing(() => checkAnyBackend(value, cidrs));
}

/** Reads a node's record. @throws RequestError */
export function checkNode(value: object): NodeRecord {
  const source = value as Record<string, unknown>;
  return {
    name: checkName("name", source.name, 253),
    addresses: checkNodeAddresses("addresses", source.addresses),
    backends: checkList("backends", source.backends, 16, (key, item) => checkText(key, item, 64)),
    version: checkText("version", source.version, 64),
    bootId: checkText("bootId", source.bootId, 64),
    createdAt: checkTime("createdAt", source.createdAt),
    publicKey: checkPublicKey("publicKey", source.publicKey),
    secretsEpoch: checkTime("secretsEpoch", source.secretsEpoch ?? 0),
  };
}

/** Reads a subnet's record. @throws RequestError */
export function checkSubnet(value: object): SubnetRecord {
  const source = value as Record<string, unknown>;
  const nodeId = source.nodeId === "" ? "" : checkName("nodeId", source.nodeId, 253);
  const nodeName = source.nodeName === "" ? "" : checkName("nodeName", source.nodeName, 253);
  return {
    nodeId,
    nodeName,
    addresses: checkNodeAddresses("addresses", source.addresses),
    ...(source.vtepMac === undefined ? {} : { vtepMac: checkMac("vtepMac", source.vtepMac) }),
    publicKey: checkPublicKey("publicKey", source.publicKey),
    reserved: source.reserved === true,
    expiresAt: checkTime("expiresAt", source.expiresAt),
    createdAt: checkTime("createdAt", source.createdAt),
    ...(source.receives === undefined ? {} : { receives: checkTime("receives", source.receives) }),
    ...(source.sends === undefined ? {} : { sends: checkTime("sends", source.sends) }),
  };
}

/** Reads a release's record. @throws RequestError */
export function checkRelease(value: object): ReleaseRecord {
  const source = value as Record<string, unknown>;
  return {
    nodeId: checkName("nodeId", source.nodeId, 253),
    epoch: checkTime("epoch", source.epoch),
    releasedAt: checkTime("releasedAt", source.releasedAt),
  };
}

/** Reads a value of the store. @throws RequestError when it is not what we write there. */
export function decodeRecord<T>(text: string, check: (value: object) => T): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new RequestError("INVALID_ARGUMENT", "value is not JSON", { cause });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return invalid("value", text, "is not a JSON object");
  return check(value);
}

function checkTime(key: string, value: unknown): number {
  return checkInteger(key, value, 0, Number.MAX_SAFE_INTEGER);
}

function objectAt(source: Record<string, unknown>, key: string): Record<string, unknown> {
  const value = source[key] ?? {};
  if (typeof value !== "object" || Array.isArray(value)) return invalid(key, value, "is not an object");
  return value as Record<string, unknown>;
}
