import { type Address, addressToBytes, parseAddress } from "../net/address.ts";
import type { Mac } from "../net/mac.ts";
import { ANY, type DhcpMessage, MessageType, Option } from "./message.ts";

/** Who asks, and for what: the same for all messages of an attachment. */
export interface Client {
  readonly mac: Mac;
  /** Option 61, its type byte included. */
  readonly clientId: Uint8Array;
  /** Further options that are told, by number. */
  readonly provide: ReadonlyMap<number, Uint8Array>;
  /** Option 55: what the server is asked to tell. */
  readonly request: readonly number[];
  readonly broadcast: boolean;
}

/** A message and where it goes. */
export interface Outgoing {
  readonly message: DhcpMessage;
  readonly from: Address;
  readonly to: Address;
}

export interface Transaction {
  readonly xid: number;
  /** Since the client began. */
  readonly secs: number;
}

/** An address, and whose it is to give. */
export interface Leased {
  readonly address: Address;
  readonly server: Address;
}

export const EVERYBODY = parseAddress("255.255.255.255");

/** Asks all servers for an offer (RFC 2131 section 4.4.1). */
export function discover(client: Client, transaction: Transaction): Outgoing {
  return { message: message(client, transaction, MessageType.discover), from: ANY, to: EVERYBODY };
}

/** Takes the offer (RFC 2131 section 4.3.2, SELECTING): to all, so that other servers hear that theirs are not taken. */
export function select(client: Client, transaction: Transaction, { address, server }: Leased): Outgoing {
  const extra = new Map<number, Uint8Array>([
    [Option.requestedAddress, addressToBytes(address)],
    [Option.server, addressToBytes(server)],
  ]);
  return { message: message(client, transaction, MessageType.request, ANY, extra), from: ANY, to: EVERYBODY };
}

/** Asks for more time: the server (RFC 2131 section 4.3.2, RENEWING), or without one any (REBINDING). */
export function extend(
  client: Client,
  transaction: Transaction,
  { address, server }: { readonly address: Address; readonly server: Address | undefined },
): Outgoing {
  return {
    message: message(client, transaction, MessageType.request, address),
    from: address,
    to: server ?? EVERYBODY,
  };
}

/** Says that the address is not used any more (RFC 2131 section 4.4.6). Nobody answers. */
export function release(client: Client, xid: number, { address, server }: Leased): Outgoing {
  const options = new Map<number, Uint8Array>([
    [Option.messageType, Uint8Array.of(MessageType.release)],
    [Option.server, addressToBytes(server)],
    [Option.clientId, client.clientId],
  ]);
  const blank = message(client, { xid, secs: 0 }, MessageType.release, address);
  return { message: { ...blank, options }, from: address, to: server };
}

/** @param ciaddr the address, for who has one */
function message(
  client: Client,
  { xid, secs }: Transaction,
  type: number,
  ciaddr = ANY,
  extra: ReadonlyMap<number, Uint8Array> = new Map(),
): DhcpMessage {
  const options = new Map<number, Uint8Array>([[Option.messageType, Uint8Array.of(type)], ...extra]);
  options.set(Option.clientId, client.clientId);
  if (client.request.length > 0) options.set(Option.parameterRequest, Uint8Array.from(client.request));
  for (const [code, value] of client.provide) options.set(code, value);
  return {
    op: "request",
    xid,
    secs,
    broadcast: client.broadcast && ciaddr === ANY,
    ciaddr,
    yiaddr: ANY,
    siaddr: ANY,
    giaddr: ANY,
    chaddr: client.mac,
    options,
  };
}
