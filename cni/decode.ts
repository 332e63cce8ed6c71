import { type Address, parseAddress } from "../net/address.ts";
import { type Mac, parseMac } from "../net/mac.ts";
import { type Prefix, parseNetwork, parsePrefix } from "../net/prefix.ts";
import { CniError, Code } from "./error.ts";
import type { JsonObject } from "./json.ts";

/**
 * Reads a value of unknown shape found at `path` (such as `ipam.ranges[0][1].subnet`).
 * @throws CniError 7 that names the path and the value.
 */
export type Decoder<T> = (value: unknown, path: string) => T;

/** The type a decoder returns. */
export type Decoded<D> = D extends Decoder<infer T> ? T : never;

type Fields = Readonly<Record<string, Decoder<unknown>>>;
type RequiredKeys<F extends Fields> = { [K in keyof F]: undefined extends Decoded<F[K]> ? never : K }[keyof F];
/** The object a set of fields decodes to: what {@link optional} made is `key?: T`. */
export type DecodedFields<F extends Fields> = {
  readonly [K in RequiredKeys<F>]: Decoded<F[K]>;
} & { readonly [K in Exclude<keyof F, RequiredKeys<F>>]?: Exclude<Decoded<F[K]>, undefined> };

/** The error for a value that is not what it should be: `mtu: 70000 is not an integer in 0..65535`. */
export function invalid(path: string, value: unknown, problem: string, code: number = Code.invalidConfig): CniError {
  return new CniError(code, `${path}: ${show(value)} ${problem}`);
}

export const string: Decoder<string> = (value, path) => {
  if (typeof value !== "string") throw invalid(path, value, "is not a string");
  return value;
};

export const boolean: Decoder<boolean> = (value, path) => {
  if (typeof value !== "boolean") throw invalid(path, value, "is not true or false");
  return value;
};

export const number: Decoder<number> = (value, path) => {
  if (typeof value !== "number" || !Number.isFinite(value)) throw invalid(path, value, "is not a number");
  return value;
};

/** A whole number between the two, both included. */
export function integer(minimum: number, maximum: number): Decoder<number> {
  return (value, path) => {
    if (!Number.isSafeInteger(value) || (value as number) < minimum || (value as number) > maximum) {
      throw invalid(path, value, `is not an integer in ${minimum}..${maximum}`);
    }
    return value as number;
  };
}

/** One of these strings. */
export function oneOf<const T extends string>(...choices: readonly T[]): Decoder<T> {
  return (value, path) => {
    if (!choices.includes(value as T)) throw invalid(path, value, `is not one of ${choices.map(show).join(", ")}`);
    return value as T;
  };
}

/** Any JSON object, its keys untouched. */
export const anyObject: Decoder<JsonObject> = (value, path) => {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw invalid(path, value, "is not an object");
  }
  return value as JsonObject;
};

/** A value that another decoder reads later. */
export const unknown: Decoder<unknown> = (value) => value;

export function array<T>(item: Decoder<T>): Decoder<readonly T[]> {
  return (value, path) => {
    if (!Array.isArray(value)) throw invalid(path, value, "is not an array");
    return value.map((each, index) => item(each, `${path}[${index}]`));
  };
}

/** An object whose every value is of one shape. */
export function record<T>(item: Decoder<T>): Decoder<Readonly<Record<string, T>>> {
  return (value, path) => {
    const decoded: Record<string, T> = Object.create(null);
    for (const [key, each] of Object.entries(anyObject(value, path))) decoded[key] = item(each, join(path, key));
    return decoded;
  };
}

/** A value that may be absent or null, then `fallback`, or undefined without one. */
export function optional<T>(item: Decoder<T>): Decoder<T | undefined>;
export function optional<T>(item: Decoder<T>, fallback: T): Decoder<T>;
export function optional<T>(item: Decoder<T>, fallback?: T): Decoder<T | undefined> {
  return (value, path) => (value === undefined || value === null ? fallback : item(value, path));
}

/**
 * An object with these fields. Other keys are ignored, as the reference plugins do, or refused with `strict` (code 2,
 * "unsupported field", naming key and value).
 */
export function object<F extends Fields>(fields: F, { strict = false } = {}): Decoder<DecodedFields<F>> {
  return (value, path) => {
    const source = anyObject(value, path);
    const decoded: Record<string, unknown> = {};
    for (const [key, decode] of Object.entries(fields)) {
      const given = Object.hasOwn(source, key) ? source[key] : undefined;
      const field = given === undefined ? decodeAbsent(decode, join(path, key)) : decode(given, join(path, key));
      if (field !== undefined) decoded[key] = field;
    }
    if (strict) {
      for (const key of Object.keys(source)) {
        if (!Object.hasOwn(fields, key)) {
          throw invalid(join(path, key), source[key], "is not a known key", Code.unsupportedField);
        }
      }
    }
    return decoded as DecodedFields<F>;
  };
}

/** Further checks or a conversion of what `item` decoded; a RangeError of `convert` becomes the decoder's error. */
export function refine<T, U>(item: Decoder<T>, convert: (value: T) => U): Decoder<U> {
  return (value, path) => {
    const decoded = item(value, path);
    try {
      return convert(decoded);
    } catch (error) {
      if (error instanceof RangeError) throw new CniError(Code.invalidConfig, `${path}: ${error.message}`);
      throw error;
    }
  };
}

export const address: Decoder<Address> = refine(string, parseAddress);
/** An address with a length; host bits may be set. */
export const prefix: Decoder<Prefix> = refine(string, parsePrefix);
/** A network; host bits are refused. */
export const network: Decoder<Prefix> = refine(string, parseNetwork);
export const mac: Decoder<Mac> = refine(string, parseMac);

function decodeAbsent(decode: Decoder<unknown>, path: string): unknown {
  try {
    return decode(undefined, path);
  } catch (error) {
    if (error instanceof CniError) throw new CniError(error.code, `${path} is missing`);
    throw error;
  }
}

function join(path: string, key: string): string {
  return path === "" ? key : `${path}.${key}`;
}

/** A value in an error message: JSON, not too long. */
function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 120 ? `${text.slice(0, 117)}...` : text;
}
