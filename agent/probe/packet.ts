/** UDP port on which every agent answers questions, on its ends of its tunnels alone. */
export const PROBE_PORT = 7447;

export const NONCE_BYTES = 16;
/** Before the nonce: what it is, and the version of this format. */
const QUESTION = "pwQ1";
const ANSWER = "pwA1";
const HEAD_BYTES = QUESTION.length + NONCE_BYTES;
/** Bytes of IP and UDP headers, by family of the inner packet. */
const HEADERS = { 4: 28, 6: 48 } as const;
/** Every question is longer than its answer, so nobody gains by asking in somebody else's name. */
const SHORTEST_QUESTION = HEAD_BYTES + 12;

/** The IP packet of the smallest question, in bytes. */
export function smallestPacket(family: 4 | 6): number {
  return SHORTEST_QUESTION + HEADERS[family];
}

/**
 * The payload of a question whose whole IP packet has that many bytes, headers included.
 * @param nonce {@link NONCE_BYTES} that nobody can guess
 */
export function encodeQuestion(nonce: Uint8Array, family: 4 | 6, packetBytes: number): Uint8Array {
  const payload = new Uint8Array(Math.max(SHORTEST_QUESTION, packetBytes - HEADERS[family]));
  payload.set(Buffer.from(QUESTION, "latin1"));
  payload.set(nonce, QUESTION.length);
  return payload;
}

/** The answer to what came in; undefined when that is no question. Always the same few bytes, shorter than any question. */
export function answerTo(payload: Uint8Array): Uint8Array | undefined {
  if (payload.length < SHORTEST_QUESTION || !beginsWith(payload, QUESTION)) return undefined;
  const answer = payload.slice(0, HEAD_BYTES);
  answer.set(Buffer.from(ANSWER, "latin1"));
  return answer;
}

/** Whether what came in is the answer to the question with that nonce. */
export function isAnswer(payload: Uint8Array, nonce: Uint8Array): boolean {
  if (payload.length !== HEAD_BYTES || !beginsWith(payload, ANSWER)) return false;
  return nonce.every((byte, i) => payload[ANSWER.length + i] === byte);
}

function beginsWith(payload: Uint8Array, word: string): boolean {
  return [...word].every((letter, i) => payload[i] === letter.charCodeAt(0));
}
