import { createPrivateKey, createPublicKey, randomBytes, timingSafeEqual } from "node:crypto";
import { inspect } from "node:util";
import { WIREGUARD_KEY_BYTES, type WireguardPublicKey, wireguardPublicKey } from "../../net/wireguard-key.ts";

/** What a secret says of itself wherever it is printed. */
const SAID = "(secret)";

/** A private or preshared key. It can be compared and handed to the kernel; in a log, an error or JSON it says nothing. */
export class SecretKey {
  readonly #bytes: Uint8Array;

  /** @throws RangeError unless there are 32 bytes */
  constructor(bytes: Uint8Array) {
    if (bytes.length !== WIREGUARD_KEY_BYTES) throw new RangeError(`a WireGuard key has 32 bytes, not ${bytes.length}`);
    this.#bytes = Uint8Array.from(bytes);
  }

  /** Reads base64, as `wg genkey` and `wg genpsk` print it. @throws RangeError that does not repeat the text */
  static fromText(text: string): SecretKey {
    if (!/^[A-Za-z0-9+/]{43}=$/.test(text)) throw new RangeError("it is not 32 bytes in base64");
    return new SecretKey(Buffer.from(text, "base64"));
  }

  /** The key itself. */
  reveal(): Uint8Array {
    return this.#bytes;
  }

  /** The key in base64, for a file that root alone reads. */
  revealText(): string {
    return Buffer.from(this.#bytes).toString("base64");
  }

  equals(other: SecretKey | undefined): boolean {
    return other !== undefined && timingSafeEqual(this.#bytes, other.#bytes);
  }

  toString(): string {
    return SAID;
  }

  toJSON(): string {
    return SAID;
  }

  [inspect.custom](): string {
    return SAID;
  }
}

/** A new private key, as `wg genkey` makes it: random, and clamped (RFC 7748, section 5), as the kernel keeps it. */
export function generatePrivateKey(): SecretKey {
  return new SecretKey(clamped(randomBytes(WIREGUARD_KEY_BYTES)));
}

/** The private key as the kernel keeps and tells it. */
export function clamped(bytes: Uint8Array): Uint8Array {
  const key = Uint8Array.from(bytes);
  key[0] = (key[0] ?? 0) & 248;
  key[31] = ((key[31] ?? 0) & 127) | 64;
  return key;
}

/** The beginnings of an X25519 key in DER, up to its 32 bytes: RFC 8410, PrivateKeyInfo and SubjectPublicKeyInfo. */
const PKCS8 = Buffer.from("302e020100300506032b656e04220420", "hex");
const SPKI_BYTES = 12;

/** What peers are told: `wg pubkey`. */
export function publicKeyOf(privateKey: SecretKey): WireguardPublicKey {
  const der = Buffer.concat([PKCS8, privateKey.reveal()]);
  const spki = createPublicKey(createPrivateKey({ key: der, format: "der", type: "pkcs8" })).export({
    format: "der",
    type: "spki",
  });
  der.fill(0);
  return wireguardPublicKey(spki.subarray(SPKI_BYTES));
}
