import { LARGEST_DOCUMENT } from "../../cni/json.ts";

/** The first string of a request; see plugins/shim/README.md for the wire. */
const VERSION = "podwire 1";
/** A document and an environment; the kernel allows a single variable 128 KiB, runtimes send a few hundred bytes. */
const LARGEST_REQUEST = LARGEST_DOCUMENT + 64 * 1024;
const LENGTH_BYTES = 4;

/** One execution of a plugin, as the shim saw it. */
export interface ShimRequest {
  /** The name it was executed as. */
  readonly plugin: string;
  /** `CNI_*` and the trace context. */
  readonly env: Readonly<Record<string, string>>;
  readonly stdin: Uint8Array;
}

/** Who waits for the answer. */
export interface Caller {
  /** Nobody does any more. */
  readonly gone: boolean;
}

/** What the shim prints, and the code it exits with. */
export interface ShimAnswer {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The bytes are no request that we know. */
export class WireError extends Error {
  override readonly name = "WireError";
}

/** Puts a request's frame together from the pieces that arrive. */
export class FrameReader {
  readonly #chunks: Buffer[] = [];
  #length = 0;

  /** @returns the frame's content once it is whole @throws WireError when it is longer than a request may be */
  push(chunk: Buffer): Uint8Array | undefined {
    this.#chunks.push(chunk);
    this.#length += chunk.length;
    if (this.#length < LENGTH_BYTES) return undefined;
    const whole = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks);
    const length = whole.readUInt32LE(0);
    if (length > LARGEST_REQUEST) throw new WireError(`a request of ${length} bytes, more than ${LARGEST_REQUEST}`);
    if (this.#length < LENGTH_BYTES + length) {
      this.#chunks.splice(0, this.#chunks.length, whole);
      return undefined;
    }
    if (this.#length > LENGTH_BYTES + length) throw new WireError("bytes after the end of the request");
    return whole.subarray(LENGTH_BYTES);
  }
}

/** A frame's content as a request. @throws WireError */
export function decodeRequest(content: Uint8Array): ShimRequest {
  const bytes = Buffer.from(content.buffer, content.byteOffset, content.byteLength);
  const strings: string[] = [];
  let at = 0;
  for (;;) {
    const end = bytes.indexOf(0, at);
    if (end === -1) throw new WireError("the request ends in the middle of its environment");
    const text = bytes.toString("utf8", at, end);
    at = end + 1;
    if (text === "") break;
    strings.push(text);
  }
  const [version, plugin, ...variables] = strings;
  if (version !== VERSION) throw new WireError(`a request of version ${JSON.stringify(version?.slice(0, 40))}`);
  if (plugin === undefined) throw new WireError("the request names no plugin");
  const env = Object.fromEntries(variables.map(keyAndValue).toReversed()); // of two, the first counts, as in getenv(3)
  return { plugin, env, stdin: bytes.subarray(at) };
}

function keyAndValue(variable: string): [string, string] {
  const at = variable.indexOf("=");
  if (at <= 0) throw new WireError(`${JSON.stringify(variable.slice(0, 40))} is no environment variable`);
  return [variable.slice(0, at), variable.slice(at + 1)];
}

/** The whole frame, its length included. */
export function encodeRequest({ plugin, env, stdin }: ShimRequest): Uint8Array {
  const variables = Object.entries(env).map(([key, value]) => `${key}=${value}`);
  const head = Buffer.from([VERSION, plugin, ...variables, ""].map((text) => `${text}\0`).join(""));
  return framed(head, stdin);
}

/** The whole frame, its length included. */
export function encodeAnswer({ exitCode, stdout, stderr }: ShimAnswer): Uint8Array {
  const out = Buffer.from(stdout);
  const head = Buffer.alloc(5);
  head.writeUInt8(exitCode, 0);
  head.writeUInt32LE(out.length, 1);
  return framed(head, out, Buffer.from(stderr));
}

function framed(...parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const prefix = Buffer.alloc(LENGTH_BYTES);
  prefix.writeUInt32LE(length, 0);
  return Buffer.concat([prefix, ...parts]);
}
