import { createConnection, type Socket } from "node:net";
import { JsonStream } from "./json-stream.ts";

/** A row's columns as the wire has them: `["set", […]]`, `["map", […]]`, `["uuid", "…"]` or an atom. */
export type WireRow = Readonly<Record<string, unknown>>;
/** What changed in a table, by row; `new` is absent for a row that is gone, `old` has the columns that were different. */
export type TableUpdate = Readonly<Record<string, { readonly old?: WireRow; readonly new?: WireRow }>>;
export type TableUpdates = Readonly<Record<string, TableUpdate>>;

/** One operation of a transaction (RFC 7047, section 5.2). */
export type Operation = Readonly<Record<string, unknown>> & { readonly op: string };

/** The database refused: `message` has its words. */
export class OvsdbError extends Error {
  override readonly name = "OvsdbError";
}

export interface OvsdbListener {
  /** Rows of monitored tables changed. */
  onUpdate(updates: TableUpdates): void;
  /** Called once, after the connection has ended for whatever reason but {@link Ovsdb.close}. */
  onClose(why: Error): void;
}

interface Pending {
  resolve(result: unknown): void;
  reject(error: Error): void;
}

/** A connection to an OVSDB server by its unix socket: the management protocol of RFC 7047. */
export class Ovsdb {
  readonly #socket: Socket;
  readonly #listener: OvsdbListener;
  readonly #pending = new Map<number, Pending>();
  readonly #stream = new JsonStream();
  #lastId = 0;
  #closed = false;

  private constructor(socket: Socket, listener: OvsdbListener) {
    this.#socket = socket;
    this.#listener = listener;
    socket.on("data", (chunk) => this.#receive(chunk));
    socket.on("error", (error) => this.#end(error));
    socket.on("close", () => this.#end(new Error("the database closed the connection")));
  }

  /** @throws an error with the code of connect(2): ENOENT without a server, ECONNREFUSED after one that died */
  static connect(path: string, listener: OvsdbListener): Promise<Ovsdb> {
    return new Promise((resolve, reject) => {
      const socket = createConnection({ path });
      socket.once("error", reject);
      socket.once("connect", () => {
        socket.off("error", reject);
        resolve(new Ovsdb(socket, listener));
      });
    });
  }

  /** Carries out all operations or none. @returns each one's result @throws OvsdbError */
  async transact(database: string, operations: readonly Operation[]): Promise<readonly WireRow[]> {
    const results = await this.#request("transact", [database, ...operations]);
    if (!Array.isArray(results)) throw new OvsdbError("the database's answer to a transaction is no list");
    const refused = results.find((each) => typeof each === "object" && each !== null && "error" in each);
    if (refused === undefined) return results;
    const { error, details } = refused as { error: unknown; details?: unknown };
    throw new OvsdbError(
      `the database refuses: ${String(error)}${details === undefined ? "" : `: ${String(details)}`}`,
    );
  }

  /** Asks for these tables' columns, now and whenever they change. @returns what there is now */
  async monitor(database: string, tables: Readonly<Record<string, readonly string[]>>): Promise<TableUpdates> {
    const requests = Object.entries(tables).map(([table, columns]) => [table, [{ columns }]]);
    return (await this.#request("monitor", [database, null, Object.fromEntries(requests)])) as TableUpdates;
  }

  close(): void {
    this.#closed = true;
    this.#socket.destroy();
    this.#fail(new Error("the connection was closed"));
  }

  #request(method: string, params: unknown): Promise<unknown> {
    if (this.#closed) return Promise.reject(new Error("the connection to the database has ended"));
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#socket.write(JSON.stringify({ method, params, id }));
    });
  }

  #receive(chunk: Uint8Array): void {
    try {
      for (const message of this.#stream.push(chunk)) this.#handle(message);
    } catch (error) {
      this.#end(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #handle(message: unknown): void {
    if (typeof message !== "object" || message === null) throw new Error("a message of the database is no object");
    const { id, method, params, result, error } = message as Record<string, unknown>;
    if (method === "echo") this.#socket.write(JSON.stringify({ id, result: params, error: null }));
    else if (method === "update" && Array.isArray(params)) this.#listener.onUpdate(params[1] as TableUpdates);
    if (method !== undefined) return;
    const pending = this.#pending.get(id as number);
    this.#pending.delete(id as number);
    if (error === null || error === undefined) pending?.resolve(result);
    else pending?.reject(new OvsdbError(`the database refuses: ${JSON.stringify(error)}`));
  }

  #end(why: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.destroy();
    this.#fail(why);
    this.#listener.onClose(why);
  }

  #fail(why: Error): void {
    for (const { reject } of this.#pending.values()) reject(why);
    this.#pending.clear();
  }
}
