declare const macBrand: unique symbol;

/** A 48-bit Ethernet address as six lower-case hex pairs with colons: `0a:58:0a:16:00:02`. */
export type Mac = string & { readonly [macBrand]: "Mac" };

/**
 * Reads a MAC address with colons or dashes.
 * @throws RangeError naming the text when it is not one.
 */
export function parseMac(text: string): Mac {
  const mac = text.toLowerCase().replaceAll("-", ":");
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(mac)) throw new RangeError(`"${text}" is not a MAC address`);
  return mac as Mac;
}

/** The six bytes as sent on the wire. */
export function macToBytes(mac: Mac): Uint8Array {
  const bytes = new Uint8Array(6);
  for (let i = 0; i < 6; i++) bytes[i] = (hexDigit(mac, 3 * i) << 4) | hexDigit(mac, 3 * i + 1);
  return bytes;
}

/** A digit or a lower-case letter, by its ASCII code. */
function hexDigit(text: string, at: number): number {
  const code = text.charCodeAt(at);
  return code < 0x61 ? code - 0x30 : code - 0x57;
}

/** Reads six bytes. @throws RangeError for any other number of bytes. */
export function macFromBytes(bytes: Uint8Array): Mac {
  if (bytes.length !== 6) throw new RangeError(`a MAC address has 6 bytes, not ${bytes.length}`);
  let mac = "";
  for (const byte of bytes) mac += (mac === "" ? "" : ":") + (byte < 16 ? "0" : "") + byte.toString(16);
  return mac as Mac;
}

/** Whether the address is one for a group (multicast or broadcast), which no interface may carry. */
export function isGroupMac(mac: Mac): boolean {
  return ((macToBytes(mac)[0] ?? 0) & 1) === 1;
}

/** A unicast, locally administered address (IEEE 802, U/L bit) from the first six bytes of a hash. */
export function localMacFromHash(hash: Uint8Array): Mac {
  const bytes = hash.slice(0, 6);
  bytes[0] = ((bytes[0] ?? 0) & 0xfc) | 0x02;
  return macFromBytes(bytes);
}
