import type { Admin, WatchKind } from "../connection.ts";
import type { Column } from "../table.ts";

/** What `get` narrows a list down to, as far as the resource has such a thing. */
export interface Filter {
  readonly network?: string;
  /** Name or id. */
  readonly node?: string;
}

/** An object as `-o json` and `-o yaml` show it, in the form of Kubernetes'. */
export interface ApiObject {
  readonly apiVersion: "podwire.io/v1";
  readonly kind: string;
  readonly metadata: { readonly name: string } & Readonly<Record<string, unknown>>;
  readonly spec: Readonly<Record<string, unknown>>;
  readonly status?: Readonly<Record<string, unknown>>;
}

/** One kind of thing that `get` lists. */
export interface Resource<T> {
  /** Singular, lower case: what `-o name` and messages say. */
  readonly kind: string;
  readonly plural: string;
  /** What a watch has to be told about. */
  readonly watches: readonly WatchKind[];
  readonly columns: readonly Column<T>[];
  list(admin: Admin, filter: Filter): Promise<readonly T[]>;
  /** What `-o name` prints after the kind, and what tells one row from another for people. */
  name(item: T): string;
  /** What tells one item from another for a watch, when names do not. */
  key(item: T): string;
  /** Whether the NAME on the command line means this item. */
  matches(item: T, name: string): boolean;
  toObject(item: T): ApiObject;
}

/** Of every object that we print. */
export const API_VERSION = "podwire.io/v1";

/** The object without its undefined fields and empty texts, which say nothing. */
export function present(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined && value !== ""));
}
