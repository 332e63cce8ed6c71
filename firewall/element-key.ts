import { type Address, addressToBytes } from "../net/address.ts";

/** IFNAMSIZ, <linux/if.h>. */
const NAME_BYTES = 16;

/** The numbers of <linux/in.h>. */
export const PROTOCOL_NUMBERS = { tcp: 6, udp: 17, sctp: 132 } as const;
export type PortProtocol = keyof typeof PROTOCOL_NUMBERS;

/** Parts of a concatenated key or value, as nf_tables compares them: each filled up with zeros to four bytes. */
export function concatenation(...parts: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(parts.map((part) => Buffer.concat([part, Buffer.alloc((4 - (part.length % 4)) % 4)])));
}

/** nft's type ifname. */
export function nameBytes(name: string): Uint8Array {
  const bytes = Buffer.alloc(NAME_BYTES);
  bytes.write(name);
  return bytes;
}

/** nft's type inet_proto. */
export function protocolBytes(protocol: PortProtocol): Uint8Array {
  return Uint8Array.of(PROTOCOL_NUMBERS[protocol]);
}

/** nft's type inet_service. */
export function portBytes(port: number): Uint8Array {
  return Uint8Array.of(port >> 8, port & 0xff);
}

/** `ADDRESS . PORT`. */
export function endpointBytes(address: Address, port: number): Uint8Array {
  return concatenation(addressToBytes(address), portBytes(port));
}
