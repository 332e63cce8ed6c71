/** The polynomial of IEEE 802.3, bits reversed. */
const POLYNOMIAL = 0xedb88320;

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let rest = byte;
  for (let bit = 0; bit < 8; bit++) rest = (rest & 1) === 1 ? (rest >>> 1) ^ POLYNOMIAL : rest >>> 1;
  return rest;
});

/** CRC-32 of IEEE 802.3 over bytes[start..end). (Node's own, zlib.crc32, came with 20.15; we run from 20.11.) */
export function crc32(bytes: Uint8Array, start: number, end: number): number {
  let rest = 0xffffffff;
  for (let i = start; i < end; i++) rest = (rest >>> 8) ^ (TABLE[(rest ^ (bytes[i] ?? 0)) & 0xff] ?? 0);
  return (rest ^ 0xffffffff) >>> 0;
}
