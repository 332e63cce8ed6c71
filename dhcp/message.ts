import { type Address, addressFromBytes, addressToBytes, parseAddress } from "../net/address.ts";
import { type Mac, macFromBytes, macToBytes } from "../net/mac.ts";

/** Option 53, RFC 2132 section 9.6. */
export const MessageType = { discover: 1, offer: 2, request: 3, decline: 4, ack: 5, nak: 6, release: 7 } as const;

/** Options of RFC 2132 and RFC 3442 that we know by name. */
export const Option = {
  pad: 0,
  subnetMask: 1,
  routers: 3,
  hostName: 12,
  staticRoutes: 33,
  requestedAddress: 50,
  leaseTime: 51,
  overload: 52,
  messageType: 53,
  server: 54,
  parameterRequest: 55,
  message: 56,
  renewalTime: 58,
  rebindingTime: 59,
  vendorClass: 60,
  clientId: 61,
  userClass: 77,
  classlessRoutes: 121,
  end: 255,
} as const;

/** Options by number; RFC 3396 puts the parts of a long one together. */
export type Options = ReadonlyMap<number, Uint8Array>;

/** A DHCP message, RFC 2131 section 2; sname and file are not for us. */
export interface DhcpMessage {
  readonly op: "request" | "reply";
  /** Of one transaction, 32 bits. */
  readonly xid: number;
  /** Seconds since the client began. */
  readonly secs: number;
  /** The client cannot receive unicast before it has its address. */
  readonly broadcast: boolean;
  readonly ciaddr: Address;
  readonly yiaddr: Address;
  readonly siaddr: Address;
  readonly giaddr: Address;
  readonly chaddr: Mac;
  readonly options: Options;
}

export const ANY = parseAddress("0.0.0.0");

const ETHERNET = 1;
const MAC_BYTES = 6;
const COOKIE = 0x63825363;
const BROADCAST = 0x8000;
const OPS = { request: 1, reply: 2 } as const;
const [SECS, FLAGS, ADDRESSES, CHADDR, SNAME, FILE, COOKIE_AT, OPTIONS] = [8, 10, 12, 28, 44, 108, 236, 240];
/** BOOTP's size, which relays and servers may insist on (RFC 1542 section 2.1). */
const SHORTEST = 300;

/**
 * The message in network byte order.
 * @throws RangeError for an option of more than 255 bytes
 */
export function encodeMessage(message: DhcpMessage): Uint8Array {
  const length = [...message.options.values()].reduce((sum, value) => sum + 2 + value.length, OPTIONS + 1);
  const bytes = new Uint8Array(Math.max(SHORTEST, length));
  const view = new DataView(bytes.buffer);
  bytes.set([OPS[message.op], ETHERNET, MAC_BYTES]);
  view.setUint32(4, message.xid);
  view.setUint16(SECS, Math.min(message.secs, 0xffff));
  view.setUint16(FLAGS, message.broadcast ? BROADCAST : 0);
  const { ciaddr, yiaddr, siaddr, giaddr } = message;
  [ciaddr, yiaddr, siaddr, giaddr].forEach((address, i) => void bytes.set(addressToBytes(address), ADDRESSES + 4 * i));
  bytes.set(macToBytes(message.chaddr), CHADDR);
  view.setUint32(COOKIE_AT, COOKIE);
  let at = OPTIONS;
  for (const [code, value] of message.options) {
    if (value.length > 255) throw new RangeError(`option ${code} has ${value.length} bytes; 255 at most`);
    bytes.set([code, value.length], at);
    bytes.set(value, at + 2);
    at += 2 + value.length;
  }
  bytes[at] = Option.end;
  return bytes;
}

/**
 * Reads a message.
 * @throws RangeError for what is no DHCP message over Ethernet, or one that is cut off
 */
export function decodeMessage(bytes: Uint8Array): DhcpMessage {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.length < OPTIONS || view.getUint32(COOKIE_AT) !== COOKIE) throw new RangeError("not a DHCP message");
  const [op, hardware, length] = bytes;
  if ((op !== 1 && op !== 2) || hardware !== ETHERNET || length !== MAC_BYTES) {
    throw new RangeError(`op ${op}, hardware type ${hardware} and address length ${length} are not DHCP over Ethernet`);
  }
  const address = (index: number) => addressFromBytes(bytes.subarray(ADDRESSES + 4 * index, ADDRESSES + 4 * index + 4));
  return {
    op: op === OPS.request ? "request" : "reply",
    xid: view.getUint32(4),
    secs: view.getUint16(SECS),
    broadcast: (view.getUint16(FLAGS) & BROADCAST) !== 0,
    ciaddr: address(0),
    yiaddr: address(1),
    siaddr: address(2),
    giaddr: address(3),
    chaddr: macFromBytes(bytes.subarray(CHADDR, CHADDR + MAC_BYTES)),
    options: decodeOptions(bytes),
  };
}

/** The message's type; undefined for BOOTP, which has none. */
export function typeOf({ options }: Pick<DhcpMessage, "options">): number | undefined {
  return options.get(Option.messageType)?.[0];
}

/** The options field, then file and sname where option 52 says that they hold options too. */
function decodeOptions(bytes: Uint8Array): Options {
  const parts = new Map<number, Uint8Array[]>();
  readOptions(bytes.subarray(OPTIONS), parts);
  const overload = parts.get(Option.overload)?.[0]?.[0] ?? 0;
  if ((overload & 1) !== 0) readOptions(bytes.subarray(FILE, COOKIE_AT), parts);
  if ((overload & 2) !== 0) readOptions(bytes.subarray(SNAME, FILE), parts);
  return new Map([...parts].map(([code, values]) => [code, concatenate(values)]));
}

function readOptions(field: Uint8Array, into: Map<number, Uint8Array[]>): void {
  for (let at = 0; at < field.length; ) {
    const code = field[at];
    if (code === undefined || code === Option.end) return;
    if (code === Option.pad) {
      at += 1;
      continue;
    }
    const length = field[at + 1];
    if (length === undefined || at + 2 + length > field.length) throw new RangeError(`option ${code} is cut off`);
    const known = into.get(code);
    const value = field.slice(at + 2, at + 2 + length);
    if (known === undefined) into.set(code, [value]);
    else known.push(value);
    at += 2 + length;
  }
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const [first] = parts;
  if (first !== undefined && parts.length === 1) return first;
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
