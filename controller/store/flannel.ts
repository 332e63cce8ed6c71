import type { Etcd3, IKeyValue } from "etcd3";
import { contains, type Prefix, prefixFamily, prefixLength } from "../../net/prefix.ts";
import { invalid, RequestError } from "../core/error.ts";
import {
  checkNetwork,
  checkSubnet,
  type NetworkRecord,
  networkKey,
  type SubnetRecord,
  subnetKey,
} from "../core/record.ts";
import { checkPrefix } from "../core/validate.ts";
import { type EtcdOptions, endOfPrefix, openEtcdClient } from "./etcd.ts";
import { type Store, StoreUnavailableError } from "./store.ts";

/** How much was taken over. */
export interface FlannelCount {
  readonly leases: number;
  readonly reservations: number;
  /** Keys that are not what flannel writes, or that the store had already. */
  readonly skipped: number;
}

/** A lease of flannel: one subnet a family, and seconds left; undefined: it never expires. */
export interface FlannelLease {
  readonly subnets: readonly { readonly subnet: Prefix; readonly vtepMac?: string }[];
  readonly addresses: readonly string[];
  readonly secondsLeft?: number;
}

/**
 * Reads `PREFIX/config` and `PREFIX/subnets/*` as flannel keeps them in etcd and writes them to the store: a network in
 * flannel's wire format, and subnets that wait for the node with the lease's address. Repeating it adds what is new.
 * @throws RequestError when the configuration is not one that we can serve
 * @throws StoreUnavailableError
 */
export async function importFlannel(
  store: Store,
  options: EtcdOptions,
  name: string,
  now: number,
): Promise<FlannelCount> {
  const { config, leases, skipped } = await readFlannel(options);
  const network = flannelNetwork(config, now);
  await putNew(store, networkKey(name), network);
  const count = { leases: 0, reservations: 0, skipped };
  for (const lease of leases) {
    for (const { subnet, vtepMac } of lease.subnets) {
      const isOurs =
        network.cidrs.some((cidr) => contains(cidr, subnet)) &&
        prefixLength(subnet) === network.subnetLengths[prefixFamily(subnet)];
      const record = isOurs ? tryCheck({ lease, vtepMac, now }) : undefined;
      const isNew = record !== undefined && (await putNew(store, subnetKey(name, subnet), record));
      if (!isNew) count.skipped++;
      else if (record.reserved) count.reservations++;
      else count.leases++;
    }
  }
  return count;
}

/** The network that flannel's `config` describes. @throws RequestError */
export function flannelNetwork(config: object, now: number): NetworkRecord {
  const source = config as Record<string, unknown>;
  const cidrs = [
    ...(source.EnableIPv4 === false ? [] : [source.Network]),
    ...(source.EnableIPv6 === true ? [source.IPv6Network] : []),
  ];
  const backend = (source.Backend ?? {}) as Record<string, unknown>;
  const type = backend.Type;
  if (type !== "vxlan" && type !== "host-gw")
    invalid("config.Backend.Type", type, "cannot be taken over; change flannel to vxlan or host-gw first");
  return checkNetwork({
    cidrs,
    subnetLengths: { 4: source.SubnetLen || flannelSubnetLength(source.Network), 6: source.IPv6SubnetLen },
    backend: {
      type,
      mode: "static",
      vni: backend.VNI,
      port: backend.Port,
      directRouting: backend.DirectRouting,
      mtu: backend.MTU,
    },
    masquerade: true,
    createdAt: now,
  });
}

/** Reads one key such as `10.5.52.0-24&fc00::-64` and its value. @throws RequestError */
export function flannelLease(key: string, value: object, secondsLeft: number | undefined): FlannelLease {
  const source = value as Record<string, unknown>;
  const subnets = key.split("&").map((part) => {
    const subnet = checkPrefix("key", part.replace(/-(\d+)$/, "/$1"));
    const data = source[prefixFamily(subnet) === 4 ? "BackendData" : "BackendV6Data"] as
      | { VtepMAC?: string }
      | null
      | undefined;
    return { subnet, ...(data?.VtepMAC ? { vtepMac: data.VtepMAC } : {}) };
  });
  const addresses = [source.PublicIP, source.PublicIPv6].filter(
    (one): one is string => typeof one === "string" && one !== "" && one !== "0.0.0.0",
  );
  return { subnets, addresses, ...(secondsLeft === undefined ? {} : { secondsLeft }) };
}

async function readFlannel(options: EtcdOptions): Promise<{ config: object; leases: FlannelLease[]; skipped: number }> {
  const client = openEtcdClient(options);
  const prefix = (options.prefix ?? "").replace(/\/+$/, "");
  try {
    const found = await client.kv.range({ key: Buffer.from(`${prefix}/config`) });
    const config = found.kvs[0];
    if (config === undefined)
      return invalid("--import-flannel", prefix, "holds no flannel configuration: the key PREFIX/config is missing");
    const start = Buffer.from(`${prefix}/subnets/`);
    const listed = await client.kv.range({ key: start, range_end: endOfPrefix(start) });
    const leases: FlannelLease[] = [];
    for (const kv of listed.kvs) {
      const lease = await readLease(client, kv, kv.key.toString().slice(start.length));
      if (lease !== undefined) leases.push(lease);
    }
    return {
      config: parseObject("config", config.value.toString()),
      leases,
      skipped: listed.kvs.length - leases.length,
    };
  } catch (cause) {
    if (cause instanceof RequestError) throw cause;
    throw new StoreUnavailableError("cannot read flannel's keys from etcd", { cause });
  } finally {
    client.close();
  }
}

async function readLease(client: Etcd3, kv: IKeyValue, key: string): Promise<FlannelLease | undefined> {
  const left = kv.lease === "0" ? undefined : Number((await client.leaseClient.leaseTimeToLive({ ID: kv.lease })).TTL);
  try {
    return flannelLease(key, parseObject(key, kv.value.toString()), left);
  } catch (error) {
    if (error instanceof RequestError) return undefined;
    throw error;
  }
}

function tryCheck({
  lease,
  vtepMac,
  now,
}: {
  lease: FlannelLease;
  vtepMac: string | undefined;
  now: number;
}): SubnetRecord | undefined {
  const reserved = lease.secondsLeft === undefined;
  try {
    return checkSubnet({
      nodeId: "",
      nodeName: "",
      addresses: lease.addresses,
      vtepMac,
      reserved,
      expiresAt: reserved ? 0 : now + Math.max(1, lease.secondsLeft ?? 0) * 1000,
      createdAt: now,
    });
  } catch (error) {
    if (error instanceof RequestError) return undefined;
    throw error;
  }
}

async function putNew(store: Store, key: string, record: object): Promise<boolean> {
  const { succeeded } = await store.transact({
    when: [{ key, createRevision: 0 }],
    change: [{ put: key, value: JSON.stringify(record) }],
  });
  return succeeded;
}

/** flannel's rule: 24, or two more bits than a network that is longer than /22, and never longer than /28 then. */
function flannelSubnetLength(network: unknown): number {
  const length = typeof network === "string" ? prefixLength(checkPrefix("config.Network", network)) : 0;
  return length > 22 ? length + 2 : 24;
}

function parseObject(key: string, text: string): object {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null) return value;
  } catch (cause) {
    throw new RequestError("INVALID_ARGUMENT", `${key}: is not JSON`, { cause });
  }
  return invalid(key, text, "is not a JSON object");
}
