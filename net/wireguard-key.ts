declare const publicKeyBrand: unique symbol;

/**
 * The public half of a WireGuard key (X25519, RFC 7748) as wg(8) writes it: 32 bytes in base64. One key has one text, so
 * `===` and `Map` keys just work.
 */
export type WireguardPublicKey = string & { readonly [publicKeyBrand]: "WireguardPublicKey" };

/** Of public, private and preshared keys. */
export const WIREGUARD_KEY_BYTES = 32;

/** 43 characters, the last of which carries four bits, and the padding. */
const TEXT = /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/;

/** @throws RangeError when it is not 32 bytes in base64, or is the key of nobody */
export function parseWireguardPublicKey(text: string): WireguardPublicKey {
  if (!TEXT.test(text)) throw new RangeError("it is not a WireGuard public key: 32 bytes in base64, 44 characters");
  // With the point of order one for a partner everybody's shared secret is zero.
  if (/^A*=$/.test(text)) throw new RangeError("a WireGuard public key of zeros belongs to nobody");
  return text as WireguardPublicKey;
}

/** The key of those bytes. @throws RangeError unless they are 32 */
export function wireguardPublicKey(bytes: Uint8Array): WireguardPublicKey {
  if (bytes.length !== WIREGUARD_KEY_BYTES) throw new RangeError(`a WireGuard key has 32 bytes, not ${bytes.length}`);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64") as WireguardPublicKey;
}

/** Its 32 bytes. */
export function wireguardPublicKeyBytes(key: WireguardPublicKey): Uint8Array {
  return Buffer.from(key, "base64");
}
