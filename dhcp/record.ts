import { type Address, parseAddress } from "../net/address.ts";
import { type Mac, parseMac } from "../net/mac.ts";
import { type Prefix, parsePrefix } from "../net/prefix.ts";
import type { Client } from "./request.ts";
import type { Terms } from "./terms.ts";

/** What is kept of a lease: enough to ask for more time and to give it back, whoever got it. */
export interface LeaseRecord extends Pick<Terms, "renewAt" | "rebindAt" | "expiresAt"> {
  readonly network: string;
  readonly containerId: string;
  readonly ifName: string;
  /** CNI_NETNS of ADD, and the namespace's inode: another may have the path by now. */
  readonly netns: string;
  readonly netnsInode: bigint;
  readonly client: Client;
  readonly address: Prefix;
  readonly server: Address;
  /** Of the server, or of the relay that its answer came by. */
  readonly serverMac: Mac;
  /** Why the address must not be used any more. */
  readonly lost?: string;
}

/** The mark by which a file says that it is ours, and of which form. */
const MARK = "podwire dhcp lease 1";
/** Far more than a lease with the largest options takes. */
export const LARGEST_RECORD = 256 * 1024;

/** The record as JSON, on one line. */
export function encodeRecord(record: LeaseRecord): string {
  const { client, netnsInode, renewAt = null, rebindAt = null, expiresAt = null, ...plain } = record;
  const { clientId, provide, ...others } = client;
  return `${JSON.stringify({
    is: MARK,
    ...plain,
    netnsInode: String(netnsInode),
    client: {
      ...others,
      clientId: hex(clientId),
      provide: Object.fromEntries([...provide].map(([code, value]) => [code, hex(value)])),
    },
    renewAt,
    rebindAt,
    expiresAt,
  })}\n`;
}

/**
 * Reads a record.
 * @throws RangeError for what is none of ours
 */
export function decodeRecord(text: string): LeaseRecord {
  const { is, ...fields } = objectOf(parse(text), "the file");
  if (is !== MARK) throw new RangeError(`it is not marked ${JSON.stringify(MARK)}`);
  const { lost } = fields;
  return {
    network: textOf(fields.network, "network"),
    containerId: textOf(fields.containerId, "containerId"),
    ifName: textOf(fields.ifName, "ifName"),
    netns: textOf(fields.netns, "netns"),
    netnsInode: inodeOf(fields.netnsInode),
    client: clientOf(fields.client),
    address: parsePrefix(textOf(fields.address, "address")),
    server: parseAddress(textOf(fields.server, "server")),
    serverMac: parseMac(textOf(fields.serverMac, "serverMac")),
    renewAt: timeOf(fields.renewAt, "renewAt"),
    rebindAt: timeOf(fields.rebindAt, "rebindAt"),
    expiresAt: timeOf(fields.expiresAt, "expiresAt"),
    ...(lost === undefined ? {} : { lost: textOf(lost, "lost") }),
  };
}

function clientOf(value: unknown): Client {
  const { mac, clientId, provide, request, broadcast } = objectOf(value, "client");
  if (!Array.isArray(request) || !request.every(isByte)) throw new RangeError("client.request is no list of options");
  return {
    mac: parseMac(textOf(mac, "client.mac")),
    clientId: bytesOf(clientId, "client.clientId"),
    provide: new Map(
      Object.entries(objectOf(provide, "client.provide")).map(([code, bytes]) => [
        Number(code),
        bytesOf(bytes, "client.provide"),
      ]),
    ),
    request,
    broadcast: broadcast === true,
  };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new RangeError("it is no JSON");
  }
}

function objectOf(value: unknown, what: string): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new RangeError(`${what} is no object`);
}

function textOf(value: unknown, what: string): string {
  if (typeof value === "string" && value !== "") return value;
  throw new RangeError(`${what} is no text`);
}

function timeOf(value: unknown, what: string): number | undefined {
  if (value === null) return undefined;
  if (typeof value === "number" && Number.isFinite(value)) return value;
  throw new RangeError(`${what} is no time`);
}

function inodeOf(value: unknown): bigint {
  const text = textOf(value, "netnsInode");
  if (/^\d{1,20}$/.test(text)) return BigInt(text);
  throw new RangeError("netnsInode is no number");
}

function isByte(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 255;
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function bytesOf(value: unknown, what: string): Uint8Array {
  if (typeof value !== "string" || !/^(?:[0-9a-f]{2}){0,255}$/.test(value)) throw new RangeError(`${what} is no bytes`);
  return Uint8Array.from(value.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}
