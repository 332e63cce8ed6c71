import type { Admin } from "./connection.ts";
import type { Context } from "./context.ts";
import { ExitCode, notFound, usageError } from "./exit.ts";
import { FORMATS, type Format, listOf, parseFormat, renderValue } from "./format.ts";
import { loadResource, parseTarget } from "./resources/kinds.ts";
import type { ApiObject, Filter, Resource } from "./resources/resource.ts";
import { type Column, printable, TableLayout } from "./table.ts";

export interface GetOptions {
  readonly output: string;
  readonly watch?: boolean;
  readonly outputWatchEvents?: boolean;
  readonly headers: boolean;
  readonly network?: string;
  readonly node?: string;
  readonly sortBy?: string;
}

/** What happened to an item that a watch shows. */
type Event = "ADDED" | "MODIFIED" | "DELETED";
interface Row<T> {
  readonly item: T;
  readonly event: Event;
}

/** `cnictl get`: lists objects, and with --watch goes on printing those that change. */
export async function get(
  context: Context,
  type: string,
  words: readonly string[],
  options: GetOptions,
): Promise<ExitCode> {
  const format = parseFormat(options.output, FORMATS);
  const target = parseTarget(type, words);
  const resource = await loadResource(target.resource);
  using admin = await context.connect();
  const list = () => select(resource, admin, target.names, options);
  const print = printer(context, resource, format, options);
  if (options.watch === true) await watch(context, resource, admin, { list, print, format });
  else await print.all(await list(), target.names.length === 1);
  return ExitCode.ok;
}

/** @throws CommandError when a name matches nothing. */
async function select<T>(
  resource: Resource<T>,
  admin: Admin,
  names: readonly string[],
  { network, node, sortBy }: GetOptions,
): Promise<readonly T[]> {
  const filter: Filter = { ...(network === undefined ? {} : { network }), ...(node === undefined ? {} : { node }) };
  const items = sorted(resource, await resource.list(admin, filter), sortBy);
  if (names.length === 0) return items;
  return names.flatMap((name) => {
    const found = items.filter((item) => resource.matches(item, name));
    if (found.length === 0) throw notFound(resource.kind, name);
    return found;
  });
}

/** Orders by a column's title, or by a path such as .metadata.creationTimestamp. */
function sorted<T>(resource: Resource<T>, items: readonly T[], by: string | undefined): readonly T[] {
  if (by === undefined) return items;
  // A column that ticks shows an age, whose text has no order; the time it is made from has, and can be named by its path.
  const columns = resource.columns.filter(({ ticking }) => ticking !== true);
  const column = columns.find(({ title }) => title.toLowerCase() === by.toLowerCase());
  const path = /^\{?((?:\.\w+)+)\}?$/.exec(by)?.[1]?.slice(1).split(".");
  if (column === undefined && path === undefined) {
    const titles = columns.map(({ title }) => title).join(", ");
    throw usageError(`--sort-by ${by}: give a path such as .metadata.creationTimestamp, or one of ${titles}`);
  }
  const text = (item: T) =>
    column === undefined ? valueAt(resource.toObject(item), path ?? []) : column.cell(item, 0);
  const keyed = items.map((item) => ({ item, key: text(item) }));
  return keyed.sort((a, b) => a.key.localeCompare(b.key, "en", { numeric: true })).map(({ item }) => item);
}

function valueAt(object: ApiObject, path: readonly string[]): string {
  let value: unknown = object;
  for (const key of path)
    value = value instanceof Object && Object.hasOwn(value, key) ? Reflect.get(value, key) : undefined;
  if (value === undefined) return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

interface Printer<T> {
  /** A list, or the one object that was asked for by its name. */
  all(items: readonly T[], single: boolean): Promise<void>;
  changes(rows: readonly Row<T>[]): Promise<void>;
  /** What has to differ for a changed item to be printed again. */
  fingerprint(item: T): string;
}

function printer<T>(context: Context, resource: Resource<T>, format: Format, options: GetOptions): Printer<T> {
  const shown = resource.columns.filter(({ wide }) => wide !== true || format === "wide");
  const event: Column<Row<T>> = { title: "EVENT", cell: (row) => row.event };
  const columns = shown.map((column) => ({
    ...column,
    cell: (row: Row<T>, now: number) => column.cell(row.item, now),
  }));
  const layout = new TableLayout<Row<T>>(options.outputWatchEvents === true ? [event, ...columns] : columns);
  const asTable = format === "table" || format === "wide";
  let headers = options.headers;

  const printTable = (rows: readonly Row<T>[]) => {
    context.out(layout.render(rows, { now: context.now(), headers: headers && rows.length > 0 }));
    headers &&= rows.length === 0;
  };
  const nameLine = (item: T) => `${resource.kind}/${printable(resource.name(item))}\n`;
  return {
    async all(items, single) {
      if (format === "name") return context.out(items.map(nameLine).join(""));
      if (!asTable) {
        const objects = items.map(resource.toObject);
        const [only] = objects;
        return context.out(await renderValue(single && objects.length === 1 ? only : listOf(objects), format));
      }
      if (items.length === 0) return context.note("No resources found.\n");
      printTable(items.map((item) => ({ item, event: "ADDED" })));
    },
    async changes(rows) {
      if (asTable) return printTable(rows);
      for (const { item, event } of rows) {
        if (format === "name") context.out(nameLine(item));
        else {
          const object = resource.toObject(item);
          const value = options.outputWatchEvents === true ? { type: event, object } : object;
          context.out(await renderValue(value, format, true));
        }
      }
    },
    fingerprint: (item) =>
      asTable
        ? layout.fingerprint({ item, event: "MODIFIED" }, context.now())
        : JSON.stringify(resource.toObject(item)),
  };
}

/** Runs until the stream ends, which is an error, or the process is told to stop. */
async function watch<T>(
  context: Context,
  resource: Resource<T>,
  admin: Admin,
  { list, print, format }: { list: () => Promise<readonly T[]>; print: Printer<T>; format: Format },
): Promise<void> {
  let known: Map<string, { item: T; fingerprint: string }> | undefined;
  for await (const _ of admin.watch(resource.watches)) {
    const items = await list();
    const current = new Map(items.map((item) => [resource.key(item), { item, fingerprint: print.fingerprint(item) }]));
    if (known === undefined && items.length === 0 && format !== "json" && format !== "yaml") {
      context.note("No resources found; waiting.\n");
    }
    await print.changes(compare(known ?? new Map(), current));
    known = current;
  }
}

/** Added and changed items in the new order, then those that are gone as they last were. */
function compare<T>(
  before: ReadonlyMap<string, { item: T; fingerprint: string }>,
  after: ReadonlyMap<string, { item: T; fingerprint: string }>,
): readonly Row<T>[] {
  const rows: Row<T>[] = [];
  for (const [key, { item, fingerprint }] of after) {
    const old = before.get(key);
    if (old === undefined) rows.push({ item, event: "ADDED" });
    else if (old.fingerprint !== fingerprint) rows.push({ item, event: "MODIFIED" });
  }
  for (const [key, { item }] of before) if (!after.has(key)) rows.push({ item, event: "DELETED" });
  return rows;
}
