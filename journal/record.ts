import { crc32 } from "./crc32.ts";

/**
 * A record, little endian: the mark, u32 CRC-32 of all that follows, u16 length of the text, u48 sequence number, the text
 * in UTF-8. No byte of UTF-8 is ff, so whatever a caller puts into a text, it cannot look like the start of a record: where a
 * record is damaged, the next mark is that of a record.
 */
const MARK = Buffer.from([0xff, 0x50, 0x57, 0x01]); // ff, "PW", version of the format
const CRC = MARK.length;
const LENGTH = CRC + 4;
const SEQUENCE = LENGTH + 2;
const SEQUENCE_BYTES = 6;
const TEXT = SEQUENCE + SEQUENCE_BYTES;

/** Bytes of a record besides its text. */
export const RECORD_OVERHEAD = TEXT;
const LONGEST_TEXT = 0xffff;

/** Where a whole record lies. */
export interface Found {
  readonly sequence: number;
  readonly start: number;
  /** The first byte after it. */
  readonly end: number;
}

/**
 * Writes a record to the start of a buffer.
 * @returns its length in bytes
 * @throws RangeError when it does not fit into the buffer, or the text is longer than 65,535 bytes
 */
export function writeRecord(to: Buffer, sequence: number, text: string): number {
  const length = Buffer.byteLength(text);
  const end = TEXT + length;
  if (length > LONGEST_TEXT || end > to.length)
    throw new RangeError(`a record of ${length} bytes of text does not fit`);
  MARK.copy(to);
  to.writeUInt16LE(length, LENGTH);
  to.writeUIntLE(sequence, SEQUENCE, SEQUENCE_BYTES);
  to.write(text, TEXT);
  to.writeUInt32LE(crc32(to, LENGTH, end), CRC);
  return end;
}

/** The whole records with a sequence number above `after`, in the order in which they lie. What is damaged is stepped over. */
export function* findRecords(bytes: Buffer, after = 0): Generator<Found> {
  let start = bytes.indexOf(MARK);
  while (start >= 0) {
    const found = recordAt(bytes, start, after);
    if (found !== undefined) yield found;
    start = bytes.indexOf(MARK, found === undefined ? start + 1 : found.end);
  }
}

/** The text of a record that was found in these bytes. */
export function textOf(bytes: Buffer, { start, end }: Found): string {
  return bytes.toString("utf8", start + TEXT, end);
}

function recordAt(bytes: Buffer, start: number, after: number): Found | undefined {
  if (start + TEXT > bytes.length) return undefined;
  const end = start + TEXT + bytes.readUInt16LE(start + LENGTH);
  const sequence = bytes.readUIntLE(start + SEQUENCE, SEQUENCE_BYTES);
  if (end > bytes.length || sequence <= after) return undefined;
  const intact = bytes.readUInt32LE(start + CRC) === crc32(bytes, start + LENGTH, end);
  return intact ? { sequence, start, end } : undefined;
}
