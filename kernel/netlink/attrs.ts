import { type Address, addressFromBytes, addressToBytes, familyOf } from "../../net/address.ts";
import { type Mac, macFromBytes, macToBytes } from "../../net/mac.ts";
import { NLA_F_NESTED, type Reader, type Writer } from "./bytes.ts";

/** How one value goes to bytes and back. */
export interface Codec<T> {
  write(to: Writer, value: T): void;
  read(from: Reader): T;
  /** Set for codecs of attributes within attributes: the kernel wants NLA_F_NESTED on them. */
  readonly nested?: true;
  /** Values that are said by leaving the attribute out. */
  omits?(value: T): boolean;
}

/** The value that a codec writes and reads. */
export type Value<C> = C extends Codec<infer T> ? T : never;

/** An attribute's number; a pair when the family of the address in it decides. */
type AttributeType = number | readonly [v4: number, v6: number];
// biome-ignore lint/suspicious/noExplicitAny: a codec is invariant in its value, so no other type takes them all
type AnyCodec = Codec<any>;
type Fields = Record<string, readonly [type: AttributeType, codec: AnyCodec]>;
/** The object that an attribute schema stands for: every attribute may be absent. */
export type Attrs<F extends Fields> = { readonly [K in keyof F]?: Value<F[K][1]> | undefined };

/**
 * A set of attributes, written in the schema's order. Attributes that the schema does not name were sent by a newer
 * kernel, or are not for us, and are skipped; of repeated ones the last counts.
 */
export function attrs<F extends Fields>(fields: F): Codec<Attrs<F>> {
  const members = Object.entries(fields).map(([name, [type, codec]]) => {
    const [v4, v6] = typeof type === "number" ? [type, type] : type;
    const flag = codec.nested ? NLA_F_NESTED : 0;
    return { name, codec, v4: v4 | flag, v6: v6 | flag };
  });
  const byType: ({ name: string; codec: AnyCodec } | undefined)[] = [];
  for (const { name, codec, v4, v6 } of members) {
    for (const type of [v4, v6]) byType[type & ~NLA_F_NESTED] = { name, codec };
  }
  return {
    nested: true,
    write(to, value) {
      for (let i = 0; i < members.length; i++) {
        const { name, codec, v4, v6 } = members[i] as (typeof members)[number];
        const field = value[name];
        if (field === undefined || codec.omits?.(field)) continue;
        const type = v4 === v6 || familyOf(field as unknown as Address) === 4 ? v4 : v6;
        const start = to.openAttribute(type);
        writeNamed(name, codec, to, field);
        to.closeAttribute(start);
      }
    },
    read(from) {
      const value: Record<string, unknown> = {};
      from.attributes(byType, ({ name, codec }) => {
        value[name] = codec.read(from);
      });
      return value as Attrs<F>;
    },
  };
}

/** Items of one kind, each in an attribute of its own; they go by their order, and their type is 0. */
export function list<T>(item: Codec<T>): Codec<readonly T[]> {
  const type = item.nested ? NLA_F_NESTED : 0;
  return {
    nested: true,
    write(to, values) {
      for (const value of values) to.attribute(type, () => item.write(to, value));
    },
    read(from) {
      const values: T[] = [];
      from.attributes([item], (codec) => void values.push(codec.read(from)));
      return values;
    },
  };
}

function writeNamed(name: string, codec: AnyCodec, to: Writer, value: unknown): void {
  try {
    codec.write(to, value);
  } catch (cause) {
    if (cause instanceof RangeError) throw new RangeError(`${name}: ${cause.message}`, { cause });
    throw cause;
  }
}

type Members = Record<string, AnyCodec>;

/** A C struct: its members in order, without padding of its own. Members that are absent are written as 0. */
export function struct<M extends Members>(members: M): Codec<{ readonly [K in keyof M]: Value<M[K]> }> {
  const entries = Object.entries(members).map(([name, codec]) => ({ name, codec }));
  return {
    write(to, value) {
      for (let i = 0; i < entries.length; i++) {
        const { name, codec } = entries[i] as (typeof entries)[number];
        writeNamed(name, codec, to, value[name] ?? 0);
      }
    },
    read(from) {
      const value: Record<string, unknown> = {};
      for (let i = 0; i < entries.length; i++) {
        const { name, codec } = entries[i] as (typeof entries)[number];
        value[name] = codec.read(from);
      }
      return value as { [K in keyof M]: Value<M[K]> };
    },
  };
}

function integer(size: 1 | 2 | 4, options: { signed?: boolean; bigEndian?: boolean } = {}): Codec<number> {
  return {
    write: (to, value) => to.integer(size, value, options),
    read: (from) => from.integer(size, options),
  };
}

export const u8 = integer(1);
export const u16 = integer(2);
export const u32 = integer(4);
export const s32 = integer(4, { signed: true });
/** Network byte order. */
export const u16be = integer(2, { bigEndian: true });
export const u32be = integer(4, { bigEndian: true });
/** Numbers up to 2^53. */
export const u64: Codec<number> = {
  write: (to, value) => to.integer64(BigInt(value)),
  read: (from) => Number(from.integer64()),
};
/** Network byte order; numbers up to 2^53. */
export const u64be: Codec<number> = {
  write: (to, value) => to.integer64(BigInt(value), { bigEndian: true }),
  read: (from) => Number(from.integer64({ bigEndian: true })),
};

/** A byte that is 0 or 1. */
export const bool: Codec<boolean> = {
  write: (to, value) => to.integer(1, value ? 1 : 0),
  read: (from) => from.integer(1) !== 0,
};
/** Four bytes that are 0 or not. */
export const bool32: Codec<boolean> = {
  write: (to, value) => to.integer(4, value ? 1 : 0),
  read: (from) => from.integer(4) !== 0,
};
/** True by being there (NLA_FLAG). */
export const flag: Codec<boolean> = { write() {}, read: () => true, omits: (value) => !value };

/** Text that ends with a NUL. */
export const string: Codec<string> = {
  write: (to, value) => to.string(value),
  read: (from) => from.string(),
};
/** Bytes as they are. */
export const bytes: Codec<Uint8Array> = {
  write: (to, value) => to.bytes(value),
  read: (from) => from.bytes(),
};
/** An address of either family: the length tells which. */
export const ip: Codec<Address> = {
  write: (to, value) => to.bytes(addressToBytes(value)),
  read: (from) => addressFromBytes(from.bytes()),
};
export const mac: Codec<Mac> = {
  write: (to, value) => to.bytes(macToBytes(value)),
  read: (from) => macFromBytes(from.bytes()),
};

/** A number with names; numbers that have none stay numbers. */
export function named<N extends string>(codec: Codec<number>, names: Readonly<Record<N, number>>): Codec<N | number> {
  const byNumber = new Map<number, N>();
  for (const name in names) byNumber.set(names[name], name);
  return {
    write: (to, value) => codec.write(to, typeof value === "number" ? value : names[value]),
    read(from) {
      const number = codec.read(from);
      return byNumber.get(number) ?? number;
    },
  };
}

/** A value kept in another unit: `scaled(u32, 100)` holds hundredths of what the program sees. */
export function scaled(codec: Codec<number>, factor: number): Codec<number> {
  return {
    write: (to, value) => codec.write(to, Math.round(value * factor)),
    read: (from) => codec.read(from) / factor,
  };
}
